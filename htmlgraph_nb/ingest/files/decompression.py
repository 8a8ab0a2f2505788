"""Read the lines of compressed session files, in bounded memory and from front to back."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from typing import Any, BinaryIO, Protocol

from .session_names import SESSION_COMPRESSIONS

MAX_RATIO = 1_000
"""Decompressed bytes per compressed byte from which a file counts as a decompression bomb; session
files reach about 50."""
_READ_BYTES = 64 << 10
_CHUNK_BYTES = 256 << 10
_MAX_WINDOW_LOG = 27
_MAX_LZMA_BYTES = 1 << 27
"""Memory of a decoder; ``zstd --long`` and ``xz -9`` need as much."""


class _Decoder(Protocol):
    """What the decompressor objects of bz2, lzma and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _GzipDecoder:
    """zlib's object with the interface of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        # Files can be padded with zeros.
        return self._zlib.unused_data.lstrip(b"\0")

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _zstd() -> Any:
    """Return the module of PEP 784; imported only for a file that needs it."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _decoder_of(suffix: str) -> _Decoder:
    decoder: _Decoder
    if suffix == ".zst":
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
        decoder = zstd.ZstdDecompressor(options=options)
    elif suffix == ".bz2":
        decoder = bz2.BZ2Decompressor()
    elif suffix == ".xz":
        decoder = lzma.LZMADecompressor(memlimit=_MAX_LZMA_BYTES)
    else:
        decoder = _GzipDecoder()
    return decoder


class DecompressedStream:
    """The content of a compressed file, of which ``readline`` and ``read`` return the next part.

    It holds no open file, so that reading can pause: call ``attach`` before the first read and
    after each pause.

    Args:
        suffix: one of SESSION_COMPRESSIONS.

    Attributes:
        position: number of compressed bytes that were read.
        problem: why the rest of the content is missing; None: nothing is.
    """

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix
        self._decoder: _Decoder | None = None
        self._file: BinaryIO | None = None
        self._buffer = b""
        self._start = 0
        self._n_bytes = 0
        self._is_first = True
        self.position = 0
        self.problem: str | None = None

    def attach(self, file: BinaryIO) -> None:
        """Read on from this file, which is open for reading."""
        file.seek(self.position)
        self._file = file

    def readline(self, limit: int) -> bytes:
        """Return the next line with its end, or the first ``limit`` bytes of it; b"": the end."""
        return self._next(limit, b"\n")

    def read(self, limit: int) -> bytes:
        """Return the next ``limit`` bytes, fewer at the end."""
        return self._next(limit, b"")

    def _next(self, limit: int, end: bytes) -> bytes:
        parts: list[bytes] = []
        missing = limit
        while missing and (self._start < len(self._buffer) or self._fill()):
            stop = min(self._start + missing, len(self._buffer))
            found = self._buffer.find(end, self._start, stop) if end else -1
            stop = found + 1 if found >= 0 else stop
            parts.append(self._buffer[self._start : stop])
            missing -= stop - self._start
            self._start = stop
            if found >= 0:
                break
        return b"".join(parts)

    def _fill(self) -> bool:
        """Decompress the next chunk; return False at the end of what can be read."""
        self._buffer, self._start = b"", 0
        while not self._buffer and self.problem is None:
            try:
                if not self._decode():
                    return False
            except ImportError:
                self.problem = "it needs a package: pip install backports.zstd"
            except Exception as error:  # noqa: BLE001
                # The exceptions of the four modules have no common base class.
                self.problem = f"invalid {SESSION_COMPRESSIONS[self._suffix]} data: {error}"
        self._n_bytes += len(self._buffer)
        if self._n_bytes > MAX_RATIO * max(self.position, _READ_BYTES):
            self.problem = f"it expands to more than {MAX_RATIO:,} times its size"
            self._buffer = b""
        return bool(self._buffer)

    def _decode(self) -> bool:
        """Do one step; return False at the end of the file."""
        decoder, data = self._decoder, b""
        if decoder is not None and decoder.eof:
            data, self._decoder = decoder.unused_data, None
        if self._decoder is None or self._decoder.needs_input:
            data = data or self._read_file()
        if self._decoder is None:
            if not data and not self._is_first:
                return False
            self._is_first = False
            self._decoder = _decoder_of(self._suffix)
        is_end = not data and self._decoder.needs_input
        self._buffer = self._decoder.decompress(data, _CHUNK_BYTES)
        if is_end and not self._buffer:
            self.problem = f"the {SESSION_COMPRESSIONS[self._suffix]} data ends early"
        return True

    def _read_file(self) -> bytes:
        data = b"" if self._file is None else self._file.read(_READ_BYTES)
        self.position += len(data)
        return data
