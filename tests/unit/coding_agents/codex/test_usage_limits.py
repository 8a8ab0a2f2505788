"""The usage windows in Codex's session files are reported when they change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from htmlgraph_nb.coding_agents.codex.session import CodexSession
from htmlgraph_nb.coding_agents.codex.usage_limits import UsageLimits
from tests.helpers.codex_lines import AGENT, message, meta
from tests.helpers.session_lines import PAYLOADS, check, lines_of, read

END = 1_779_508_343


def limits(used: float = 1.0, end: int | None = END, **fields: Any) -> dict[str, Any]:
    """Return a rate_limits object as Codex writes it."""
    return {
        "limit_id": "codex",
        "primary": {"used_percent": used, "window_minutes": 300, "resets_at": end},
        "secondary": {"used_percent": 0.0, "window_minutes": 10_080, "resets_at": END + 600_000},
        "credits": None,
        "plan_type": "plus",
        "rate_limit_reached_type": None,
        **fields,
    }


def test_usage_limits_are_reported_when_they_change() -> None:
    """A repeated report, or an end that moves by seconds, is no change."""
    seen = UsageLimits()
    extra = seen.changes(limits())
    assert extra == {
        "account": "codex",
        "plan": "plus",
        "official": True,
        "windows": [
            {
                "window": "5h",
                "minutes": 300,
                "used_percent": 1.0,
                "resets_at": "2026-05-23T03:52:23.000000Z",
            },
            {
                "window": "weekly",
                "minutes": 10_080,
                "used_percent": 0.0,
                "resets_at": "2026-05-30T02:32:23.000000Z",
            },
        ],
    }
    assert seen.changes(limits()) is None
    assert seen.changes(limits(end=END + 2)) is None
    assert seen.changes(limits(used=2.0)) is not None
    assert seen.changes(limits(used=2.0, end=END + 18_000)) is not None
    assert seen.changes(limits(used=2.0, end=END + 18_000, secondary=None)) is not None


def test_usage_limits_of_a_model_are_separate() -> None:
    """Some models have a limit of their own; it does not overwrite the account's."""
    seen = UsageLimits()
    assert (seen.changes(limits()) or {})["account"] == "codex"
    assert (seen.changes(limits(limit_id="codex_spark")) or {})["account"] == "codex_spark"
    assert seen.changes(limits()) is None
    assert (seen.changes(limits(used=5, limit_id=None)) or {})["account"] == "codex"


def test_usage_limits_without_windows_report_nothing() -> None:
    """Windows come and go; nothing is reported for those that are absent."""
    seen = UsageLimits()
    assert seen.changes({}) is None
    assert seen.changes(limits(primary=None, secondary=7)) is None
    assert seen.full_until() is None


def test_usage_limits_are_bounded() -> None:
    """A file cannot create any number of accounts."""
    seen = UsageLimits()
    reported = [seen.changes(limits(limit_id=f"limit-{number}")) for number in range(100)]
    assert sum(extra is not None for extra in reported) == 16


def test_full_until_is_the_end_of_the_last_full_window() -> None:
    """The agent can work again when all full windows have ended."""
    seen = UsageLimits()
    seen.changes(limits(used=100.0))
    assert seen.full_until() == datetime(2026, 5, 23, 3, 52, 23, tzinfo=UTC)
    week = {"used_percent": 100.0, "window_minutes": 10_080, "resets_at": END + 600_000}
    seen.changes(limits(used=100.0, secondary=week))
    assert seen.full_until() == datetime(2026, 5, 30, 2, 32, 23, tzinfo=UTC)


def test_usage_limits_are_events_of_the_session() -> None:
    """They are also reported before the first completion, and read again with the same ids."""
    lines = [meta(), *(message("token_count", n, info=None, rate_limits=limits()) for n in (1, 2))]
    events = read(CodexSession(), lines)
    check(events)
    (quota,) = [event for event in events if event.event_type == "quota"]
    assert (quota.agent_id, (quota.extra or {})["account"]) == (AGENT, "codex")
    assert read(CodexSession(), lines) == events


def test_usage_limits_of_recordings() -> None:
    """Recorded sessions contain both windows and the size of the context."""
    path = PAYLOADS / "codex/rollout-self-correction-iteration.jsonl"
    events = read(CodexSession(), lines_of(path))
    (quota,) = [event for event in events if event.event_type == "quota"]
    assert [each["window"] for each in (quota.extra or {})["windows"]] == ["5h", "weekly"]
    assert {e.context_window for e in events if e.event_type == "completion"} == {258_400}
