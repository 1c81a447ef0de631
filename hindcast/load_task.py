"""The call that loads, verifies or compares some chunks of a run."""

from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from hindcast.errors import ExportError
from hindcast.manifest import Manifest, load_manifest
from hindcast.row_sums import HeldSums
from hindcast.staged_files import fetch_again, local_folder
from hindcast.staging import SEALED_FILES


@dataclass(frozen=True)
class LoadTask:
    """What a worker needs to load some chunks of a run: references, no rows."""

    url: str = field(repr=False)  # may hold a password
    folder: str
    run_id: UUID
    source: str
    on_conflict: str
    chunks: tuple[int, ...]
    asks_own_ids: bool = True  # False: the table held none of this source when the run began
    not_after: float | None = None  # epoch seconds; no chunk is begun from then on
    pace: str | None = None  # path of the pace's file
    seal: str = ""  # the manifest's
    held: HeldSums | None = None  # of what the table has of these chunks
    sum_seed: int | None = field(default=None, repr=False)  # of the sums of what is written; None: they are not wanted

    @property
    def staged(self) -> Path:
        """This host's copy of the folder."""
        return local_folder(self.folder)

    def read_manifest(self) -> Manifest:
        """The manifest that the call was made by; raises ExportError when the export was sealed differently since."""
        manifest = load_manifest(self.staged)
        if self.seal and manifest.seal != self.seal:  # this host's copy may be of an earlier attempt
            fetch_again(self.staged, SEALED_FILES)
            manifest = load_manifest(self.staged)
            if manifest.seal != self.seal:
                raise ExportError(f"{self.staged}/manifest.json: sealed anew meanwhile; run again")
        return manifest
