"""Who may import whom, how long a file may be, what a file may be called."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("hindcast", "expectations", "tasks", "flows")
FORBIDDEN = {
    "hindcast": {"prefect", "great_expectations", "expectations", "tasks", "flows"},
    "expectations": {"prefect", "tasks", "flows"},
    "tasks": {"great_expectations", "flows"},
    "flows": {"great_expectations"},
}
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level packages a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_nothing_above_it(layer: str) -> None:
    wrong = {
        str(path.relative_to(ROOT)): sorted(imports(path) & FORBIDDEN[layer])
        for path in (ROOT / layer).rglob("*.py")
        if imports(path) & FORBIDDEN[layer]
    }
    assert not wrong


def test_only_tasks_define_tasks() -> None:
    assert not [path for path in SOURCES if "@task" in path.read_text().split("\n") and path.parent.name != "tasks"]


@pytest.mark.parametrize("folder", [*LAYERS, "tests", "bench"])
def test_no_file_is_over_300_lines(folder: str) -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in (ROOT / folder).rglob("*.py")}
    assert not {name: length for name, length in lengths.items() if length > 300}


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [p.name for p in SOURCES if p.stem.rstrip("s") in {"util", "helper", "common", "misc", "manager"}]


def test_no_flow_file_shadows_a_package() -> None:
    # With a path entrypoint Prefect puts flows/ first on sys.path.
    taken = set(LAYERS) | set(sys.stdlib_module_names) | {"prefect", "click"}
    assert not [path.name for path in (ROOT / "flows").glob("*.py") if path.stem in taken]


def test_workers_import_neither_prefect_nor_great_expectations() -> None:
    code = (
        "import sys, hindcast.extract, hindcast.load, hindcast.verify, hindcast.spot_checks, hindcast.compare;"
        "print([m for m in ('prefect', 'great_expectations', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_command_answers_help_without_prefect() -> None:
    code = "import sys, flows.cli; print([m for m in ('prefect', 'pandas', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_prefect_toml_says_what_the_command_sets() -> None:
    settings = tomllib.loads((ROOT / "prefect.toml").read_text())
    assert settings["logging"]["extra_loggers"] == ["hindcast"]
    assert settings["logging"]["to_api"]["when_missing_flow"] == "ignore"
    assert settings["server"]["analytics_enabled"] is False
    assert settings["server"]["services"]["task_run_recorder"]["batch_size"] == 100


def test_the_lock_file_holds_names_and_versions_only() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if "==" not in line or "://" in line]
