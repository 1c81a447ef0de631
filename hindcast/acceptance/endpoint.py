"""A capture endpoint served by this process, on a free port of loopback, for as long as it is asked for."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hindcast.errors import TargetError
from hindcast.objects.store import ObjectStore
from hindcast.settings import Settings
from hindcast.sockets import LOOPBACK

if TYPE_CHECKING:
    from starlette.applications import Starlette

_START_SECONDS: Final = 30


@contextlib.contextmanager
def served(app: "Starlette") -> Iterator[str]:
    """Serve an application; yields its address. Returns when it has shut down."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            server.should_exit = True
            raise TargetError("the capture endpoint did not start; `hindcast capture` says why")
        time.sleep(0.01)
    try:
        yield f"http://{LOOPBACK}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def served_capture(settings: Settings, url: str, store: ObjectStore) -> Iterator[str]:
    """Serve the project's own endpoint over a database and a store; yields its address."""
    from hindcast.capture.app import create_app

    with served(create_app(settings, url, store)) as address:
        yield address
