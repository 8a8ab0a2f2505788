"""gzip in steps: all members, limits and errors."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.errors import ApiError, InvalidEvent
from htmlgraph_server.decoding import gzip_steps as unit
from htmlgraph_server.handlers.parsing import finish


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=5), st.integers(1, 90))
def test_gzip_steps_read_all_members(parts: list[bytes], step: int) -> None:
    """The data of all members counts, wherever the steps end."""
    data = b"".join(gzip.compress(part) for part in parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit, "MAX_INFLATED_BYTES", step)
        assert finish(unit.gzip_steps(data, 10_000)) == b"".join(parts)


def test_gzip_steps_are_short() -> None:
    """A step gives at most MAX_INFLATED_BYTES, however small the compressed data is."""
    data = gzip.compress(b"\n\0" * 4_000_000)
    assert len(data) < 10_000
    steps = unit.gzip_steps(data, 8_000_000)
    n_steps = sum(1 for _ in steps)
    assert n_steps >= 8_000_000 // unit.MAX_INFLATED_BYTES


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "got nothing"),
        (b"text", "expected gzip"),
        (gzip.compress(b"x" * 99, mtime=0)[:-1], "ends too early"),
        (gzip.compress(b"x" * 99, mtime=0) + b"\x1f\x8b", "ends too early"),
        (gzip.compress(b"x" * 99, mtime=0) + b"rest", "expected gzip"),
        (gzip.compress(b"x" * 99, mtime=0)[:-8] + b"12345678", "expected gzip"),
        (zlib.compress(b"x"), "expected gzip"),
        (gzip.compress(b"") * (unit.MAX_MEMBERS + 1), "at most 1000 members"),
    ],
)
def test_gzip_steps_refuse_what_is_not_gzip(data: bytes, message: str) -> None:
    """Nothing is dropped silently, also not after the first member."""
    with pytest.raises(InvalidEvent, match=message):
        finish(unit.gzip_steps(data, 10_000))


def test_gzip_steps_limit_the_data_of_all_members() -> None:
    """The limit counts decompressed bytes."""
    member = gzip.compress(b"x" * 600)
    assert finish(unit.gzip_steps(member, 600)) == b"x" * 600
    with pytest.raises(ApiError, match="at most 1000 bytes"):
        finish(unit.gzip_steps(member * 2, 1_000))
