"""What the report says of the run's manners, in sentences: preflight, the load's pace, exports kept."""

from typing import Any

from hindcast.report_format import count_of, number, seconds


def describe_manners(report: dict[str, Any]) -> list[tuple[str, str]]:
    """(topic, sentence) in the order of the run; works on a completed report. Topics: preflight, pace, kept."""
    sentences = [("preflight", check["sentence"]) for check in report["preflight"] if check["status"] != "passed"]
    sentences += [("pace", sentence) for sentence in _describe_pace(report["governor"])]
    kept = [row for row in report["kept"] if row["status"] == "kept"]
    if kept:
        first = kept[0]["kept_as"]
        others = f" and {count_of(len(kept) - 1, 'other')}" if len(kept) > 1 else ""
        sentences.append(("kept", f"{first}{others}, read back and equal"))
    sentences += [("kept", f"{row['part']}: not kept: {row['reason']}") for row in report["kept"] if row not in kept]
    return sentences


def _describe_pace(governor: dict[str, Any]) -> list[str]:
    if not governor:
        return []
    ceiling = governor["max_rows_per_second"]
    most = f", at most {number(ceiling)} records a second" if ceiling else ""
    if governor["status"] != "on":
        return [f"no governor{most}"]
    if governor["lowest_rows_per_second"] is None:
        first = f"no limit was crossed in {count_of(governor['samples'], 'sample')}{most}"
    else:
        held, slowed = seconds(governor["held_seconds"]), seconds(governor["slowed_seconds"])
        lowest = number(round(governor["lowest_rows_per_second"]))
        decisions = count_of(governor["decisions"], "decision")
        first = f"{decisions}, held {held}, slowed {slowed}, lowest {lowest} records a second{most}"
    signals = [_describe_signal(signal) for signal in governor["signals"] if signal["status"] != "nothing to see"]
    return [first, *signals, *(f"governor: {sentence}" for sentence in governor["failures"])]


def _describe_signal(signal: dict[str, Any]) -> str:
    if signal["status"] == "off":
        return f"{signal['signal']}: not watched: {signal['reason']}"
    over = f", over it in {count_of(signal['samples_over_limit'], 'sample')}" if signal["samples_over_limit"] else ""
    unit = signal["unit"]
    return f"{signal['signal']}: at most {signal['highest']:g} {unit} of {signal['limit']:g} {unit}{over}"
