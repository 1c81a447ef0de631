"""psycopg's executemany of single-row INSERTs, 500 at a time.

`executemany.py URL FILE TABLE BATCH`; prints {"seconds": ...}: from the first byte to the last commit.
"""

import json
import sys
import time
from itertools import islice
from pathlib import Path

import psycopg
from psycopg import sql

COLUMNS = (
    "event_id", "created_at", "event_type", "user_id", "session_id", "course_id", "lesson_id", "module_id",
    "user_agent", "payload",
)  # fmt: skip


def main() -> None:
    """Load the file."""
    url, file, table, size = sys.argv[1:]
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, COLUMNS)),
        sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS)),
    )
    with psycopg.connect(url) as connection, Path(file).open("rb") as lines:
        began = time.perf_counter()
        while batch := list(islice(lines, int(size))):
            rows = [json.loads(line) for line in batch]
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(
                    query,
                    [[*(row[name] for name in COLUMNS[:-1]), json.dumps(row["payload"])] for row in rows],
                )
        seconds = time.perf_counter() - began
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
