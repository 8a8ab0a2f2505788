"""Frees what the error of an ended connection refers to."""

from __future__ import annotations

from tornado.iostream import IOStream


def drop_traceback(stream: IOStream) -> None:
    """Drop the traceback of the error that ended a stream, which keeps the error.

    Its frames hold the stream, and what was being received or sent. Garbage collections are rare
    (see ``server.tune_gc``), so thousands of connections that were reset would stay in memory.
    """
    if stream.error is not None:
        stream.error.__traceback__ = None
        # Of an error that was being handled meanwhile, such as a violation of the protocol.
        stream.error.__context__ = None
