"""Names of progress artifacts: Prefect refuses a wrong one only when it is first shown, seconds into a step."""

import re

import pytest

from flows.terminal import STEPS
from tasks.progress import artifact_key


@pytest.mark.parametrize("step", STEPS)
def test_every_step_has_a_key_that_prefect_takes(step: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", artifact_key(step))
