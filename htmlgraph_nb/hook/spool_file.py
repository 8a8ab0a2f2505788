"""The file in which events wait for the server that reads it; imports little."""

from __future__ import annotations

import os
import stat

from ..paths import make_private_folder

MAX_SPOOL_BYTES = 16 << 20


def spool(line: bytes, path: str, max_bytes: int = MAX_SPOOL_BYTES) -> bool:
    """Append ``line`` to the file at ``path`` in one write.

    It starts on a line of its own, also if a full disk cut off the line before it.

    Args:
        max_bytes: size that the file never exceeds.

    Returns:
        False if the file is full.

    Raises:
        OSError: the file or its folder cannot be created or written, or the disk is full.
    """
    make_private_folder(os.path.dirname(path))
    # Without O_NONBLOCK a named pipe in its place would make the agent wait.
    extra: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | extra, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file; move it away")
        size = status.st_size
        text = line + b"\n"
        if size and _last_byte(descriptor, size) != b"\n":
            text = b"\n" + text
        if size + len(text) > max_bytes:
            return False
        n_written = os.write(descriptor, text)
        if n_written < len(text):
            raise OSError(f"{path}: only {n_written} of {len(text)} bytes fit on the disk")
        return True
    finally:
        os.close(descriptor)


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)
