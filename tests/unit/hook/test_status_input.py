"""What a status line says becomes fields of events and text, whatever the JSON holds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.core.model import Event
from htmlgraph_nb.hook.status_input import (
    quota_windows,
    session_info,
    status_text,
    waiting_elsewhere,
)
from tests.helpers.paths import ROOT

FULL: dict[str, Any] = json.loads((ROOT / "tests/payloads/claude_statusline/full.json").read_text())
NOW_S = 1_796_040_000.0
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def damaged(value: Any) -> st.SearchStrategy[Any]:
    """Return documents of the same shape in which any part may be missing or something else."""
    if not isinstance(value, dict):
        return st.just(value) | json_values
    parts = {name: damaged(part) for name, part in value.items()}
    return st.fixed_dictionaries({}, optional=parts) | json_values


def test_session_info_has_the_documented_fields() -> None:
    """The context is the prompt of the last answer; the title counts as generated."""
    assert session_info(FULL) == {
        "title": "checkout flow",
        "branch": "worktree-my-feature",
        "cwd": "/home/dev/warehouse/src",
        "worktree": "my-feature",
        "project": "warehouse",
        "pr": "https://github.com/dev/warehouse/pull/1234",
        "context_tokens": 83_200,
        "context_window": 200_000,
        "context_source": "reported",
        "extra": {"title_generated": True},
    }


def test_session_info_of_a_new_session_is_empty() -> None:
    """Nothing is known before the first answer, and nothing is invented."""
    assert session_info({"session_id": "s", "context_window": {"current_usage": None}}) == {}
    assert quota_windows({"session_id": "s", "rate_limits": None}) == []


def test_quota_windows_are_named_from_their_minutes() -> None:
    """Each window may be missing; without a reset time its percentage is reported alone."""
    assert quota_windows(FULL) == [
        {
            "window": "5h",
            "minutes": 300,
            "used_percent": 23.5,
            "resets_at": "2026-11-30T14:46:40Z",
        },
        {
            "window": "weekly",
            "minutes": 10_080,
            "used_percent": 41.2,
            "resets_at": "2026-12-05T05:53:20Z",
        },
    ]
    only = {"rate_limits": {"seven_day": {"used_percentage": 7}}}
    assert quota_windows(only) == [{"window": "weekly", "minutes": 10_080, "used_percent": 7.0}]


def test_status_text_shows_context_limits_cost_and_who_waits(monkeypatch: Any) -> None:
    """One line; a window that is over since its reset is not shown."""
    text = status_text(FULL, ["checkout-flow", "claude-4a9c1ab2"], NOW_S)
    parts = text.split(" │ ")
    assert parts[0] == "████░░░░░░ 42% of 200k"
    assert parts[1].startswith("5h 24%, resets ")
    assert parts[2].startswith("weekly 41%, resets ")
    assert parts[3:] == ["$0.12", "2 agents wait: checkout-flow, claude-4a9c1ab2"]
    later = status_text(FULL, [], 1_796_050_000.0)
    assert "5h" not in later
    assert "weekly 41%" in later
    assert status_text({}, [], NOW_S) == "htmlgraph-nb"
    assert status_text({}, ["a", "b", "c", "d"], NOW_S) == "4 agents wait: a, b, c, +1"


def test_waiting_elsewhere_excludes_this_session_and_control_characters() -> None:
    """A title prefers to an id, and cannot send codes to the terminal."""
    waiting = [
        {"agent_id": "claude-1", "session_id": "mine"},
        {"agent_id": "claude-2", "session_id": "other", "title": "\x1b[31mred\n" + "x" * 99},
        {"agent_id": "claude-3", "session_id": None},
        "garbage",
    ]
    names = waiting_elsewhere(waiting, "mine")
    assert names == [f" [31mred {'x' * 30}…", "claude-3"]


@given(damaged(FULL))
def test_status_input_never_fails(status: Any) -> None:
    """Any JSON object gives valid events and one line of printable text."""
    if not isinstance(status, dict):
        return
    info, windows = session_info(status), quota_windows(status)
    common = {"agent_id": "claude-1", "source": "claude-statusline"}
    fields = {name: value for name, value in info.items() if name in Event.__annotations__}
    Event.from_dict(json.loads(json.dumps({**common, "event_type": "session_info", **fields})))
    extra = {"account": "claude", "official": True, "windows": windows}
    Event.from_dict({**common, "event_type": "quota", "extra": json.loads(json.dumps(extra))})
    assert "\n" not in status_text(status, [], NOW_S)
