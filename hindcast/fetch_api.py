"""Amplitude's Export API: one request, with all the patience it needs. https://amplitude.com/docs/apis/analytics/export

Basic auth; `start` and `end` are hours, `end` included; the range is by the time of upload. 404 is an empty range, 400
one of over 4 GB. A body is streamed to disk, synced and checked before anything believes in it.
"""

import base64
import ipaddress
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from hindcast.errors import ConfigurationError, ExportError
from hindcast.fetch_hours import Piece, name_project
from hindcast.retry_after import read_retry_after
from hindcast.settings import Settings

URLS: Final = {
    "us": "https://amplitude.com/api/2/export",
    "eu": "https://analytics.eu.amplitude.com/api/2/export",
}
_HOUR: Final = "%Y%m%dT%H"
_EXCERPT_BYTES: Final = 2_000
_FOR_LATER: Final = (408, 425, 429)
# What zipfile raises for bytes that are no zip, or one it cannot read; OSError is bz2, and a seek before the start.
_NO_ZIP: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
_Notice = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """How often one request is tried, and how long is waited between; all times in seconds."""

    attempts: int = 8
    first_wait: float = 2.0
    longest_wait: float = 120.0
    longest_retry_after: float = 3_600.0
    connect_timeout: float = 15.0
    # A busy hour is put together by Amplitude before its first byte is sent.
    read_timeout: float = 300.0


@dataclass(frozen=True)
class Download:
    """A checked file: its size and the sha256 of its bytes."""

    size_bytes: int
    sha256: str


class TooLarge(ExportError):
    """The range has more than the Export API gives at once."""


class _TryAgain(Exception):
    """A fault of the moment; `retry_after` is what the server asks for, in seconds."""

    def __init__(self, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class ExportApi:
    """One project at one address. The keys are in no message, whatever the server answers."""

    def __init__(
        self, settings: Settings, cluster: str, patience: Patience | None = None, notice: _Notice = lambda _: None
    ) -> None:
        """Raises ConfigurationError when a key is missing or the address would send it unprotected."""
        key, secret = settings.amplitude_api_key, settings.amplitude_secret_key
        if not (key and key.get_secret_value()) or not (secret and secret.get_secret_value()):
            raise ConfigurationError("AMPLITUDE_API_KEY, AMPLITUDE_SECRET_KEY: both are needed to fetch")
        self.project = name_project(cluster, key.get_secret_value())
        self.requests, self.retries = 0, 0
        self.sleep: Callable[[float], None] = time.sleep
        self._url = _check_url(settings.amplitude_export_url) or URLS[cluster]
        self._patience = patience or Patience()
        self._notice = notice
        pair = key.get_secret_value(), secret.get_secret_value()
        self._secrets = (*pair, base64.b64encode(":".join(pair).encode()).decode())
        self._client = httpx.Client(
            auth=httpx.BasicAuth(*pair),
            headers={"Accept-Encoding": "identity", "User-Agent": "hindcast"},
            timeout=httpx.Timeout(self._patience.read_timeout, connect=self._patience.connect_timeout),
        )

    def __enter__(self) -> "ExportApi":
        """Nothing is opened before it is needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close its connections."""
        self._client.close()

    def download(self, piece: Piece, target: Path) -> Download | None:
        """Put the hours' zip at `target`, durably; None when there is nothing in them.

        Raises TooLarge, ConfigurationError (the keys are refused), ExportError (anything else, or patience is out).
        """
        patience = self._patience
        try:
            return Retrying(
                retry=retry_if_exception_type(_TryAgain),
                wait=self._choose_wait,
                stop=stop_after_attempt(patience.attempts),
                before_sleep=self._tell_wait,
                sleep=lambda seconds: self.sleep(seconds),
                reraise=True,
            )(self._try_once, piece, target)
        except _TryAgain as error:
            raise ExportError(
                f"hours {piece}: {error}, at the last of {patience.attempts} attempts; run the same command to go on"
            ) from None

    def _try_once(self, piece: Piece, target: Path) -> Download | None:
        self.requests += 1
        query = {"start": f"{piece.start:{_HOUR}}", "end": f"{piece.last:{_HOUR}}"}
        with _faults_of_transport(), self._client.stream("GET", self._url, params=query) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            if response.status_code != httpx.codes.OK:
                self._refuse(piece, response)
            download = _write_body(response, target)
        return download if _has_members(target) else None

    def _refuse(self, piece: Piece, response: httpx.Response) -> None:
        status, said = response.status_code, self._read_excerpt(response)
        if status == httpx.codes.BAD_REQUEST:
            raise TooLarge(f"hours {piece}: Amplitude refuses the range (HTTP 400{said}), as it does over 4 GB")
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ConfigurationError(
                f"HTTP {status}{said}: check AMPLITUDE_API_KEY and AMPLITUDE_SECRET_KEY, and --cluster us or eu"
            )
        if status in _FOR_LATER or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            seconds = read_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
            if seconds is not None and seconds > self._patience.longest_retry_after:
                raise ExportError(
                    f"hours {piece}: HTTP {status}{said}, try again in {seconds:,.0f} s; run the same command then"
                )
            raise _TryAgain(f"HTTP {status}{said}", seconds)
        raise ExportError(f"hours {piece}: HTTP {status}{said}: expected 200, 400, 404 or 429; check the address")

    def _read_excerpt(self, response: httpx.Response) -> str:
        body = b""
        with suppress(httpx.HTTPError):
            for block in response.iter_bytes(_EXCERPT_BYTES):
                body += block
                if len(body) >= _EXCERPT_BYTES:
                    break
        text = " ".join(body.decode("utf-8", "replace").split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return f": {text[:120]!r}" if text else ""

    def _choose_wait(self, state: RetryCallState) -> float:
        jittered = wait_random_exponential(self._patience.first_wait, self._patience.longest_wait)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _TryAgain) else None
        # Never sooner than asked for; the jitter keeps those who were told the same from coming at the same moment.
        return jittered if asked is None else asked + min(jittered, self._patience.first_wait)

    def _tell_wait(self, state: RetryCallState) -> None:
        self.retries += 1
        error = state.outcome.exception() if state.outcome else None
        self._notice(f"{error}; attempt {state.attempt_number + 1} in {state.upcoming_sleep:.1f} s")


def _check_url(text: str) -> str:
    if not text:
        return ""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ConfigurationError(f"HINDCAST_AMPLITUDE_EXPORT_URL {text[:80]!r}: not an address") from None
    if url.userinfo:
        raise ConfigurationError(
            "HINDCAST_AMPLITUDE_EXPORT_URL: no keys in it; set AMPLITUDE_API_KEY and AMPLITUDE_SECRET_KEY"
        )
    if not url.host or (url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host))):
        raise ConfigurationError(f"HINDCAST_AMPLITUDE_EXPORT_URL {text[:80]!r}: expected https")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _faults_of_transport() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise _TryAgain(f"no answer in time ({type(error).__name__})") from None
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise _TryAgain(
            f"the connection failed ({' '.join(str(error).split())[:120] or type(error).__name__})"
        ) from None


def _write_body(response: httpx.Response, target: Path) -> Download:
    digest, size_bytes = sha256(), 0
    try:
        with target.open("wb") as file:
            for block in response.iter_bytes(1 << 20):
                file.write(block)
                digest.update(block)
                size_bytes += len(block)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}; nothing was kept of this request") from None
    return Download(size_bytes, digest.hexdigest())


def _has_members(path: Path) -> bool:
    """Read a zip whole, comparing CRCs; False for a sound one without members."""
    if not path.stat().st_size:
        raise _TryAgain("HTTP 200 with an empty body")
    try:
        with zipfile.ZipFile(path) as archive:
            if bad := archive.testzip():
                raise _TryAgain(f"the zip's member {bad[:80]!r} does not have the CRC it should")
            return bool(archive.infolist())
    except _NO_ZIP as error:
        raise _TryAgain(f"the body is not a whole zip ({' '.join(str(error).split())[:80]})") from None
