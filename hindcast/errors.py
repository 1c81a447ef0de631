"""The errors Hindcast raises, grouped by what the caller should do.

    HindcastError
    ├── ConfigurationError   wrong usage or settings: fix the command; exit code 2
    ├── ExportError          the export is missing, unreadable, changed or over a bound: fix the export
    ├── RecordError          one bad record: becomes a reject, never stops a run
    ├── GateError            a critical expectation failed: look at the report
    ├── VerificationError    what is in the table is not what was in the files: look at the report
    ├── TargetError          the database refused, is missing or has the wrong shape
    │   └── TransientError   lost connection, deadlock, timeout: worth trying again
    ├── ArchiveError         an archive cannot be written, found or read, or is not what was written
    ├── ObjectError          the object store refuses, or holds something else than expected
    │   ├── ObjectConflict   a key is taken by other bytes; nothing was overwritten
    │   ├── AccessRefused    a reference that leads outside of what a reader may see
    │   └── StoreUnavailable the store does not answer, after several tries: worth trying again later
    ├── WorkerDied           a worker process was killed: worth trying again, nothing is half done
    ├── WindowClosed         the low-traffic window closed: what was begun is committed; run again to go on
    └── RunFailed            a run ended with any of these; its report is written

A message says where, what was found, what was expected and the fix if known; never a secret or a personal value.
"""


class HindcastError(Exception):
    """Base of all errors that describe a fault of the world rather than of the code."""

    exit_code = 1


class ConfigurationError(HindcastError):
    """Wrong usage or configuration."""

    exit_code = 2


class ExportError(HindcastError):
    """The export as a whole cannot be read, or is not what it was."""


class RecordError(HindcastError):
    """One record breaks a rule. `code` is stable and counted; the message is a sentence for the user."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class GateError(HindcastError):
    """A gate said no."""


class VerificationError(HindcastError):
    """The table does not hold what the export held."""


class TargetError(HindcastError):
    """The target database refused, cannot be reached, or has another shape than expected."""


class TransientError(TargetError):
    """A fault of the moment: a lost connection, a deadlock, a timeout. The same call may succeed later."""


class ArchiveError(HindcastError):
    """An archive of pruned rows cannot be written, found or read, or is not what was written."""


class ObjectError(HindcastError):
    """The object store refuses a request, or holds something else than expected."""


class ObjectConflict(ObjectError):
    """A key is taken by other bytes. Nothing was overwritten."""


class AccessRefused(ObjectError):
    """A reference leads outside of what its reader may see."""


class StoreUnavailable(ObjectError):
    """The store did not answer, or only with faults of its own, after several tries."""


class WorkerDied(HindcastError):
    """A worker process ended without an answer. Its work is not committed and can be done again."""


class WindowClosed(HindcastError):
    """The low-traffic window closed before the run was done. `report_path` is the HTML file, once it is written."""

    def __init__(self, sentence: str, report_path: str = "") -> None:
        super().__init__(sentence)
        self.report_path = report_path


class RunFailed(HindcastError):
    """A run ended without success; its report is written. `report_path` is the HTML file."""

    def __init__(self, sentence: str, report_path: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.report_path = report_path
        self.exit_code = exit_code
