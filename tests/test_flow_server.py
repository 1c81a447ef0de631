"""A Prefect server as an operator runs it: deployments are scheduled, and what the UI offers is what the flows take."""

from datetime import UTC, datetime
from typing import Any

import pytest
from flow_runs import SAMPLE, wait_until

pytest_plugins = ["flow_fixtures"]
pytestmark = pytest.mark.flow


def test_a_minutely_deployment_is_scheduled(prefect_api: str) -> None:
    # With SQLAlchemy 2.1 the server looks healthy and no run is ever created.
    from flows.validate_export import validate_export

    deployment = validate_export.to_deployment("minutely", cron="* * * * *", parameters={"file": str(SAMPLE)})
    applied = datetime.now(UTC)
    deployment_id = deployment.apply()
    wait_until(lambda: len(scheduled_runs(deployment_id)) > 1)
    first = scheduled_runs(deployment_id)[0]
    assert first.parameters == {"file": str(SAMPLE)}
    # Not before now: the first minute may have begun meanwhile.
    assert 0 < (first.next_scheduled_start_time - applied).total_seconds() < 120


def test_the_api_refuses_parameters_that_are_out_of_bounds(prefect_api: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.backfill import backfill

    deployment_id = backfill.to_deployment("by-hand").apply()
    with get_client(sync_client=True) as client, pytest.raises(PrefectHTTPStatusError, match="on_conflict"):
        client.create_flow_run_from_deployment(deployment_id, parameters={"file": "x", "on_conflict": "perhaps"})


def scheduled_runs(deployment_id: Any) -> list[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )
    return [run for run in found if run.state and run.state.is_scheduled()]
