"""How long this process runs."""

import contextlib
import os
import time
from pathlib import Path

import psutil


def process_age_seconds() -> float:
    """Seconds since this process began, to a hundredth where the kernel says it (Linux), else to a second."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        # After the name, which may hold anything, the 20th field is the start in ticks since the machine's.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - psutil.Process().create_time()
