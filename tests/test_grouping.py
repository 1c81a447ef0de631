"""How the tests are dealt out to processes: what a file or a Prefect server is set up for once is not set up twice."""

import pytest


def test_a_files_tests_run_in_one_process(request: pytest.FixtureRequest) -> None:
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@test_grouping"), "pytest-xdist deals tests out one by one"
    else:
        pytest.skip("not run with --dist loadgroup")
