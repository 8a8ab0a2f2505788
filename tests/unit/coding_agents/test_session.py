"""What the readers of session files share."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents import session
from htmlgraph_nb.coding_agents.session import (
    parse_record,
    remember_call,
    split_records,
    type_matcher,
)
from htmlgraph_nb.errors import InvalidEvent


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"type":"user","a":1}', True),
        (b'{"a":{"type":"user"}, "type":"other"}', True),
        (b'{"type":"other"}', False),
        (b'{"type": "other"}', True),
        (b'{"type":"oth', True),
        (b"[]", True),
    ],
)
def test_type_matcher(line: bytes, expected: bool) -> None:
    """Only compact objects of other types are skipped without parsing."""
    assert bool(type_matcher(("user", "system"))(line)) is expected


@pytest.mark.parametrize(
    ("line", "message"),
    [(b"{", "line: invalid JSON"), (b"[1]", "line: expected an object"), (b"[" * 100_000, "line")],
)
def test_parse_record_raises_invalid_event(line: bytes, message: str) -> None:
    """A line that is no JSON object, or nested too deeply, is reported."""
    with pytest.raises(InvalidEvent, match=message):
        parse_record(line)


@pytest.mark.parametrize(
    ("line", "records", "is_whole"),
    [
        (b'{"a":"}{"}{"b":2}', [b'{"a":"}{"}', b'{"b":2}'], True),
        (b'{"a":1} \t{"b":2}\r\n', [b'{"a":1}', b'{"b":2}'], True),
        (b'{"a":1}{"b":', [b'{"a":1}'], False),
        (b'{"a":1}[2]', [b'{"a":1}'], False),
        (b'{"a":1}\x00{"b":2}', [b'{"a":1}'], False),
        (b'{"a":{"b":2}', [], False),
        (b"\xff{}", [], False),
        (b"", [], False),
    ],
)
def test_split_records(line: bytes, records: list[bytes], is_whole: bool) -> None:
    """Records without a line end between them are found; the rest of a line is not guessed."""
    assert split_records(line) == (records, is_whole)


def test_remember_call_drops_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open calls are bounded."""
    monkeypatch.setattr(session, "MAX_OPEN_CALLS", 2)
    calls: dict[str, session.OpenCall] = {}
    for key in "abc":
        remember_call(calls, key, (key, None))
    assert list(calls) == ["b", "c"]
