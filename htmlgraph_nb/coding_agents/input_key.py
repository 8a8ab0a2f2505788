"""The key of ``input_hash``: a file of this user's, created by the first program that needs it.

It never leaves this machine, so that nobody who reads hashes can test which input they stand for.
"""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache

from .. import paths
from .input_hash import KEY_BYTES, input_hash


def hash_input(value: object) -> int | None:
    """Return the hash of the input of a tool call; see ``input_hash``.

    Args:
        value: the input; None: there is none.

    Returns:
        None as well if there is no key: its file can be neither read nor created.
    """
    if value is None:
        return None
    key = _key(paths.input_key_file())
    return None if key is None else input_hash(value, key)


@lru_cache(maxsize=4)
def _key(path: str) -> bytes | None:
    try:
        return load_key(path)
    except (OSError, ValueError) as error:
        # Slow to import, and the hook, which starts for each tool call, logs nothing.
        import logging

        logger = logging.getLogger(__name__)
        logger.warning("tool calls get no input_hash: %s", error)
        return None


def load_key(path: str) -> bytes:
    """Return the key in a file of mode 600, which is created if it does not exist.

    Of several processes that create it at once, all return the same key.

    Raises:
        OSError: the file can be neither read nor created.
        ValueError: it does not hold a key.
    """
    with contextlib.suppress(FileNotFoundError):
        return _read_key(path)
    paths.make_private_folder(os.path.dirname(path))
    part = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(part, flags, 0o600), "wb") as file:
            file.write(os.urandom(KEY_BYTES))
        try:
            # Fails if another process was faster.
            os.link(part, path)
        except FileExistsError:
            pass
        except OSError:
            # A file system without hard links.
            os.replace(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
    return _read_key(path)


def _read_key(path: str) -> bytes:
    with open(path, "rb") as file:
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path}: expected {KEY_BYTES} bytes, got another size; delete this file")
    return key
