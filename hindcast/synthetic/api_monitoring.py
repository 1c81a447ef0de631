"""Generates exports of API monitoring as PulseStream writes them, with planted defects and an answer key."""

import re

from hindcast.synthetic.api_odd import kinds_for
from hindcast.synthetic.api_records import ApiRecords
from hindcast.synthetic.blocks import write_planted
from hindcast.synthetic.spec import Answers, GenerateSpec

ARRAY_NAME = re.compile(r"\.json(\.gz|\.zst)?$")


def generate_api_monitoring(spec: GenerateSpec) -> Answers:
    """Write the export and its answer key: one JSON array when `out` is a .json file, else JSON lines."""
    is_array = spec.parts == 1 and ARRAY_NAME.search(spec.out.name) is not None
    return write_planted(spec, ApiRecords(spec), kinds_for(is_array), is_array)
