"""Prices in a process that stays small: another reads them, and where that fails it does so."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.model import TOKEN_FIELDS, Event
from htmlgraph_nb.core.reducer import reduce
from htmlgraph_nb.pricing import price_list
from htmlgraph_nb.pricing.price_list import price_of

AT = datetime(2025, 11, 1, 12, tzinfo=UTC)


def answer(model: str | None, counts: list[int], **fields: object) -> Event:
    """Return an answer of a model with these tokens, in the order of TOKEN_FIELDS."""
    tokens = dict(zip(TOKEN_FIELDS, counts, strict=True))
    return Event(
        agent_id="a", event_type="completion", timestamp=AT, model=model, **tokens, **fields
    )


OPUS = answer("claude-opus-4-5", [1_000_000] * 5)
OPUS_USD = 5 + 0.5 + 6.25 + 10 + 25


@pytest.fixture
def unread() -> Iterator[None]:
    """Prices that nobody has asked for yet, and that nobody keeps."""

    def forget() -> None:
        price_list._finder.cache_clear()
        price_list._tariff.cache_clear()

    forget()
    yield
    forget()


def test_what_cannot_be_priced_is_none() -> None:
    """No model, no tokens by kind, or a model that is not in the table."""
    assert price_of(answer(None, [1, 0, 0, 0, 1])) is None
    assert price_of(answer("gpt-5", [0, 0, 0, 0, 0])) is None
    assert price_of(answer("no-such-model", [1, 0, 0, 0, 1])) is None
    assert price_of(Event(agent_id="a", model="gpt-5", cost_tokens=100)) is None


def test_a_known_figure() -> None:
    """Claude Opus 4.5: 5, 0.5, 6.25, 10 and 25 dollars a million (anthropic.com/pricing)."""
    assert price_of(OPUS) == pytest.approx(OPUS_USD)
    assert price_of(Event(agent_id="a", model="gpt-5", input_tokens=1_000)) is not None


def test_the_agents_own_word_goes_before_the_table() -> None:
    """What it tells is added as it is; what it does not tell is priced, if somebody can."""
    new = AgentState.new("a", AT)
    told = answer("claude-opus-4-5", [1_000_000] * 5, cost_usd=0.5)
    assert reduce(new, told, AT, price_of).cost_usd == 0.5
    assert reduce(new, OPUS, AT, price_of).cost_usd == pytest.approx(OPUS_USD)
    assert reduce(new, OPUS, AT).cost_usd is None
    unknown = answer("no-such-model", [1, 0, 0, 0, 1])
    assert reduce(new, unknown, AT, price_of).cost_usd is None


_PRICES_ONE = """
import json, sys
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.pricing.price_list import price_of
usd = price_of(Event(agent_id="a", model="claude-opus-4-5", output_tokens=1_000_000))
heavy = {"genai_prices", "pydantic", "pydantic_core"} & set(sys.modules)
print(json.dumps([usd, sorted(heavy)]))
"""


def test_the_package_is_not_loaded(tmp_path: Path) -> None:
    """Whoever prices keeps clear of it, and of files that lie where it was started."""
    (tmp_path / "htmlgraph_nb.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PRICES_ONE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [pytest.approx(25.0), []]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("no-such-program",), "No such file"),
        ((sys.executable, "-c", "raise KeyError('x')"), "ended with status 1: KeyError: 'x'"),
        ((sys.executable, "-c", "print('hello')"), "Expecting value"),
        ((sys.executable, "-c", "print(7)"), "int"),
        ((sys.executable, "-c", ""), "nothing"),
    ],
)
def test_without_the_other_process_it_reads_them_itself(
    command: tuple[str, ...],
    said: str,
    unread: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says why, once, and no price is missing."""
    monkeypatch.setattr(price_list, "COMMAND", command)
    with caplog.at_level(logging.WARNING, "htmlgraph.prices"):
        assert price_of(OPUS) == pytest.approx(OPUS_USD)
        assert price_of(answer("gpt-5", [1, 0, 0, 0, 1])) is not None
    (record,) = caplog.records
    assert said in record.getMessage()


def test_names_of_strangers_are_not_kept(unread: None) -> None:
    """Anybody can send names of models without end."""
    for number in range(2_000):
        assert price_of(answer(f"no-such-model-{number}", [1, 0, 0, 0, 1])) is None
    assert price_list._tariff.cache_info().currsize < 2_000
