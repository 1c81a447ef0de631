"""The compiled kernel: what is done for each record or row, in C, where a C compiler was there at installation.

It is only a shorter way: every record or row that is not plain is left to Python, whose rules are the rules, and
without the kernel all are. Tests hold the two against each other. HINDCAST_KERNEL=off leaves it unused.
"""

from hindcast.settings import load_settings

try:
    from hindcast.kernel import _kernel

    is_compiled = True
except ImportError:  # no compiler at installation: Python does it all
    is_compiled = False

__all__ = ["_kernel", "has_kernel", "is_compiled"]


def has_kernel() -> bool:
    """Whether the kernel was compiled and is to be used."""
    return is_compiled and load_settings().kernel == "auto"
