"""What flows take from a form: types whose bounds the Prefect API checks before a run exists.

The API knows JSON schema only: enums, bounds and patterns. Bounds are here, descriptions in the flows' docstrings.
"""

from datetime import time
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import Field, WithJsonSchema

Format = Literal["analytics_history"]
OnConflict = Literal["keep", "replace", "fail"]

_DAY: Final = r"(\d{4}-\d\d-\d\d|\d{8})"
_CLOCK: Final = r"([T ]\d\d:?\d\d(:?\d\d(\.\d{1,9})?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
_MOMENT: Final = rf"({_DAY}{_CLOCK}|\d{{10}}|\d{{13}})?"

ExportPath = Annotated[str, Field(min_length=1, max_length=4096, title="file")]
Dataset = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$", max_length=100, title="dataset")]
WindowText = Annotated[str, Field(pattern=rf"^\s*({_MOMENT}\s*\.\.\s*{_MOMENT}\s*)?$", title="window")]
ChunkRecords = Annotated[int, Field(ge=1, le=1_000_000, title="chunk")]
RecordLimit = Annotated[int, Field(ge=1, title="limit")]
Tenant = Annotated[str, Field(max_length=256, title="tenant")]
Initials = Annotated[str, Field(max_length=40, title="operator")]
RunId = Annotated[str, Field(pattern=r"^[0-9A-Fa-f-]{4,36}$", title="run")]

_TIME_SCHEMA: Final = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?$"}
ClockTime = Annotated[time, WithJsonSchema(_TIME_SCHEMA)]
TimeZone = Annotated[str, Field(json_schema_extra={"enum": ["UTC", *sorted(available_timezones() - {"UTC"})]})]
