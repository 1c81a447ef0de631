"""prefect.yaml: Prefect skips the whole file, or a schedule, in silence when something in it is not as it expects."""

import importlib
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parent.parent
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
KEYS = {
    "name", "version", "description", "entrypoint", "tags", "parameters", "schedules", "concurrency_limit", "work_pool",
}  # fmt: skip
SCHEDULE_KEYS = {"cron", "interval", "rrule", "timezone", "active", "parameters", "slug", "anchor_date", "day_or"}
NAMES = {
    "backfill/nightly", "backfill/manual", "validate-export/dry-run", "rollup/hourly", "verify/manual",
    "generate/manual", "rollback/manual", "acceptance/manual", "sweep/hourly",
}  # fmt: skip
every_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["entrypoint"])


def flow_of(deployment: dict[str, Any]) -> Any:
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(importlib.import_module(module), name)


@every_deployment
def test_a_deployment_has_no_key_prefect_does_not_know(deployment: dict[str, Any]) -> None:
    assert deployment.keys() <= KEYS
    assert all(schedule.keys() <= SCHEDULE_KEYS for schedule in deployment.get("schedules", []))


def test_the_deployments_are_those_documented() -> None:
    names = {f"{flow_of(deployment).name}/{deployment['name']}" for deployment in DEPLOYMENTS}
    page = (ROOT / "docs" / "deployments.md").read_text()
    assert names <= NAMES
    assert not [name for name in names if f"| `{name}` |" not in page]


@every_deployment
def test_its_entrypoint_is_a_flow_whose_form_takes_its_parameters(deployment: dict[str, Any]) -> None:
    schema = flow_of(deployment).parameters.model_dump()
    given = deployment.get("parameters", {})
    assert given.keys() <= schema["properties"].keys()
    jsonschema.validate(given, schema | {"required": []}, cls=jsonschema.Draft202012Validator)


@every_deployment
def test_every_parameter_is_described_and_every_text_and_number_bounded(deployment: dict[str, Any]) -> None:
    for name, field in flow_of(deployment).parameters.model_dump()["properties"].items():
        assert field.get("description"), name
        kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
        for kind in kinds:
            if kind.get("type") == "integer":
                assert "minimum" in kind, name


def test_a_deployment_that_pauses_holds_no_slot() -> None:
    # A pause gives the slot back, and when its lease cannot be renewed, minutes later, Prefect kills the run.
    (deployment,) = [d for d in DEPLOYMENTS if d["entrypoint"] == "flows.rollback.rollback"]
    assert "concurrency_limit" not in deployment


@every_deployment
def test_it_says_what_it_does_and_is_of_this_version(deployment: dict[str, Any]) -> None:
    assert len(deployment["description"]) > 40
    assert "hindcast" in deployment["tags"]
    assert deployment["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@every_deployment
def test_schedules_are_in_utc_and_shipped_paused(deployment: dict[str, Any]) -> None:
    for schedule in deployment.get("schedules", []):
        assert (schedule["timezone"], schedule["active"]) == ("UTC", False)


WINDOWS = ["", "2024-01-01..2024-02-01", "..2024-02-01", "2024-01-01T12:30:00Z..", "1704067200..1706745600", ".."]


@pytest.mark.parametrize("text", WINDOWS)
def test_the_form_takes_every_window_the_command_takes(text: str) -> None:
    from pydantic import TypeAdapter

    from flows.parameters import WindowText
    from hindcast.window import parse_window

    parse_window(text)
    assert TypeAdapter(WindowText).validate_python(text) == text


@pytest.mark.parametrize("text", ["January", "2024-01-01", "2024-01-01 to 2024-02-01", "yesterday..today"])
def test_the_form_refuses_what_is_no_window(text: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from flows.parameters import WindowText

    with pytest.raises(ValidationError):
        TypeAdapter(WindowText).validate_python(text)
