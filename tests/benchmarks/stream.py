"""The byte stream that all dashboards must receive, and the position of each in it.

Dashboards with equal filters receive equal bytes. So the bytes of the dashboard that is ahead are
parsed once, and those of the others are compared with them in memory, which handles a million
frames a second without compiled code.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from datetime import datetime
from typing import Any


class BrokenStream(Exception):
    """Bytes that are not a frame, or a frame out of order."""


def frame_end(data: bytes, start: int) -> tuple[int, int] | None:
    """Return the start and end of the payload of the unmasked frame at ``start`` (RFC 6455 5.2).

    Returns:
        Both offsets, or None if the header is incomplete.

    Raises:
        BrokenStream: it is masked, a fragment or compressed, which no server here sends.
    """
    if len(data) - start < 2:
        return None
    first, size = data[start], data[start + 1]
    if first not in (0x81, 0x88, 0x89, 0x8A) or size > 127:
        raise BrokenStream(
            f"frame header: expected an unmasked frame, got {data[start : start + 2].hex()}"
        )
    if size < 126:
        return start + 2, start + 2 + size
    width = 2 if size == 126 else 8
    if len(data) - start < 2 + width:
        return None
    size = int.from_bytes(data[start + 2 : start + 2 + width], "big")
    return start + 2 + width, start + 2 + width + size


class Stream:
    """All update frames so far, in order.

    Attributes:
        data: complete frames.
        ends: offset of the end of each frame.
        seqs: seq of each frame.
        stamps: wall-clock seconds of the event of each frame.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[int] = []
        self.seqs: list[int] = []
        self.stamps: list[float] = []
        # True once a dashboard has received a state instead of frames.
        self.has_gaps = False

    def append(self, frame: bytes, payload: bytes) -> None:
        """Append the next frame.

        Raises:
            BrokenStream: it is not a presence_update, or its seq does not follow the last.
        """
        message: dict[str, Any] = json.loads(payload)
        seq = message["seq"]
        expected = seq if not self.seqs else self.seqs[-1] + 1
        in_order = seq >= expected if self.has_gaps else seq == expected
        if message["type"] != "presence_update" or not in_order:
            raise BrokenStream(
                f"expected an update after seq {self.seqs[-1:]}, got {payload[:80]!r}"
            )
        self.data += frame
        self.ends.append(len(self.data))
        self.seqs.append(seq)
        happened = datetime.fromisoformat(message["presence"]["last_activity"])
        self.stamps.append(happened.timestamp())

    def count(self, offset: int) -> int:
        """Return how many complete frames end at or before ``offset``."""
        return bisect_right(self.ends, offset)


class Tape:
    """A dashboard's position in the stream; checks that it receives the bytes of the stream.

    A dashboard that receives a presence_state instead of frames leaves the common stream: ``feed``
    returns the rest, and the caller reads on itself until ``after`` returns a new tape.
    """

    __slots__ = ("control_frames", "held", "offset", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.offset = 0
        # Incomplete frame ahead of the stream.
        self.held = b""
        # Control frames received in between, as (opcode, payload).
        self.control_frames: list[tuple[int, bytes]] = []

    @classmethod
    def after(cls, stream: Stream, seq: int) -> Tape | None:
        """Return a tape that continues after ``seq``; None if the stream has a gap there."""
        stream.has_gaps = True
        tape = cls(stream)
        index = bisect_right(stream.seqs, seq)
        if index < len(stream.seqs) and (not index or stream.seqs[index - 1] != seq):
            return None
        tape.offset = stream.ends[index - 1] if index else 0
        return tape

    def feed(self, chunk: memoryview) -> bytes | None:
        """Compare received bytes with the stream, or append them to it.

        Returns:
            None, or the rest from the first frame that is not in the stream.
        """
        if not self.held and self.stream.data.startswith(chunk, self.offset):
            self.offset += len(chunk)
            return None
        return self._walk(self.held + chunk.tobytes())

    def _walk(self, data: bytes) -> bytes | None:
        stream, at = self.stream, 0
        self.held = b""
        while at < len(data):
            index = bisect_right(stream.ends, self.offset)
            frame_start = stream.ends[index - 1] if index else 0
            if self.offset > frame_start:
                # Inside a frame of the stream.
                at = self._match(data, at, stream.ends[index] - self.offset)
                continue
            bounds = frame_end(data, at)
            if bounds is None:
                self.held = data[at:]
                return None
            start, end = bounds
            if data[at] != 0x81 or index == len(stream.ends):
                if end > len(data):
                    self.held = data[at:]
                    return None
                if data[at] != 0x81:
                    self.control_frames.append((data[at] & 15, data[start:end]))
                elif data.startswith(b'{"type":"presence_state"', start):
                    return data[at:]
                else:
                    stream.append(data[at:end], data[start:end])
                    self.offset += end - at
                at = end
            elif data[at:end] == stream.data[self.offset : self.offset + len(data[at:end])]:
                self.offset += len(data[at:end])
                at += len(data[at:end])
            else:
                return data[at:]
        return None

    def _match(self, data: bytes, at: int, size: int) -> int:
        part = data[at : at + size]
        if not self.stream.data.startswith(part, self.offset):
            raise BrokenStream(f"bytes differ from those of the other dashboards at {self.offset}")
        self.offset += len(part)
        return at + len(part)
