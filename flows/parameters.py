"""What flows take from a form: types whose bounds the Prefect API checks before a run exists.

The API knows JSON schema only: enums, bounds and patterns. Bounds are here, descriptions in the flows' docstrings.
"""

from datetime import time
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import Field, WithJsonSchema

from hindcast.formats import FORMATS

# An optional value is an empty one and not None: the form would ask for a type first, and explain itself badly.
GeneratedFormat = Annotated[str, Field(json_schema_extra={"enum": sorted(FORMATS)}, title="format")]
Format = Annotated[str, Field(json_schema_extra={"enum": ["detect", *sorted(FORMATS)]}, title="format")]
OnConflict = Literal["keep", "replace", "fail"]

# Short, because a refusal quotes it; what it lets through is checked when the run starts.
_WINDOW: Final = r"^$|^[0-9TZ:. +-]*\.\.[0-9TZ:. +-]*$"

Inbox = Annotated[str, Field(max_length=4096, title="inbox")]
ExportPath = Annotated[str, Field(min_length=1, max_length=4096, title="file")]
Dataset = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=100, title="dataset")]
WindowText = Annotated[str, Field(pattern=_WINDOW, title="window")]
ChunkRecords = Annotated[int, Field(ge=0, le=1_000_000, title="chunk")]
RecordLimit = Annotated[int, Field(ge=0, le=2**53, title="limit")]
WaitMinutes = Annotated[float, Field(ge=0, le=1440, title="wait")]
Tenant = Annotated[str, Field(max_length=256, title="tenant")]
Initials = Annotated[str, Field(max_length=40, title="operator")]
ExactText = Annotated[str, Field(max_length=1000)]
OptionalRunId = Annotated[str, Field(pattern=r"^$|^[0-9A-Fa-f-]{4,36}$", title="run")]
RunId = Annotated[str, Field(pattern=r"^[0-9A-Fa-f-]{4,36}$", title="run")]

_TIME_SCHEMA: Final = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"}
ClockTime = Annotated[time, WithJsonSchema(_TIME_SCHEMA)]
TimeZone = Annotated[str, Field(json_schema_extra={"enum": ["UTC", *sorted(available_timezones() - {"UTC"})]})]


def named(format: Format) -> str | None:
    """The format that was named; None when it is to be found out."""
    return None if format == "detect" else format
