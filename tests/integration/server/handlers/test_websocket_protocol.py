"""RFC 6455 frame by frame on both routes, with the cases of the Autobahn test suite.

https://github.com/crossbario/autobahn-testsuite: framing (1), pings and pongs (2), reserved bits
(3), opcodes (4), fragmentation (5), UTF-8 (6), close handling (7) and limits (9). Both routes
answer a text that is not JSON with an error message, which shows that the message arrived whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.helpers.server_process import Server
from tests.helpers.websocket_frames import MASK, Frame, RawSocket, client_frame, masked
from tests.integration.conftest import BOTH

SERVERS = BOTH
FLAGS = ("--max-body-bytes", "200000")

CONTINUE, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1002, 1007, 1009
ANSWER = "answer"
"""An error message, whose text is not compared."""
LIMITS = {"/ws/broadcasts": 65_536, "/ws/events": 200_000}

Expected = str | bytes | int | None
"""ANSWER, the payload of a pong, a close code, or None: a close frame without a code."""


def text(payload: bytes, *, fin: bool = True) -> bytes:
    """Return a text frame."""
    return client_frame(TEXT, payload, fin=fin)


def more(payload: bytes, *, fin: bool = True) -> bytes:
    """Return a continuation frame."""
    return client_frame(CONTINUE, payload, fin=fin)


def close(code: int, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return client_frame(CLOSE, code.to_bytes(2, "big") + reason)


def in_bytes(frames: bytes) -> list[bytes]:
    """Return the frames byte by byte, as separate packets."""
    return [frames[index : index + 1] for index in range(len(frames))]


class Case(NamedTuple):
    """What the client sends, in packets, and what the server answers before it closes."""

    name: str
    packets: list[bytes]
    expected: list[Expected]


BYE = close(1000)
UTF_8 = "κόσμε \U0001f600 ퟿ \U0010ffff".encode()
VALID_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
INVALID_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
INVALID_TEXTS = (
    b"\xff",
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    "κόσμε".encode() + b"\xed\xa0\x80edited",
)


def answered(name: str, *packets: bytes, n_answers: int = 1) -> Case:
    """Return a case of messages that are answered, and of a regular end."""
    return Case(name, [*packets, BYE], [*[ANSWER] * n_answers, 1000])


def refused(name: str, *packets: bytes, code: int = PROTOCOL_ERROR) -> Case:
    """Return a case that ends the connection with a close code."""
    return Case(name, list(packets), [code])


def cases() -> Iterator[Case]:
    """Yield all cases of fixed size."""
    # 1: framing
    for size in (0, 125, 126, 127, 128, 65_535):
        yield answered(f"1.1 text of {size}", text(b"x" * size))
        yield answered(f"1.2 binary of {size}", client_frame(BINARY, b"\xfe" * size))
    yield answered("1.1 text of 126 byte by byte", *in_bytes(text(b"x" * 126)))
    # 2: pings and pongs
    for payload in (b"", b"ping", bytes(range(125))):
        yield Case(f"2 ping of {len(payload)}", [client_frame(PING, payload), BYE], [payload, 1000])
    yield Case(
        "2.6 byte by byte", [*in_bytes(client_frame(PING, b"x" * 125)), BYE], [b"x" * 125, 1000]
    )
    yield refused("2.5 ping of 126", client_frame(PING, b"x" * 126))
    yield Case("2.7 unsolicited pongs", [client_frame(PONG), client_frame(PONG, b"a"), BYE], [1000])
    # 3: reserved bits
    for bits in (0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70):
        yield refused(f"3 bits {bits:#x} of a text", client_frame(TEXT, b"x", bits=bits))
        yield refused(f"3 bits {bits:#x} of a ping", client_frame(PING, b"x", bits=bits))
        yield refused(f"3 bits {bits:#x} of a close", client_frame(CLOSE, bits=bits))
    # 4: opcodes
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield refused(f"4 opcode {opcode}", client_frame(opcode))
        yield refused(f"4 opcode {opcode} with payload", client_frame(opcode, b"x"))
        yield Case(
            f"4 opcode {opcode} later", [text(b"x"), client_frame(opcode)], [ANSWER, PROTOCOL_ERROR]
        )
    # 5: fragmentation
    yield answered("5 in two", text(b"x", fin=False), more(b"y"))
    yield answered("5 in one packet", text(b"x", fin=False) + more(b"", fin=False) + more(b"y"))
    yield answered("5 byte by byte", *in_bytes(text(b"x", fin=False) + more(b"y")))
    yield answered("5 empty", text(b"", fin=False), more(b"", fin=False), more(b""))
    yield answered("5 many", text(b"", fin=False), *[more(b"x", fin=False)] * 500, more(b""))
    yield Case(
        "5.6 ping between",
        [text(b"x", fin=False), client_frame(PING, b"p"), more(b"y"), BYE],
        [b"p", ANSWER, 1000],
    )
    yield refused("5.1 ping in two", client_frame(PING, b"x", fin=False), more(b"y"))
    yield refused("5.2 pong in two", client_frame(PONG, b"x", fin=False), more(b"y"))
    yield refused("5 close in two", client_frame(CLOSE, b"", fin=False), more(b""))
    for fin in (True, False):
        yield refused(f"5.9 nothing to continue, FIN {fin}", more(b"x", fin=fin), text(b"y"))
    yield Case(
        "5.15 continued after its end",
        [text(b"x", fin=False), more(b"y"), more(b"z", fin=False), text(b"a")],
        [ANSWER, PROTOCOL_ERROR],
    )
    yield refused("5.18 second beginning", text(b"x", fin=False), text(b"y"))
    yield refused("5.18 binary within text", text(b"x", fin=False), client_frame(BINARY, b"y"))
    # 6: UTF-8
    yield answered("6.2 whole", text(UTF_8))
    yield answered("6.2 byte by byte", *in_bytes(text(UTF_8)))
    half = len(UTF_8) // 2 + 1
    yield answered("6.2 in frames", text(UTF_8[:half], fin=False), more(UTF_8[half:]))
    single = [more(UTF_8[n : n + 1], fin=False) for n in range(len(UTF_8))]
    yield answered("6.2 a frame a byte", text(b"", fin=False), *single, more(b""))
    for payload in INVALID_TEXTS:
        yield refused(f"6.3 {payload.hex()}", text(payload), code=INVALID_TEXT)
        yield refused(
            f"6.4 fail fast {payload.hex()}",
            text(payload + b" ", fin=False),
            code=INVALID_TEXT,
        )
    yield refused("6 cut off", text("é".encode()[:1]), code=INVALID_TEXT)
    yield refused("6 cut off in frames", text(b"\xc3", fin=False), more(b""), code=INVALID_TEXT)
    yield answered("6 binary is not checked", client_frame(BINARY, b"\xff"))
    # 7: close handling
    yield Case("7.1 text after close", [BYE + text(b"x") + client_frame(PING)], [1000])
    yield Case("7.1.5 close within a message", [text(b"x", fin=False), BYE], [1000])
    yield Case("7.3.1 without a code", [client_frame(CLOSE)], [None])
    yield refused("7.3.2 one byte", client_frame(CLOSE, b"\x03"))
    yield Case("7.3.4 with a reason", [close(1000, b"Hello")], [1000])
    yield Case("7.3.5 longest reason", [close(1000, b"x" * 123)], [1000])
    yield refused("7.3.6 too long", client_frame(CLOSE, b"\x03\xe8" + b"x" * 124))
    yield refused("7.5 not UTF-8", close(1000, b"\xce\xba\xff"), code=INVALID_TEXT)
    for code in VALID_CODES:
        yield Case(f"7.7 code {code}", [close(code)], [code])
    for code in INVALID_CODES:
        yield refused(f"7.9 code {code}", close(code))
    # Masks and lengths (sections 5.1 to 5.3)
    yield refused("unmasked text", b"\x81\x01x")
    yield refused("unmasked ping", b"\x89\x00")
    yield refused("unmasked close", b"\x88\x02\x03\xe8")
    yield answered("mask of zeros", b"\x81\x81\0\0\0\0x")
    yield refused("16 bits for 125", b"\x81\xfe\x00\x7d" + MASK + masked(b"x" * 125))
    yield refused("64 bits for 126", b"\x81\xff" + (126).to_bytes(8, "big") + MASK)
    yield refused("negative length", b"\x81\xff" + b"\xff" * 8 + MASK)


CASES = list(cases())


def seen(frame: Frame) -> Expected:
    """Return a frame in the form of ``Case.expected``."""
    assert frame.first & 0xF0 == 0x80, "the server sends whole frames without reserved bits"
    if frame.opcode == PONG:
        return frame.payload
    if frame.opcode == CLOSE:
        frame.payload[2:].decode()
        return int.from_bytes(frame.payload[:2], "big") if frame.payload else None
    assert frame.opcode == TEXT
    message = json.loads(frame.payload)
    return ANSWER if message["type"] == "error" else f"unexpected {message}"


def run(server: Server, path: str, packets: list[bytes]) -> list[Expected]:
    """Send packets and return what the server sends until it ends the connection."""
    connection = RawSocket(server, path)
    try:
        for packet in packets:
            connection.socket.sendall(packet)
        result = []
        while (frame := connection.next_frame()) is not None:
            if not frame.payload.startswith(
                (b'{"type":"presence_state"', b'{"type":"server_info"')
            ):
                result.append(seen(frame))
        assert not connection.was_reset, "the connection was reset"
        return result
    finally:
        connection.close()


@pytest.mark.parametrize("path", LIMITS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_websocket_follows_the_protocol(module_server: Server, path: str, case: Case) -> None:
    """Messages are answered; violations end the connection with the right code, not a reset."""
    assert run(module_server, path, case.packets) == case.expected


@pytest.mark.parametrize("path", LIMITS)
@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_websocket_limits_messages(module_server: Server, path: str, n_frames: int) -> None:
    """A message of the limit is answered; one byte more, in any frames, closes with 1009."""
    limit = LIMITS[path]
    for size, expected in ((limit, [ANSWER, 1000]), (limit + 1, [TOO_BIG])):
        payload = b"x" * size
        step = size // n_frames + 1
        parts = [payload[start : start + step] for start in range(0, size, step)]
        packets = [
            client_frame(CONTINUE if index else TEXT, part, fin=index == len(parts) - 1)
            for index, part in enumerate(parts)
        ]
        assert run(module_server, path, [*packets, BYE]) == expected


@pytest.mark.parametrize("path", LIMITS)
def test_websocket_refuses_a_length_without_its_payload(module_server: Server, path: str) -> None:
    """A client that announces a message beyond the limit is refused before it sends it."""
    packet = b"\x82\xff" + (1 << 62).to_bytes(8, "big") + MASK
    assert run(module_server, path, [packet]) == [TOO_BIG]
