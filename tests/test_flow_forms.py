"""What a form sends is refused by the API before a run exists, when it is out of bounds."""

from typing import Any

import pytest

pytest_plugins = ["flow_fixtures"]
pytestmark = pytest.mark.flow

FILE = {"file": "x.jsonl"}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("backfill", {}, "file"),
    ("backfill", {"file": ""}, "file"),
    ("backfill", FILE | {"format": "punched_cards"}, "format"),
    ("backfill", FILE | {"on_conflict": "perhaps"}, "on_conflict"),
    ("backfill", FILE | {"chunk": -1}, "chunk"),
    ("backfill", FILE | {"chunk": "many"}, "chunk"),
    ("backfill", FILE | {"limit": -1}, "limit"),
    ("backfill", FILE | {"window": "last January"}, "window"),
    ("backfill", FILE | {"dataset": "../../etc"}, "dataset"),
    ("validate_export", FILE | {"compare": "perhaps"}, "compare"),
    ("nightly", {"opens_at": "25:00"}, "opens_at"),
    ("nightly", {"closes_at": "4"}, "closes_at"),
    ("nightly", {"time_zone": "Mars/Olympus"}, "time_zone"),
    ("verify", {"run": "'; DROP"}, "run"),
    ("generate", {"out": "x.jsonl", "count": 0}, "count"),
    ("rollup", {"window": "yesterday"}, "window"),
]


@pytest.fixture(scope="module")
def deployed(prefect_api: str) -> dict[str, Any]:
    """Deployment ids by the name of the flow function."""
    import importlib

    names = {name for name, _, _ in BAD}
    flows = {name: getattr(importlib.import_module(f"flows.{name}"), name) for name in names}
    return {name: flow.to_deployment(f"{name}-form").apply() for name, flow in flows.items()}


@pytest.mark.parametrize(("name", "parameters", "field"), BAD)
def test_a_bad_value_is_refused_naming_its_field(
    deployed: dict[str, Any], name: str, parameters: dict[str, Any], field: str
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.exceptions import PrefectHTTPStatusError

    with get_client(sync_client=True) as client:
        with pytest.raises(PrefectHTTPStatusError, match=field) as refused:
            client.create_flow_run_from_deployment(deployed[name], parameters=parameters)
        assert refused.value.response.status_code == 409
        only = DeploymentFilter(id=DeploymentFilterId(any_=[deployed[name]]))
        assert not client.read_flow_runs(deployment_filter=only)
