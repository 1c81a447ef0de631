"""The machine, as far as figures depend on it."""

import os
import platform
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

_SETTINGS: Final = (
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "wal_level",
    "wal_compression",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "work_mem",
    "maintenance_work_mem",
)
# Those whose values hold no secret.
_OURS: Final = ("CHUNK_SIZE", "POOL_SIZE", "WORKERS", "SEGMENT_BYTES", "GATE_BATCH_ROWS", "SPOT_CHECKS", "GOVERNOR")


def describe_machine(url: str, folder: Path) -> dict[str, Any]:
    """Processor, memory, versions, PostgreSQL's settings, ours that are not the defaults, and the load just now."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s) ORDER BY name",
            (list(_SETTINGS),),
        ).fetchall()
        version = connection.info.parameter_status("server_version")
    names = [f"{prefix}_{name}" for prefix in ("HINDCAST", "ANALYTICS_IMPORT") for name in _OURS]
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "filesystem": _filesystem(folder),
        "python": platform.python_version(),
        "postgresql": version,
        "postgresql_settings": dict(rows),
        "settings": {name: os.environ[name] for name in names if name in os.environ},
        "load_average": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _filesystem(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
