"""The application: one route, the order of its checks, its answers."""

import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from hindcast.capture.body import Body
from hindcast.capture.keep import Keeper
from hindcast.capture.parts import PartsReader, read_boundary
from hindcast.capture.refusal import Refused
from hindcast.capture.request import read_request
from hindcast.capture.sessions import Sessions
from hindcast.capture.tokens import Tokens
from hindcast.database import require_schema, target_url
from hindcast.errors import HindcastError
from hindcast.llm_events import Reading
from hindcast.objects.store import ObjectStore, open_store
from hindcast.settings import Settings, load_settings
from hindcast.times import FUTURE_TOLERANCE

PATH = "/i/v0/ai"
_log = logging.getLogger("hindcast.capture")


def make_app() -> Starlette:
    """The application that the environment asks for; raises before it serves when the target is not ready."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a sender's faults are told to the sender
    settings = load_settings()
    url = target_url(settings)
    return create_app(settings, url, open_store(settings))


def create_app(settings: Settings, url: str, store: ObjectStore) -> Starlette:
    """The application over a database and a store. Sessions are closed when it shuts down."""
    sessions = Sessions(url, settings)
    with sessions.lend() as connection:
        require_schema(connection)
    configured = settings.capture_tokens.get_secret_value() if settings.capture_tokens else ""
    tokens = Tokens(sessions, [token.strip() for token in configured.split(",") if token.strip()])
    spool = settings.home / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    endpoint = _Endpoint(tokens, Keeper(sessions, store), spool)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        sessions.close()

    return Starlette(
        routes=[Route(PATH, endpoint.capture, methods=["POST"]), Route("/healthz", _tell_health, methods=["GET"])],
        exception_handlers={HTTPException: _answer_exception},
        lifespan=lifespan,
    )


class _Endpoint:
    def __init__(self, tokens: Tokens, keeper: Keeper, spool: Path) -> None:
        self._tokens, self._keeper, self._spool = tokens, keeper, str(spool)

    async def capture(self, request: Request) -> JSONResponse:
        body = Body(request)
        try:
            try:
                return JSONResponse({"accepted_parts": await self._capture(request, body)})
            except Refused as refusal:
                refusal = await body.drain() or refusal
                return _answer(refusal.status, refusal.sentence)
        except ClientDisconnect:
            return _answer(400, "body: the sender went away")

    async def _capture(self, request: Request, body: Body) -> list[dict[str, Any]]:
        await body.begin()
        boundary = read_boundary(request.headers.get("content-type"))
        team = await self._authenticate(request)
        parts = PartsReader(boundary, self._spool)
        try:
            async for block in body.blocks():
                parts.feed(block)
            now = datetime.now(UTC)
            captured = read_request(parts.finish(), Reading(team, now + FUTURE_TOLERANCE, arrived_at=now))
            await run_in_threadpool(self._keeper.keep, captured)
        finally:
            parts.close()
        return captured.accepted_parts

    async def _authenticate(self, request: Request) -> str:
        try:
            return await run_in_threadpool(self._tokens.find_team, request.headers.get("authorization"))
        except HindcastError as error:
            _log.error("token not checked: %s", error)
            raise Refused(503, "the database is not available; try again later") from error


async def _tell_health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def _answer_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    answer = _answer(error.status_code, {404: f"expected POST {PATH}", 405: "expected POST"}.get(error.status_code, ""))
    answer.headers.update(error.headers or {})
    return answer


def _answer(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)
