"""The SDK handle of integrations that were given none."""

from __future__ import annotations

import os
import sys
import threading

from ..sdk import SDK, active_sdk

# Reentrant: the garbage collector can close a generator, which reports, at any point.
_lock = threading.RLock()
_handles: dict[str, SDK] = {}
_MAX_HANDLES = 100


def default_sdk(name: str | None = None) -> SDK:
    """Return the active handle of the caller, or else a cached one for ``name``.

    Args:
        name: agent id of the cached handle; None: the name of the program.
    """
    active = active_sdk()
    if active is not None:
        return active
    name = name or _program_name()
    with _lock:
        cached = _handles.get(name)
        if cached is None:
            while len(_handles) >= _MAX_HANDLES:
                del _handles[next(iter(_handles))]
            cached = _handles[name] = SDK(name)
    return cached


def _program_name() -> str:
    script = os.path.basename(sys.argv[0] if sys.argv else "")
    return os.path.splitext(script)[0].strip("-") or "python"
