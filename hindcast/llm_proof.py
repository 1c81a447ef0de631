"""Proving objects: every range that a run's rows refer to is read back and compared with what was staged."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hindcast.errors import ObjectError
from hindcast.llm_objects import objects_of
from hindcast.llm_staging import StagedObject
from hindcast.manifest import Chunk
from hindcast.objects.store import REQUESTS_AT_ONCE, ObjectStore, open_store
from hindcast.settings import load_settings
from hindcast.staged_rows import StagedRows

KEPT_FAULTS: Final = 10


@dataclass
class ObjectProof:
    """Ranges and bytes read back for a chunk; `faults` say which are not what was staged, the first of them."""

    ranges: int = 0
    size_bytes: int = 0
    wrong: int = 0
    faults: list[str] = field(default_factory=list)


def prove_objects(folder: Path, chunk: Chunk, staged: StagedRows) -> ObjectProof:
    """Read every range of these rows' objects. Raises StoreUnavailable when the store does not answer."""
    proof = ObjectProof()
    objects = objects_of(folder, chunk, staged)
    if not objects:
        return proof
    store = open_store(load_settings())
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        for line, faults in zip(objects, pool.map(lambda found: _read(store, found), objects.values()), strict=True):
            proof.wrong += len(faults)
            named = [f"{chunk.part} line {line}: {fault}" for fault in faults]
            proof.faults.extend(named[: KEPT_FAULTS - len(proof.faults)])
    reaches = [reach for found in objects.values() for reach in found.ranges.values()]
    proof.ranges = len(reaches)
    proof.size_bytes = sum(last + 1 - first for first, last, _ in reaches)
    return proof


def _read(store: ObjectStore, found: StagedObject) -> list[str]:
    faults = []
    for name, (first, last, expected) in found.ranges.items():
        digest = hashlib.sha256()
        try:
            for block in store.stream(found.key, first, last):
                digest.update(block)
        except FileNotFoundError:
            faults.append(f"{name}: object {found.key} is gone")
        except ObjectError as error:
            faults.append(f"{name}: {error}")
        else:
            if digest.hexdigest() != expected:
                faults.append(f"{name}: object {found.key} has other bytes from {first} to {last}")
    return faults
