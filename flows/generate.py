"""Generate: make a synthetic export with planted defects and its answer key.

Requires nothing. Promises: the same seed and count give the same bytes.
"""

from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.parameters import ExportPath, GeneratedFormat
from hindcast.synthetic import GenerateSpec
from hindcast.synthetic import generate as make_export


@flow(name="generate", flow_run_name="generate {format} {count}", persist_result=True)
def generate(
    out: ExportPath,
    format: GeneratedFormat = "analytics_history",
    count: Annotated[int, Field(ge=1, le=100_000_000)] = 200_000,
    seed: Annotated[int, Field(ge=0, le=2**31)] = 1,
) -> str:
    """Write an export and, beside it, `<out>.answers.json`.

    Args:
        out: The file to write; .gz and .zst are compressed.
        format: Whose export it looks like.
        count: Records, exactly.
        seed: The same seed gives the same bytes.
    """
    make_export(GenerateSpec(format, count, seed, Path(out)))
    return out
