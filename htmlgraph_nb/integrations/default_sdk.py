"""The SDK handles of integrations that were given none."""

from __future__ import annotations

import os
import sys
import threading

from ..sdk import SDK, active_sdk

# A generator that is thrown away can end in the middle of anything.
_lock = threading.RLock()
_own: dict[str, SDK] = {}
_MAX_OWN = 100


def default_sdk(name: str | None = None) -> SDK:
    """Return the handle that is open around the caller, else one that is kept for ``name``.

    Args:
        name: agent id of the kept one; None: the name of the program.
    """
    around = active_sdk()
    if around is not None:
        return around
    name = name or _program()
    with _lock:
        kept = _own.get(name)
        if kept is None:
            while len(_own) >= _MAX_OWN:
                del _own[next(iter(_own))]
            kept = _own[name] = SDK(name)
    return kept


def _program() -> str:
    script = os.path.basename(sys.argv[0] if sys.argv else "")
    return os.path.splitext(script)[0].strip("-") or "python"
