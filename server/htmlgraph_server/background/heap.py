"""Returns memory that was freed to the system, where the C library is glibc.

glibc raises the size from which blocks are mapped one by one to that of the largest block that was
freed (``man mallopt``, M_MMAP_THRESHOLD). From then on, the frames and bodies of busy moments lie
in the heap, between small blocks that stay, and the heap grows for hours: each time its free blocks
have other sizes. A fixed threshold keeps large blocks out of it, and ``malloc_trim`` returns its
free pages.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

TRIM_S = 60.0
MMAP_BYTES = 131_072
"""The default of glibc, from which it starts."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt in malloc.h."""


def limit_heap() -> None:
    """Keep large blocks out of the heap; only for a process that is this server alone."""
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, MMAP_BYTES)


def trim_heap() -> None:
    """Return the free pages of the heap; other threads run meanwhile."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _function(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; None: it has none of this name."""
    if sys.platform != "linux":
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
