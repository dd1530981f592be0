"""`keep_memory`: the C library keeps what a training step frees, instead of giving it back and asking again.

glibc serves blocks over 128 kB (at most 32 MB, as it adapts) straight from the kernel and returns them at once. A step
allocates the same gigabyte of activations over and over, and the kernel fills each page with zeros each time: a quarter
of a CPU training's time here. Source: mallopt(3), M_MMAP_MAX and M_TRIM_THRESHOLD.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_memory() -> bool:
    """Set it for this process and the workers it forks; False where the C library is not glibc, and nothing changed."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  other libraries may have a mallopt that means something else
        mallopt = library.mallopt
    except (OSError, AttributeError, TypeError):  # musl, macOS; Windows has no CDLL(None)
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
