"""Which records of an export an API has acknowledged, so that a delivery that broke off goes on."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Final

from hindcast.errors import ConfigurationError
from hindcast.export import Part

_NUMBER: Final = struct.Struct("<I")
_VERSION: Final = 1


def delivery_key(parts: list[Part], url: str) -> str:
    """Names a delivery: these bytes to that address."""
    facts = [[part.name, part.fingerprint] for part in parts]
    return hashlib.sha256(json.dumps([facts, url]).encode()).hexdigest()


class Journal:
    """Numbers of acknowledged records, from 0 in the order of the export; four bytes each, written as they come.

    A record whose acknowledgement was lost with the process is delivered again: the API knows it by its id.
    """

    def __init__(self, path: Path, key: str, is_fresh: bool = False) -> None:
        self.path = path
        self._done = bytearray()
        self.count = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        header = json.dumps({"journal": _VERSION, "delivery": key}).encode() + b"\n"
        if is_fresh or not path.exists() or not path.stat().st_size:
            path.write_bytes(header)
        else:
            self._read(header)
        self._file = path.open("ab", buffering=0)

    def __contains__(self, number: int) -> bool:
        return number >> 3 < len(self._done) and bool(self._done[number >> 3] & 1 << (number & 7))

    def add(self, numbers: list[int]) -> None:
        """Note acknowledged records; what was noted survives a kill."""
        self._file.write(b"".join(_NUMBER.pack(number) for number in numbers))
        for number in numbers:
            self._mark(number)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, header: bytes) -> None:
        content = self.path.read_bytes()
        if not content.startswith(header):
            raise ConfigurationError(
                f"{self.path}: the journal of another export or address;"
                " give another --journal, or --again to start afresh"
            )
        body = content[len(header) :]
        whole = len(body) // _NUMBER.size * _NUMBER.size
        if whole < len(body):  # killed in the middle of a number
            with self.path.open("r+b") as file:
                file.truncate(len(header) + whole)
        for (number,) in _NUMBER.iter_unpack(body[:whole]):
            self._mark(number)

    def _mark(self, number: int) -> None:
        if number >> 3 >= len(self._done):
            self._done.extend(bytes(max(number // 8 + 1 - len(self._done), 4096)))
        if number not in self:
            self._done[number >> 3] |= 1 << (number & 7)
            self.count += 1
