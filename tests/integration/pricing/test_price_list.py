"""The price table is read by a child process, or by this one if that fails."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from htmlgraph_nb.core.agent_state import AgentState
from htmlgraph_nb.core.model import TOKEN_FIELDS, Event
from htmlgraph_nb.core.reducer import reduce
from htmlgraph_nb.pricing import price_list
from htmlgraph_nb.pricing.price_list import context_window_of, price_of

AT = datetime(2025, 11, 1, 12, tzinfo=UTC)


def completion(model: str | None, counts: list[int], **fields: object) -> Event:
    """Return a completion of a model with these tokens, in the order of TOKEN_FIELDS."""
    tokens = dict(zip(TOKEN_FIELDS, counts, strict=True))
    return Event(
        agent_id="a", event_type="completion", timestamp=AT, model=model, **tokens, **fields
    )


OPUS = completion("claude-opus-4-5", [1_000_000] * 5)
OPUS_USD = 5 + 0.5 + 6.25 + 10 + 25


@pytest.fixture
def empty_caches() -> Iterator[None]:
    """Clear the cached prices before and after the test."""

    def clear() -> None:
        price_list._table.cache_clear()
        price_list._find_price.cache_clear()

    clear()
    yield
    clear()


def test_price_of_returns_none_without_a_price() -> None:
    """No model, no token counts, or a model that is not in the table."""
    assert price_of(completion(None, [1, 0, 0, 0, 1])) is None
    assert price_of(completion("gpt-5", [0, 0, 0, 0, 0])) is None
    assert price_of(completion("no-such-model", [1, 0, 0, 0, 1])) is None
    assert price_of(Event(agent_id="a", model="gpt-5", cost_tokens=100)) is None


def test_price_of_known_model() -> None:
    """Claude Opus 4.5: 5, 0.5, 6.25, 10 and 25 dollars per million (anthropic.com/pricing)."""
    assert price_of(OPUS) == pytest.approx(OPUS_USD)
    assert price_of(Event(agent_id="a", model="gpt-5", input_tokens=1_000)) is not None


def test_reduce_prefers_reported_costs_to_the_table() -> None:
    """A reported cost is added unchanged; other completions are priced if a price is known."""
    new = AgentState.new("a", AT)
    reported = completion("claude-opus-4-5", [1_000_000] * 5, cost_usd=0.5)
    assert reduce(new, reported, AT, price_of).cost_usd == 0.5
    assert reduce(new, OPUS, AT, price_of).cost_usd == pytest.approx(OPUS_USD)
    assert reduce(new, OPUS, AT).cost_usd is None
    unknown = completion("no-such-model", [1, 0, 0, 0, 1])
    assert reduce(new, unknown, AT, price_of).cost_usd is None


_PRICE_ONE = """
import json, sys
from datetime import UTC, date, datetime
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.pricing import price_list
from htmlgraph_nb.pricing.price_list import context_window_of, price_of
price_list.utc_now = lambda: datetime(2025, 11, 1, tzinfo=UTC)
usd = price_of(Event(agent_id="a", model="claude-opus-4-5", output_tokens=1_000_000))
heavy = {"genai_prices", "pydantic", "pydantic_core"} & set(sys.modules)
print(json.dumps([usd, sorted(heavy)]))
"""


def test_price_of_does_not_import_the_package(tmp_path: Path) -> None:
    """Modules in the current folder do not shadow those of the child process."""
    (tmp_path / "htmlgraph_nb.py").write_text("raise SystemExit('wrong module')")
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PRICE_ONE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == [pytest.approx(25.0), []]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program",), "No such file"),
        ((sys.executable, "-c", "raise KeyError('x')"), "exit status 1: KeyError: 'x'"),
        ((sys.executable, "-c", "print('hello')"), "Expecting value"),
        ((sys.executable, "-c", "print(7)"), "must be str"),
        ((sys.executable, "-c", ""), "no output"),
    ],
)
def test_price_of_imports_the_package_if_the_child_fails(
    command: tuple[str, ...],
    reason: str,
    empty_caches: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The reason is logged once, and all prices are available."""
    monkeypatch.setattr(price_list, "COMMAND", command)
    with caplog.at_level(logging.WARNING, "htmlgraph_nb.pricing.price_list"):
        assert price_of(OPUS) == pytest.approx(OPUS_USD)
        assert price_of(completion("gpt-5", [1, 0, 0, 0, 1])) is not None
    messages = [record.getMessage() for record in caplog.records]
    (message,) = [text for text in messages if text.startswith("importing genai-prices here")]
    assert reason in message


def test_load_warns_once_of_an_old_table(
    empty_caches: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The table says nothing about prices of the last months."""
    assert price_list.table_status(AT.date()) is None
    monkeypatch.setattr(price_list, "utc_now", lambda: datetime(2099, 1, 1, tzinfo=UTC))
    with caplog.at_level(logging.WARNING, "htmlgraph_nb.pricing.price_list"):
        price_list.load()
        assert price_of(OPUS) == pytest.approx(OPUS_USD)
    (record,) = caplog.records
    assert "prices may have changed since" in record.getMessage()
    status = price_list.table_status(date(2099, 1, 1))
    assert status is not None
    assert record.getMessage() in status["notes"]


def test_price_of_does_not_cache_unknown_names_forever(empty_caches: None) -> None:
    """Clients can send any number of model names."""
    for number in range(2_000):
        assert price_of(completion(f"no-such-model-{number}", [1, 0, 0, 0, 1])) is None
    assert price_list._find_price.cache_info().currsize < 2_000


def test_context_window_of_known_model(empty_caches: None) -> None:
    """The windows are those of the table; a model without one, or an unknown model, has none."""
    assert context_window_of("claude-sonnet-4-5-20250929") == 200_000
    assert context_window_of("us.anthropic.claude-sonnet-4-5-20250929-v1:0") == 200_000
    assert context_window_of("gpt-5") == 400_000
    assert context_window_of("no-such-model") is None
    assert context_window_of("") is None


def test_context_window_of_imports_the_package_if_the_child_fails(
    empty_caches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the child process the windows are the same."""
    monkeypatch.setattr(price_list, "COMMAND", ("no-such-program",))
    assert context_window_of("gpt-5") == 400_000
    assert context_window_of("no-such-model") is None
