"""dlt into PostgreSQL, keyed by event_id. Runs in an environment of its own, which has dlt.

`dlt_load.py URL FILE TABLE WAY`; prints {"seconds": ...}: from the first byte to the end of the load.
`default` is what the documentation's first page gives; `tuned` merges by upsert from CSV files in larger buffers;
`arrow` hands dlt Arrow tables and only inserts what is not there.
"""

import json
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import dlt
from dlt.destinations import postgres

DISPOSITIONS: dict[str, Any] = {
    "default": "merge",
    "tuned": {"disposition": "merge", "strategy": "upsert"},
    "arrow": {"disposition": "merge", "strategy": "insert-only"},
}
COLUMNS: dict[str, Any] = {
    "event_id": {"data_type": "text", "nullable": False},
    "created_at": {"data_type": "timestamp"},
    "payload": {"data_type": "json"},
}


def main() -> None:
    """Load the file."""
    url, file, table, way = sys.argv[1:]
    tune(way)
    pipeline = dlt.pipeline(
        pipeline_name=f"peer_{way}",
        pipelines_dir=str(Path(file).parent / f"dlt-{way}-{time.time_ns()}"),
        # dlt insists on a host and a password; the socket's folder in the query is what counts.
        destination=postgres(credentials=url.replace("postgres@/", "postgres:none@localhost/")),
        dataset_name="peer",
    )
    resource = dlt.resource(
        read_tables(file) if way == "arrow" else read_rows(file),
        name=table,
        write_disposition=DISPOSITIONS[way],
        primary_key="event_id",
        columns=COLUMNS,
    )
    began = time.perf_counter()
    info = pipeline.run(resource, **({} if way == "default" else {"loader_file_format": "csv"}))
    info.raise_on_failed_jobs()
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - began}) + "\n")


def tune(way: str) -> None:
    """Set what dlt's page on performance names."""
    if way != "default":
        dlt.config["data_writer.buffer_max_items"] = 50_000
        dlt.config["normalize.data_writer.file_max_items"] = 50_000
        dlt.config["normalize.workers"] = 2


def read_rows(file: str) -> Iterator[list[dict[str, Any]]]:
    """Pages of records."""
    with Path(file).open("rb") as lines:
        while page := list(islice(lines, 10_000)):
            yield [json.loads(line) for line in page]


def read_tables(file: str) -> Iterator[Any]:
    """The same as Arrow tables, the payload as text."""
    import pyarrow

    for page in read_rows(file):
        for row in page:
            row["payload"] = json.dumps(row["payload"])
        yield pyarrow.Table.from_pylist(page)


if __name__ == "__main__":
    main()
