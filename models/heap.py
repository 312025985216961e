"""Memory that the C library keeps for later, given back."""

from __future__ import annotations

import ctypes
from functools import cache

MUCH = 2**30
"""Bytes of free memory that are kept."""


class _Counts(ctypes.Structure):
    """glibc's ``struct mallinfo2``; ``fordblks`` are the free bytes of all arenas."""

    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names)


def trim_heap(keep: int = MUCH) -> None:
    """Give free memory back to the system where more than ``keep`` bytes have gathered.

    glibc takes tensors of up to 32 MiB from a heap. Batches of ever other shapes leave gaps in it that the next ones
    do not fill: 400 steps of BERTSUM, which needs 1.5 GB, came to hold 9. Without glibc this does nothing.
    """
    library = _glibc()
    if library and library.mallinfo2().fordblks > keep:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallinfo2") and hasattr(library, "malloc_trim")):
        return None
    library.mallinfo2.restype = _Counts
    library.malloc_trim.argtypes = [ctypes.c_size_t]
    return library
