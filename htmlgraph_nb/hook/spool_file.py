"""The file in which events wait for the server that reads it; imports little."""

from __future__ import annotations

import os

MAX_SPOOL_BYTES = 16 << 20


def spool(line: bytes, path: str, max_bytes: int = MAX_SPOOL_BYTES) -> bool:
    """Append ``line`` to the file at ``path`` in one write.

    Args:
        max_bytes: size that the file never exceeds.

    Returns:
        False if the file is full.

    Raises:
        OSError: the file or its folder cannot be created or written.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    binary: int = getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | binary, 0o600)
    try:
        if os.fstat(descriptor).st_size + len(line) + 1 > max_bytes:
            return False
        os.write(descriptor, line + b"\n")
        return True
    finally:
        os.close(descriptor)
