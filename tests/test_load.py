"""Loading into a real database: once, again, in pieces, killed, and several at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from loading import Import, begin, count_events, load, make_event, note_commits, query, stage, write_export

from hindcast.database import connect
from hindcast.errors import TransientError
from hindcast.ledger import Counts, find_run, open_run
from hindcast.load import load_chunks
from hindcast.pool import WorkerPool
from hindcast.settings import load_settings

pytest_plugins = ["loading_fixtures"]

SAMPLE = Path(__file__).parent / "data" / "analytics-history-sample.jsonl"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "export.jsonl", (make_event(number) for number in range(100)))


def run_at_once(*calls: Import) -> list[BaseException]:
    """Load in threads that begin together; returns what was raised."""
    barrier, raised = threading.Barrier(len(calls)), []

    def run(begun: Import) -> None:
        barrier.wait()
        try:
            load_chunks(begun.task())
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            raised.append(error)

    threads = [threading.Thread(target=run, args=(begun,)) for begun in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@contextmanager
def counted_journeys(monkeypatch: pytest.MonkeyPatch, trace: Path) -> Iterator[Callable[[], int]]:
    """How often the server told a loader that it waits for the next command, by libpq's own trace."""
    import hindcast.load

    own = hindcast.load.connect
    with trace.open("wb") as file, monkeypatch.context() as patch:

        @contextmanager
        def traced(*arguments: Any, **named: Any) -> Iterator[psycopg.Connection]:
            with own(*arguments, **named) as connection:
                connection.pgconn.trace(file.fileno())
                yield connection
                connection.pgconn.untrace()

        patch.setattr(hindcast.load, "connect", traced)
        yield lambda: trace.read_text(errors="replace").count("ReadyForQuery")


def test_a_chunk_takes_few_journeys_to_a_database_far_away(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To begin, for its rows (and one more, until the server says that it takes them), for its lines, to commit.
    monkeypatch.setenv("HINDCAST_CHUNK_SIZE", "10")
    events = [make_event(n) for n in range(100)]
    for first in range(0, 100, 10):  # a chunk's last two have its first's own id, and contradict it
        events[first] |= {"event_id": f"own-{first}"}
        events[first + 8], events[first + 9] = (events[first] | {"user_id": f"other-{n}"} for n in (1, 2))
    export = write_export(tmp_path / "export.jsonl", events)
    begun = begin(target, export)
    found = []
    for chunks in ((0,), (1, 2, 3, 4, 5)):  # all in one month
        with counted_journeys(monkeypatch, tmp_path / f"trace-{chunks[0]}") as count:
            load_chunks(replace(begun.task(*chunks), asks_own_ids=False))
            found.append(count())
    assert found[1] - found[0] == 4 * 4  # of four chunks more
    assert begun.counts() == Counts(lines=60, loaded=48, conflict=12)


def test_the_sample_loads_three_events_and_none_again(target: str) -> None:
    assert load(target, SAMPLE).counts() == Counts(lines=3, loaded=3)
    assert load(target, SAMPLE).counts() == Counts(lines=3, duplicate=3)
    assert count_events(target) == 3


def test_a_row_says_what_its_line_says_and_where_it_was(target: str) -> None:
    load(target, SAMPLE)
    found = query(
        target,
        "SELECT e.*, c.part FROM analytics_events AS e"
        " JOIN import_chunks AS c ON c.chunk_id = e.import_chunk_id"
        " WHERE export_line = 2",
    )
    (row,) = found
    assert str(row[1]) == "2024-07-01 15:08:10+00:00"
    assert row[2:12] == (
        "analytics_history", "", "lesson_completed", "demo-user-1", None, "sess-a",
        "course-foundations", "lesson-intro", "module-1", None,
    )  # fmt: skip
    assert row[12:14] == ({"progress": 1, "time_spent_seconds": 420}, None)
    assert row[-1] == "analytics-history-sample.jsonl"


def test_chunks_of_one_record_give_the_same_table(target: str, export: Path) -> None:
    begun = load(target, export, chunk=1)
    assert len(begun.manifest.chunks) == 100
    assert begun.counts() == Counts(lines=100, loaded=100)
    assert begun.verify().status == "passed"


def test_loading_a_chunk_that_is_in_the_ledger_changes_nothing(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=10)
    first = load_chunks(begun.task())
    rows = query(target, "SELECT ctid, * FROM analytics_events ORDER BY event_id")
    assert load_chunks(begun.task()) == first
    assert query(target, "SELECT ctid, * FROM analytics_events ORDER BY event_id") == rows


def test_an_interrupted_run_goes_on_with_the_chunks_that_lack(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=30)
    begun.load(0, 2)
    begun.finish("interrupted")
    again = begin(target, export, chunk=30)
    assert again.run.run_id == begun.run.run_id
    assert (again.run.attempts, again.run.committed) == (2, frozenset({0, 2}))
    assert again.load(1, 3) == Counts(lines=100, loaded=100)


def test_rows_deleted_since_are_loaded_again_by_a_new_run(target: str, export: Path) -> None:
    first = load(target, export, chunk=30)
    query(target, "DELETE FROM analytics_events WHERE export_line BETWEEN 26 AND 35")
    again = load(target, export, chunk=30)
    assert again.counts() == Counts(lines=100, loaded=10, duplicate=90)
    assert again.verify().status == "passed"
    assert first.verify().status == "passed", "whose rows they are now does not matter to what they say"


def test_duplicates_are_counted_in_a_chunk_across_chunks_and_against_the_table(target: str, tmp_path: Path) -> None:
    load(target, write_export(tmp_path / "before.jsonl", [make_event(1)]))
    respelled = make_event(2, occurred_at="2024-01-31T23:02:00+00:00", payload={"progress": 2e-2, "number": 2.0})
    numbers = [make_event(0), make_event(0), make_event(2), make_event(1), respelled, make_event(3)]
    begun = load(target, write_export(tmp_path / "export.jsonl", numbers), chunk=3)
    assert begun.counts() == Counts(lines=6, loaded=3, duplicate=3)
    assert query(target, "SELECT lines, loaded, duplicate FROM import_chunks ORDER BY chunk_id DESC LIMIT 2") == [
        (3, 1, 2),
        (3, 2, 1),
    ]


def test_two_loaders_of_one_run_load_nothing_twice(target: str, export: Path) -> None:
    begun = begin(target, export, chunk=4)
    assert run_at_once(begun, begun) == []
    assert begun.counts() == Counts(lines=100, loaded=100)
    assert count_events(target) == 100


def test_two_runs_of_one_export_at_once_load_nothing_twice(target: str, tmp_path: Path) -> None:
    records = [make_event(n, event_id=f"own-{n}" if n % 3 else None) for n in range(60)]
    file = write_export(tmp_path / "export.jsonl", records)
    one, two = begin(target, file, chunk=5), begin(target, file, chunk=7)
    assert run_at_once(one, two) == []
    assert one.counts().loaded + two.counts().loaded == 60 == count_events(target)
    assert one.counts().conflict + two.counts().conflict == 0


def test_a_connection_killed_in_the_middle_of_a_chunk_leaves_nothing_and_the_next_try_all(
    target: str, export: Path
) -> None:
    begun = begin(target, export)
    with psycopg.connect(target) as blocker:
        blocker.execute("LOCK TABLE import_chunks IN SHARE ROW EXCLUSIVE MODE")  # the ledger's row must wait
        loader = threading.Thread(target=lambda: raised.append(_catch(begun)))
        raised: list[object] = []
        loader.start()
        while not blocker.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'import_chunks'::regclass AND NOT granted"
        ).fetchone():
            assert loader.is_alive()
        loader.join()
    assert isinstance(raised[0], TransientError)
    assert (count_events(target), begun.counts()) == (0, Counts())
    assert begun.load() == Counts(lines=100, loaded=100)


def _catch(begun: Import) -> BaseException | None:
    try:
        begun.load()
    except TransientError as error:
        return error
    return None


def test_rejects_are_kept_with_their_place_and_the_books_balance(target: str, tmp_path: Path) -> None:
    lines = [make_event(0), "", "{broken", make_event(1), '{"event_type":"x"}']
    begun = load(target, write_export(tmp_path / "export.jsonl", lines), chunk=2, format="analytics_history")
    assert begun.counts() == Counts(lines=4, loaded=2, rejected=2)
    assert query(target, "SELECT part, line, code, raw FROM import_rejects ORDER BY line") == [
        ("export.jsonl", 3, "malformed_json", "{broken"),
        ("export.jsonl", 5, "missing_time", '{"event_type":"x"}'),
    ]


def test_the_ledger_refuses_a_chunk_whose_books_do_not_balance(target: str, export: Path) -> None:
    load(target, export)
    with pytest.raises(psycopg.errors.CheckViolation, match="import_chunks_balance"):
        query(target, "UPDATE import_chunks SET loaded = loaded - 1")


def test_a_chunk_without_events_is_in_the_ledger_too(target: str, tmp_path: Path) -> None:
    begun = load(target, write_export(tmp_path / "export.jsonl", ["nothing"]), format="analytics_history")
    assert begun.counts() == Counts(lines=1, rejected=1)
    assert begun.verify().status == "passed"


def test_very_long_user_ids_are_loaded(target: str, tmp_path: Path) -> None:
    records = [make_event(n, user_id=f"{n}" + "é" * 999, session_id="s" * 1000) for n in range(3)]
    begun = load(target, write_export(tmp_path / "export.jsonl", records))
    assert begun.counts().loaded == 3
    assert query(target, "SELECT DISTINCT length(user_id), length(session_id) FROM analytics_events") == [(1000, 1000)]


def test_texts_that_are_special_to_copy_arrive_as_they_are(target: str, tmp_path: Path) -> None:
    texts = [
        "\\.",
        "\\N",
        '"',
        '""',
        "a,b",
        "a\nb",
        "a\r\nb",
        "\r",
        "\t",
        " ",
        "'",
        "\\",
        "NULL",
        "\u2028",
        "é\U0001f9a9",
    ]
    records = [make_event(n, user_id=text, payload={"text": text}) for n, text in enumerate(texts)]
    begun = load(target, write_export(tmp_path / "export.jsonl", [*records, make_event(99, user_id="")]))
    found = query(target, "SELECT user_id, payload ->> 'text' FROM analytics_events ORDER BY created_at")
    assert found == [*((text, text) for text in texts), (None, None)]
    assert begun.verify().status == "passed"


def test_the_same_own_id_of_two_tenants_is_two_events(target: str, tmp_path: Path) -> None:
    file = write_export(tmp_path / "export.jsonl", [make_event(1, event_id="own")])
    for tenant in ("north", "south"):
        assert load(target, file, tenant=tenant).counts() == Counts(lines=1, loaded=1)
    assert load(target, file, tenant="south").counts() == Counts(lines=1, duplicate=1)


def test_worker_processes_load_the_same(target: str, export: Path) -> None:
    settings = load_settings()
    with WorkerPool(2) as pool:
        plan, folder, manifest = stage(export, pool, chunk=9)
        begun = begin(target, export, chunk=9)
        assert (begun.folder, begun.manifest.seal) == (folder, manifest.seal)
        groups = [(begun.task(*range(n, 12, 4)),) for n in range(4)]
        results = list(pool.map_unordered("hindcast.load:load_chunks", groups))
        with connect(target, settings) as connection:
            assert open_run(connection, plan, "ab").committed == set(range(12))
            assert find_run(connection, str(begun.run.run_id)[:8])["operator"] == "ab"
    assert sum(counts.loaded for group in results for counts in group) == 100 == count_events(target)


def test_only_the_last_chunk_of_a_call_waits_for_the_disk(target: str, export: Path) -> None:
    note_commits(target)
    load(target, export, chunk=25)
    assert query(target, "SELECT setting FROM noted_commits") == [("off",), ("off",), ("off",), ("on",)]
    assert query(target, "SHOW synchronous_commit") == [("on",)]
