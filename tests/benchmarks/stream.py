"""The byte stream that all dashboards must get, built from whoever is ahead, and who got how much.

Dashboards with equal filters get equal bytes. So one copy of the stream is parsed, and what the
others receive is compared with it, byte by byte but at the speed of memory: that keeps up with a
million frames a second without compiled code.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from datetime import datetime
from typing import Any


class BrokenStream(Exception):
    """Bytes that are no frame, or a frame out of order."""


def frame_end(data: bytes, start: int) -> tuple[int, int] | None:
    """Return where the payload of the unmasked frame at ``start`` begins and ends (RFC 6455 5.2).

    None: the header is not complete.

    Raises:
        BrokenStream: it is masked, a fragment or compressed, which no server here sends.
    """
    if len(data) - start < 2:
        return None
    first, size = data[start], data[start + 1]
    if first not in (0x81, 0x88, 0x89, 0x8A) or size > 127:
        raise BrokenStream(f"a frame begins with {data[start : start + 2].hex()}")
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
        data: whole frames.
        ends: where each frame ends.
        seqs: the seq of each.
        stamps: wall-clock seconds at which what it tells of happened.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends: list[int] = []
        self.seqs: list[int] = []
        self.stamps: list[float] = []
        # From when a dashboard first got a state instead of frames.
        self.has_gaps = False

    def append(self, frame: bytes, payload: bytes) -> None:
        """Take in the next frame.

        Raises:
            BrokenStream: it is no presence_update, or does not follow the one before.
        """
        message: dict[str, Any] = json.loads(payload)
        seq = message["seq"]
        expected = seq if not self.seqs else self.seqs[-1] + 1
        in_order = seq >= expected if self.has_gaps else seq == expected
        if message["type"] != "presence_update" or not in_order:
            raise BrokenStream(f"after seq {self.seqs[-1:]} came {payload[:80]!r}")
        self.data += frame
        self.ends.append(len(self.data))
        self.seqs.append(seq)
        happened = datetime.fromisoformat(message["presence"]["last_activity"])
        self.stamps.append(happened.timestamp())

    def count(self, offset: int) -> int:
        """Return how many whole frames end at or before ``offset``."""
        return bisect_right(self.ends, offset)


class Tape:
    """One dashboard's way through the stream: every byte it received is one of the stream's.

    A dashboard that got a presence_state instead of frames leaves the common stream: ``feed``
    then says so, and the caller reads on by itself until ``after`` finds a way back.
    """

    __slots__ = ("answers", "held", "offset", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.offset = 0
        # Bytes of a frame that is ahead of the stream and not complete.
        self.held = b""
        # Control frames that came in between, as (opcode, payload).
        self.answers: list[tuple[int, bytes]] = []

    @classmethod
    def after(cls, stream: Stream, seq: int) -> Tape | None:
        """Return a tape that goes on after ``seq``; None where the stream has a gap there."""
        stream.has_gaps = True
        tape = cls(stream)
        index = bisect_right(stream.seqs, seq)
        if index < len(stream.seqs) and (not index or stream.seqs[index - 1] != seq):
            return None
        tape.offset = stream.ends[index - 1] if index else 0
        return tape

    def feed(self, chunk: memoryview) -> bytes | None:
        """Compare what was received with the stream, or lengthen the stream by it.

        Returns:
            None, or from the first frame on that is not the stream's, the rest.
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
            begin = stream.ends[index - 1] if index else 0
            if self.offset > begin:
                # In the middle of a known frame.
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
                    self.answers.append((data[at] & 15, data[start:end]))
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
            raise BrokenStream(f"other bytes than the others got at {self.offset}")
        self.offset += len(part)
        return at + len(part)
