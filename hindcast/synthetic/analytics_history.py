"""Generates exports of a learning platform's history, with defects planted at known shares and an answer key."""

from hindcast.synthetic.blocks import write_planted
from hindcast.synthetic.history_plan import KINDS
from hindcast.synthetic.history_records import HistoryRecords
from hindcast.synthetic.spec import Answers, GenerateSpec


def generate_analytics_history(spec: GenerateSpec) -> Answers:
    """Write the export and its answer key; both are complete or absent, whatever happens on the way."""
    return write_planted(spec, HistoryRecords(spec), KINDS)
