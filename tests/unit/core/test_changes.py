"""coerce_event: the accepted forms of an event."""

from __future__ import annotations

import pytest

from htmlgraph_nb.core.changes import coerce_event
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.strategies import T0


@pytest.mark.parametrize("given", ["tool_execute", {"event_type": "tool_execute"}])
def test_coerce_event_accepts_an_event_type(given: object) -> None:
    """It is the same as a dict with only that type."""
    assert coerce_event("a", given) == Event(agent_id="a", event_type="tool_execute")  # type: ignore[arg-type]


def test_coerce_event_keeps_unknown_keys() -> None:
    """They go into extra next to its other keys; the agent is that of the argument."""
    event = coerce_event(
        "a", {"agent_id": "b", "prompt_id": 7, "extra": {"k": 1}, "tool_name": None}
    )
    assert event == Event(agent_id="a", extra={"prompt_id": 7, "k": 1})


def test_coerce_event_validates_constructed_events() -> None:
    """The constructor validates nothing, but stored events must be valid."""
    assert coerce_event("a", Event(agent_id="b", tool_name="Bash")).agent_id == "a"
    for field, value in (("tool_name", "\ud800"), ("input_tokens", -1), ("extra", {"x": object()})):
        with pytest.raises(InvalidEvent, match=field):
            coerce_event("a", Event(agent_id="a", **{field: value}))


@pytest.mark.parametrize(
    ("agent_id", "event", "message"),
    [
        ("", "prompt", "agent_id: expected 1 to 256 characters, got 0"),
        ("a" * 257, {}, "agent_id: expected 1 to 256 characters, got 257"),
        (None, "prompt", "agent_id: expected a string, got null"),
        (7, {}, "agent_id: expected a string, got 7"),
        ("a", "", "event_type: expected 1 to 64 characters, got 0"),
        ("a", None, "event: expected a dict, an Event or an event type such as .*, got null"),
        ("a", 7, "event: expected a dict, .*, got 7"),
        ("a", [{}], "event: expected a dict, .*, got an array of 1"),
        ("a", {"cost_tokens": "many"}, "cost_tokens: expected an integer from .*, got 'many'"),
        (
            "a",
            {"timestamp": "yesterday"},
            "timestamp: expected an RFC 3339 string .*, got 'yesterday'",
        ),
        ("a", {"when": T0}, "extra: cannot be encoded as JSON"),
    ],
)
def test_coerce_event_rejects_invalid_input(agent_id: object, event: object, message: str) -> None:
    """The error contains the expectation and the value."""
    with pytest.raises(InvalidEvent, match=message):
        coerce_event(agent_id, event)  # type: ignore[arg-type]
