"""Session files whose tokens a test knows, and what can happen to them on disk."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backports import zstd

from tests.helpers.session_lines import at

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".zst": zstd.compress,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}
UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".zst": zstd.decompress,
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}


def session_id(number: int) -> str:
    """Return the id of a session."""
    return f"01990000-0000-4000-8000-{number:012x}"


def claude_session_line(session: str, number: int, tokens: int) -> bytes:
    """Return an answer of this many tokens."""
    usage = {"input_tokens": tokens - 1, "output_tokens": 1}
    return _line(
        {
            "type": "assistant",
            "sessionId": session,
            "uuid": f"u-{session}-{number}",
            "requestId": f"req-{session}-{number}",
            "cwd": "/home/dev/shop",
            "timestamp": at(number),
            "message": {
                "id": f"msg-{session}-{number}",
                "model": "claude-sonnet-4-5",
                "role": "assistant",
                "stop_reason": "end_turn",
                "content": [{"type": "text", "text": "x"}],
                "usage": usage,
            },
        }
    )


def codex_session_line(session: str, number: int, tokens: int, total: int) -> bytes:
    """Return the first line of a session, or a count of this many tokens.

    Args:
        number: 0: the first line.
        total: the tokens of the session so far, these included.
    """
    if number == 0:
        meta = {
            "id": session,
            "timestamp": at(0),
            "cwd": "/home/dev/shop",
            "cli_version": "0.150.0",
        }
        return _line({"timestamp": at(0), "type": "session_meta", "payload": meta})

    def usage(count: int) -> dict[str, int]:
        return {
            "input_tokens": count - 1,
            "cached_input_tokens": 0,
            "output_tokens": 1,
            "reasoning_output_tokens": 0,
            "total_tokens": count,
        }

    info = {"total_token_usage": usage(total), "last_token_usage": usage(tokens)}
    payload = {"type": "token_count", "info": info, "rate_limits": None}
    return _line({"timestamp": at(number), "type": "event_msg", "payload": payload})


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def pack(path: Path, suffix: str) -> Path:
    """Compress a file as Codex does: the time stays, and then the plain file goes."""
    packed = path.with_name(path.name + suffix)
    state = path.stat()
    temporary = path.with_name(f"rollout-compress-{path.stem}.tmp")
    temporary.write_bytes(COMPRESS[suffix](path.read_bytes()))
    os.utime(temporary, ns=(state.st_atime_ns, state.st_mtime_ns))
    temporary.replace(packed)
    path.unlink()
    return packed


def unpack(path: Path) -> Path:
    """Unpack a file as Codex does: the plain file appears at once, then the packed one goes."""
    plain = path.with_name(path.stem)
    temporary = path.with_name(f"{path.stem}.decompress.tmp")
    temporary.write_bytes(UNPACK[path.suffix](path.read_bytes()))
    temporary.replace(plain)
    path.unlink()
    return plain
