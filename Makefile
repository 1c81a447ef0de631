# The commands a newcomer and CI run. Everything lives in .venv and .hindcast; nothing else is touched.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3

# Compiled modules are kept, whatever the shell says: the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo check format test test-fast bench lock clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml $(wildcard hindcast/kernel/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1" || true
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q hindcast flows tasks expectations
	@# Of what is installed a quarter is ever imported: that is compiled now, by two cores, and the rest never.
	@export PREFECT_HOME=$(VENV)/prefect; $(BIN)/python -c "import prefect.server.api.server" & \
	$(BIN)/python -c "from expectations.engine import load_great_expectations as load; load(); import flows.backfill" & wait
	touch $@

demo: install
	$(BIN)/python -m flows.demo

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layout.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: install
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

test-fast: install
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder -m "not flow"

bench: install
	$(BIN)/python -m bench

# Exact versions without addresses.
lock:
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		--no-emit-find-links -o requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
