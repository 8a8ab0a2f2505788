"""Clients that try tokens are slowed down, each address by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest

from htmlgraph_nb.errors import ApiError
from htmlgraph_server.connections import token_guesses
from htmlgraph_server.connections.token_guesses import MAX_DELAYED, TokenGuesses


def test_token_guesses_limit_pending_responses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the limit tokens of an address are not checked; other addresses are."""
    monkeypatch.setattr(token_guesses, "GUESS_DELAY_S", 3_600.0)
    caplog.set_level(logging.WARNING)
    now = [10.0]
    guesses = TokenGuesses(lambda: now[0])

    async def guess() -> None:
        tasks = [asyncio.ensure_future(guesses.delay("10.0.0.1")) for _ in range(MAX_DELAYED)]
        # A task starts with the next turn of the loop.
        started = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(started.set_result, None)
        guesses.check("10.0.0.1")
        await started
        with pytest.raises(ApiError, match="too many wrong tokens") as raised:
            guesses.check("10.0.0.1")
        assert (raised.value.status, raised.value.code) == (429, "too_many_attempts")
        guesses.check("10.0.0.2")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        guesses.check("10.0.0.1")

    asyncio.run(guess())
    assert caplog.messages == ["wrong token from 10.0.0.1"]
    assert not guesses._pending
    now[0] += 61
    monkeypatch.setattr(token_guesses, "GUESS_DELAY_S", 0.0)
    asyncio.run(guesses.delay("10.0.0.1"))
    assert len(caplog.messages) == 2
