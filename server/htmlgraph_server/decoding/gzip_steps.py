"""gzip decompressed in steps, with all members."""

from __future__ import annotations

import zlib
from collections.abc import Generator

from htmlgraph_nb.errors import ApiError, InvalidEvent

MAX_INFLATED_BYTES = 262_144
"""Number of bytes that one step decompresses."""
MAX_MEMBERS = 1_000
"""Maximum number of members, the parts of a file that are compressed separately."""
_GZIP = 31
"""``wbits`` of zlib for data with gzip's header and checksum."""


def gzip_steps(data: bytes, limit: int) -> Generator[None, None, bytes]:
    """Decompress all members (RFC 1952 section 2.2); yield between the steps, return the data.

    Args:
        limit: maximum number of decompressed bytes.

    Raises:
        ApiError: the data is longer than ``limit``.
        InvalidEvent: it is not gzip, ends too early, or has more than MAX_MEMBERS members.
    """
    parts: list[bytes] = []
    n_bytes = n_members = position = 0
    while position < len(data):
        n_members += 1
        if n_members > MAX_MEMBERS:
            raise InvalidEvent(f"body: at most {MAX_MEMBERS} members of gzip allowed")
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            part = data[position : position + MAX_INFLATED_BYTES]
            if not part:
                raise InvalidEvent("body: gzip ends too early")
            try:
                output = member.decompress(part, MAX_INFLATED_BYTES)
            except zlib.error as error:
                raise InvalidEvent(f"body: expected gzip: {error}") from None
            position += len(part) - len(member.unconsumed_tail) - len(member.unused_data)
            parts.append(output)
            n_bytes += len(output)
            if n_bytes > limit:
                message = f"body too large; at most {limit} bytes allowed"
                raise ApiError(413, "body_too_large", message)
            yield
    if not n_members:
        raise InvalidEvent("body: expected gzip, got nothing")
    return b"".join(parts)
