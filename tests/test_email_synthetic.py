"""The generator of email engagement exports: its counts, its statistics, and that breakers and hot paths act."""

import json
import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from flows.cli import cli
from hindcast.synthetic import Answers, GenerateSpec, generate
from hindcast.synthetic.email_engagement import END, START, plan_export
from hindcast.synthetic.email_odd import KINDS as ODD_KINDS
from hindcast.synthetic.email_personas import (
    ESPS,
    FATIGUE,
    FULL_PEOPLE,
    PERSONAS,
    SLOTS,
    TICKET_HOURS,
    hot_factor,
    latency_factor,
)
from hindcast.synthetic.email_simulation import (
    CLICKED,
    DELIVERED,
    HOUR_MS,
    KINDS,
    MARKED_SPAM,
    OPENED,
    SENT,
    UNSUBSCRIBED,
    History,
)
from hindcast.synthetic.email_summary import count_personas

STANDARD_ERRORS = 4  # of nine personas at once, with a fixed seed


@pytest.fixture(scope="module")
def history() -> History:
    return plan_export(1, START, END, None).history


def of_kind(history: History, kind: int, is_bot: int = 0) -> set[int]:
    """The messages that had an event of that kind."""
    events = zip(history.kind, history.message, history.is_bot, strict=True)
    return {message for found, message, bot in events if found == kind and bot == is_bot}


def make(out: Path, count: int = 3_000, **fields: Any) -> Answers:
    return generate(replace(GenerateSpec("email_engagement", count, 1, out, START, END), **fields))


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path)]


def test_a_full_history_has_the_people_and_about_the_events_of_the_source(history: History) -> None:
    assert history.people == FULL_PEOPLE == 350
    assert 80_000 <= len(history) <= 100_000
    assert [figures.people for figures in count_personas(history)] == [50, 50, 30, 40, 35, 45, 50, 20, 30]


def test_people_open_as_often_as_their_persona_fatigue_and_hot_paths_say(history: History) -> None:
    for persona, figures in zip(PERSONAS, count_personas(history), strict=True):
        late = 40 * figures.people / 50  # opens after the window's end
        gap = figures.opened_by_people - figures.expected_opens
        assert -late - STANDARD_ERRORS * math.sqrt(figures.variance) < gap, persona.name
        assert gap < STANDARD_ERRORS * math.sqrt(figures.variance), persona.name


def test_people_click_as_often_as_their_persona_says(history: History) -> None:
    for persona, figures in zip(PERSONAS, count_personas(history), strict=True):
        opens = figures.opened_by_people
        error = math.sqrt(opens * persona.click * (1 - persona.click))
        assert abs(figures.events["clicked"] - opens * persona.click) < STANDARD_ERRORS * error + 5, persona.name


def test_ninety_nine_of_a_hundred_messages_are_delivered(history: History) -> None:
    counted = Counter(history.kind)
    arrived = counted[DELIVERED] + counted[KINDS.index("bounced")]
    assert abs(counted[DELIVERED] / arrived - 0.99) < STANDARD_ERRORS * math.sqrt(0.99 * 0.01 / arrived)


@pytest.mark.parametrize("kind", [SENT, OPENED])
def test_people_are_there_at_the_peak_hours_of_their_persona(history: History, kind: int) -> None:
    for index, persona in enumerate(PERSONAS):
        if not 0 < len(persona.hours) < 24:
            continue
        hours = [
            at_ms // HOUR_MS % 24
            for at_ms, found, message in zip(history.at_ms, history.kind, history.message, strict=True)
            if found == kind and SLOTS[history.person[message] % len(SLOTS)] == index
        ]
        counted = Counter(hours)
        peak = sum(counted[hour] for hour in persona.hours) / len(persona.hours)
        others = [hour for hour in range(24) if persona.hour_weight(hour) < 0.5]
        assert peak > 3 * sum(counted[hour] for hour in others) / len(others), persona.name


def test_messages_spike_at_the_peak_minutes_of_their_persona(history: History) -> None:
    weighted: dict[float, list[int]] = {1.3: [], 1.0: [], 0.7: []}
    for index, persona in enumerate(PERSONAS):
        if not persona.minutes:
            continue
        minutes = Counter(
            sent_ms // 60_000 % 60
            for sent_ms, person, trigger in zip(history.sent_ms, history.person, history.trigger, strict=True)
            if SLOTS[person % len(SLOTS)] == index and not trigger
        )
        for minute in range(60):
            weighted[persona.minute_weight(minute)].append(minutes[minute])
    peak, usual, edge = (float(np.mean(weighted[weight])) for weight in (1.3, 1.0, 0.7))
    assert peak / usual == pytest.approx(1.3, rel=0.1)
    assert edge / usual == pytest.approx(0.7, rel=0.15)


def test_opens_are_delayed_exponentially_and_never_over_two_days(history: History) -> None:
    delays = [
        (at_ms - history.sent_ms[message] - history.latency_ms[message]) / 60_000
        for at_ms, kind, message, bot in zip(history.at_ms, history.kind, history.message, history.is_bot, strict=True)
        if kind == OPENED and not bot
    ]
    assert 90 < np.mean(delays) < 140
    assert min(delays) >= 2.5 / 60
    assert max(delays) <= 2_881


def test_fatigue_and_hot_paths_change_how_many_open(history: History) -> None:
    opened, delivered = of_kind(history, OPENED), of_kind(history, DELIVERED)

    def rate(is_hot: bool, fatigue: int) -> float:
        chosen = [m for m in delivered if bool(history.trigger[m]) == is_hot and history.fatigue[m] == fatigue]
        assert len(chosen) > 100
        return len(opened.intersection(chosen)) / len(chosen)

    assert rate(True, 1) > 1.2 * rate(False, 1)
    assert rate(False, 3) < 0.75 * rate(False, 0)


def test_a_hot_path_raises_the_chance_as_tabled_for_half_an_hour() -> None:
    assert hot_factor(0) == 2
    assert hot_factor(15) == pytest.approx(1 + 1 / math.e)
    assert (hot_factor(30.1), hot_factor(-1)) == (1, 1)
    assert FATIGUE == (1.0, 0.95, 0.85, 0.60)


@pytest.mark.parametrize(("kind", "breaker"), [(UNSUBSCRIBED, 2), (MARKED_SPAM, 3)])
def test_nothing_is_sent_for_a_week_after_a_goodbye(history: History, kind: int, breaker: int) -> None:
    sent: dict[int, list[int]] = {}
    for person, sent_ms in zip(history.person, history.sent_ms, strict=True):
        sent.setdefault(person, []).append(sent_ms)
    goodbyes = [
        (history.person[message], at_ms)
        for at_ms, found, message in zip(history.at_ms, history.kind, history.message, strict=True)
        if found == kind
    ]
    assert len(goodbyes) > 5
    for person, at_ms in goodbyes:
        assert not [s for s in sent[person] if at_ms < s < at_ms + 168 * HOUR_MS]
    assert breaker in history.resumed_after


def test_tickets_stop_messages_for_two_days_and_the_next_says_so(history: History) -> None:
    last: dict[int, int] = {}
    gaps = []
    for person, sent_ms, resumed in sorted(zip(history.person, history.sent_ms, history.resumed_after, strict=True)):
        if resumed == 1 and person in last:
            gaps.append(sent_ms - last[person])
        last[person] = sent_ms
    assert len(gaps) > 100
    assert min(gaps) >= TICKET_HOURS * HOUR_MS
    assert sum(history.suppressed) > sum(history.tickets)


def test_nobody_is_sent_more_than_three_messages_a_day(history: History) -> None:
    days = Counter(
        (person, sent_ms // (24 * HOUR_MS)) for person, sent_ms in zip(history.person, history.sent_ms, strict=True)
    )
    assert max(days.values()) <= 4  # three, and one that a visit late in the evening brought after midnight


def test_latency_is_lognormal_slowed_by_the_clock_and_bounded(history: History) -> None:
    for number, esp in enumerate(ESPS):
        taken = [
            latency_ms / 1000
            for sent_ms, found, latency_ms in zip(history.sent_ms, history.esp, history.latency_ms, strict=True)
            if found == number
            and latency_factor(
                esp.channel, (sent_ms // 86_400_000 + 3) % 7, sent_ms // HOUR_MS % 24, sent_ms // 60_000 % 60, 0
            )
            == 1
        ]
        logs = np.log(taken)
        assert abs(logs.mean() - esp.mean) < STANDARD_ERRORS * esp.sigma / math.sqrt(len(logs)) + 0.002, esp.name
        assert logs.std() == pytest.approx(esp.sigma, rel=0.15)
    assert max(history.latency_ms) <= 900_000


@pytest.mark.parametrize(
    ("channel", "weekday", "hour", "minute", "least", "most"),
    [("email", 0, 12, 0, 3, 6), ("sms", 0, 12, 0, 1, 1), ("email", 0, 12, 30, 1.3, 1.8), ("email", 0, 9, 7, 1.5, 2.5),
     ("push", 6, 12, 7, 0.7, 0.7), ("email", 0, 3, 7, 0.5, 0.5), ("email", 6, 8, 1, 3 * 1.5 * 0.7, 6 * 2.5 * 0.7)],
)  # fmt: skip
def test_the_clock_slows_esps_as_tabled(
    channel: str, weekday: int, hour: int, minute: int, least: float, most: float
) -> None:
    factors = [latency_factor(channel, weekday, hour, minute, draw) for draw in (0, 1)]
    assert factors == pytest.approx([least, most])


@pytest.mark.parametrize("count", [1, 97, 98, 1_000, 12_345])
def test_a_count_is_exact(tmp_path: Path, count: int) -> None:
    answers = make(tmp_path / "export.jsonl", count)
    assert len(lines(tmp_path / "export.jsonl")) == answers.lines == count
    assert answers.staged + answers.rejected == count


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        make(file, 500, seed=seed)
    one, same, other = (file.read_bytes() for file in files)
    assert one == same != other


def test_parts_and_compression_hold_the_same_records(tmp_path: Path) -> None:
    make(tmp_path / "export.jsonl")
    make(tmp_path / "parts", parts=3)
    parts = sorted((tmp_path / "parts").iterdir())
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "export.jsonl").read_bytes()


def test_records_are_in_order_of_time_with_ids_of_the_moment_of_generating(tmp_path: Path) -> None:
    make(tmp_path / "export.jsonl", defects=False)
    found = records(tmp_path / "export.jsonl")
    assert [r["timestamp"] for r in found] == sorted(r["timestamp"] for r in found)
    ids = [r["event_id"] for r in found]
    assert len(set(ids)) == len(ids)
    assert all(event_id[14] == "7" and event_id[19] in "89ab" for event_id in ids)
    generated = [datetime.fromtimestamp(int(event_id.replace("-", "")[:12], 16) / 1000, UTC) for event_id in ids]
    assert generated == sorted(generated) and generated[0] > END


def test_nothing_happens_to_a_message_before_it_was_sent(tmp_path: Path) -> None:
    make(tmp_path / "export.jsonl", defects=False)
    needs = {"delivered": "sent", "bounced": "sent", "opened": "delivered"}
    needs |= dict.fromkeys(("clicked", "unsubscribed", "marked_spam"), "opened")
    seen: dict[str, set[str]] = {}
    for r in records(tmp_path / "export.jsonl"):
        kinds = seen.setdefault(r["message_id"], set())
        assert needs.get(r["event_type"]) in {None, *kinds}
        kinds.add(r["event_type"])


def test_every_odd_kind_is_planted_and_counted(tmp_path: Path) -> None:
    answers = make(tmp_path / "export.jsonl")
    assert set(answers.planted) == {kind.__name__ for kind in ODD_KINDS}
    assert sum(answers.planted.values()) == 3_000 // 98
    assert make(tmp_path / "export.jsonl", defects=False).planted == {}


def test_a_click_follows_a_link(history: History) -> None:
    assert of_kind(history, CLICKED) <= of_kind(history, OPENED)


def test_the_command_summarises_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "export.jsonl"
    done = CliRunner().invoke(
        cli, ["generate", "email_engagement", "--count", "2000", "--summary", "--dry-run", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert all(persona.name in done.output for persona in PERSONAS)
    assert "circuit breakers" in done.output and "2,000 records" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_export_and_its_key(tmp_path: Path) -> None:
    out = tmp_path / "export.jsonl.gz"
    done = CliRunner().invoke(cli, ["generate", "email_engagement", "--count", "500", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "export.jsonl.gz.answers.json").read_text())["lines"] == 500
    assert CliRunner().invoke(cli, ["generate", "email_engagement"]).exit_code == 2
