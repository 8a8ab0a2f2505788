"""DecompressedStream returns the lines of the plain file, whatever the compression."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.ingest.files.decompression import DecompressedStream
from tests.helpers.session_oracle import COMPRESS

TEXT = b"".join(b'{"number":%d,"text":"%s"}\n' % (n, b"x" * (n % 97)) for n in range(5_000))
LIMIT = 1 << 20


def read(suffix: str, data: bytes, limit: int = LIMIT) -> tuple[bytes, str | None]:
    """Return what the lines are, joined, and the problem."""
    stream = DecompressedStream(suffix)
    stream.attach(io.BytesIO(data))
    lines = list(iter(lambda: stream.readline(limit), b""))
    return b"".join(lines), stream.problem


@pytest.mark.parametrize("suffix", COMPRESS)
@settings(max_examples=20)
@given(cut=st.integers(0, len(TEXT)), limit=st.integers(1, 300), pauses=st.integers(1, 200))
def test_stream_returns_the_plain_lines(suffix: str, cut: int, limit: int, pauses: int) -> None:
    """Also of several members or frames, with short limits, and if reading pauses."""
    packed = COMPRESS[suffix](TEXT[:cut]) + COMPRESS[suffix](TEXT[cut:])
    stream = DecompressedStream(suffix)
    stream.attach(io.BytesIO(packed))
    parts = []
    while part := stream.readline(limit):
        assert len(part) <= limit
        assert b"\n" not in part[:-1]
        parts.append(part)
        if len(parts) % pauses == 0:
            stream.attach(io.BytesIO(packed))
    assert (b"".join(parts), stream.problem) == (TEXT, None)
    assert stream.position == len(packed)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_stream_reads_a_document_at_once(suffix: str) -> None:
    """``read`` pays no attention to line ends."""
    stream = DecompressedStream(suffix)
    stream.attach(io.BytesIO(COMPRESS[suffix](TEXT)))
    assert stream.read(1_000) + stream.read(LIMIT) == TEXT
    assert stream.read(LIMIT) == b""


@pytest.mark.parametrize("suffix", COMPRESS)
def test_stream_names_the_end_of_a_truncated_file(suffix: str) -> None:
    """What comes before it is returned."""
    packed = COMPRESS[suffix](TEXT)
    found, problem = read(suffix, packed[: len(packed) * 9 // 10])
    assert TEXT.startswith(found)
    assert "ends early" in str(problem)
    assert "ends early" in str(read(suffix, b"")[1])


@pytest.mark.parametrize("suffix", COMPRESS)
def test_stream_names_invalid_data(suffix: str) -> None:
    """At the start, and after a first member."""
    assert "invalid" in str(read(suffix, b"no such format at all, whatever it is called")[1])
    found, problem = read(suffix, COMPRESS[suffix](TEXT) + b"trailing text of some length")
    assert found == TEXT
    assert "invalid" in str(problem)


@pytest.mark.parametrize("suffix", [".zst", ".bz2", ".xz"])
def test_stream_stops_a_decompression_bomb(suffix: str) -> None:
    """It is named after 64 MiB, and no more is decompressed."""
    bomb = COMPRESS[suffix](b"\0" * (128 << 20))
    stream = DecompressedStream(suffix)
    stream.attach(io.BytesIO(bomb))
    n_bytes = sum(map(len, iter(lambda: stream.readline(LIMIT), b"")))
    assert 60 << 20 < n_bytes <= 64 << 20
    assert "more than 1,000 times its size" in str(stream.problem)


def test_stream_says_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of zstd the other formats are read."""
    for name in ("backports.zstd", "compression.zstd", "compression"):
        monkeypatch.setitem(sys.modules, name, None)
    import backports

    monkeypatch.delattr(backports, "zstd", raising=False)
    packed = COMPRESS[".zst"](TEXT)
    assert read(".zst", packed) == (b"", "it needs a package: pip install backports.zstd")
    assert read(".gz", COMPRESS[".gz"](TEXT)) == (TEXT, None)
