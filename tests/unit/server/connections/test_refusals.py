"""Refusals: one line for the first of a kind, then one a minute with their number."""

from __future__ import annotations

import logging

import pytest

from htmlgraph_server.connections.refusals import SUMMARY_S, Refusals


def test_refusals_are_summarized(caplog: pytest.LogCaptureFixture) -> None:
    """Each kind has its own count."""
    now = 50.0
    refusals = Refusals(lambda: now)
    with caplog.at_level(logging.INFO):
        for _ in range(1_000):
            refusals.add(403, "host_refused")
        refusals.add(401, "token_needed")
        now += SUMMARY_S
        refusals.add(403, "host_refused")
        for n in range(1_000):
            refusals.add(400, f"code-{n}")
    assert caplog.messages[:3] == [
        "refused: status=403 code=host_refused count=1",
        "refused: status=401 code=token_needed count=1",
        "refused: status=403 code=host_refused count=1000",
    ]
    assert len(caplog.messages) <= 103, "the number of kinds is limited"
