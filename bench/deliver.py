"""`python -m bench.deliver`: how fast events are delivered to an API on this machine, in three ways.

The API answers at once and remembers ids; it and the sender share the machine, so an API elsewhere leaves more to
the sender. The original client made 31 events/s at concurrency 10.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hindcast.synthetic import GenerateSpec, generate

API = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
import msgspec
seen = set()
async def one(request):
    event = msgspec.json.decode(await request.body())
    there = event["event_id"] in seen
    seen.add(event["event_id"])
    return JSONResponse({"message": "already exists" if there else "stored"}, 200 if there else 201)
async def many(request):
    events = msgspec.json.decode(await request.body())["events"]
    seen.update(event["event_id"] for event in events)
    return JSONResponse({"message": "stored"}, 201)
app = Starlette(routes=[Route("/events", one, methods=["POST"]), Route("/events/batch", many, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
WAYS = {
    "one event a request, concurrency 20": ["--concurrency", "20"],
    "one event a request, one after the other": ["--sequential", "--limit", "3000"],
    "500 events a request, concurrency 20": ["--concurrency", "20", "--batch-size", "500"],
}


def main() -> None:
    """Deliver in each way, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "events.jsonl"
        generate(GenerateSpec("api_monitoring", count, 1, export, defects=False))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([sys.executable, "-c", API, str(port)])
        try:
            _await(port)
            for name, options in WAYS.items():
                print(f"{name}: {_measure(export, port, options, folder)}")  # noqa: T201  # its purpose
        finally:
            server.terminate()
            server.wait()


def _measure(export: Path, port: int, options: list[str], folder: str) -> str:
    url = f"http://127.0.0.1:{port}/events"
    command = [sys.executable, "-m", "flows.cli", "deliver", "-f", str(export), "--to", url]
    journal = ["--journal", f"{folder}/journal", "--again", "--json"]
    done = subprocess.run([*command, *options, *journal], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    latency = ", ".join(f"{name} {value:g}" for name, value in facts["latency_ms"].items())
    return f"{facts['events_per_second']:,} events/s; latency in ms: {latency}"


def _await(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("the local API did not start")


if __name__ == "__main__":
    main()
