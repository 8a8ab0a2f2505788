"""Spans to events: agents, subagents, totals and states, in any order and however hostile."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.otel import span_origin, trace_links
from htmlgraph_nb.coding_agents.otel.signals import Span
from htmlgraph_nb.coding_agents.otel.span_events import HOLD_S, Released, SpanTranslator
from htmlgraph_nb.coding_agents.telemetry import AgentTelemetry
from tests.helpers.framework_spans import RECEIVED, RECORDINGS, Agent, Agents, agents_of, spans_of
from tests.helpers.otlp_signals import check, spans

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
START_NS = 1_796_000_000 * 10**9


def span(
    span_id: str, parent_id: str = "", *, at: int = 1, failed: bool = False, **attributes: object
) -> Span:
    """Return a span that ends ``at`` seconds after the start; "__" stands for a dot."""
    values = {f"gen_ai.{name.replace('__', '.')}": value for name, value in attributes.items()}
    end_ns = START_NS + at * 10**9
    return Span({}, "t", "s", values, START_NS, end_ns, TRACE, span_id, failed, parent_id)


def chat(span_id: str, parent_id: str = "", *, at: int = 1, **attributes: object) -> Span:
    """Return a call of a model with 10 tokens."""
    usage = {"usage__input_tokens": 7, "usage__output_tokens": 3}
    return span(span_id, parent_id, at=at, operation__name="chat", **usage, **attributes)


def tool(span_id: str, parent_id: str = "", *, at: int = 1, failed: bool = False) -> Span:
    """Return a call of a tool."""
    values = {"operation__name": "execute_tool", "tool__name": "search"}
    return span(span_id, parent_id, at=at, failed=failed, **values)


def run(
    span_id: str,
    parent_id: str = "",
    *,
    name: str | None,
    at: int = 9,
    failed: bool = False,
    **attributes: object,
) -> Span:
    """Return the run of an agent."""
    named = {} if name is None else {"agent__name": name}
    values = {"operation__name": "invoke_agent", **named, **attributes}
    return span(span_id, parent_id, at=at, failed=failed, **values)


FAMILY = (
    chat("a1", "f0", at=1),
    chat("b1", "e0", at=2),
    tool("b2", "e0", at=3, failed=True),
    run("e0", "d0", name="weather", at=4),
    tool("d0", "f0", at=5),
    chat("a2", "f0", at=6),
    run("f0", name="planner", at=7),
)
"""A planner that calls a weather agent through a tool, in order of arrival."""


# Recordings of frameworks

PLANNER = (None, "idle", "the turn is over", 2)
EXPECTED: dict[str, dict[str, tuple[object, ...]]] = {
    "agent_framework/spans.jsonl": {
        "planner": (*PLANNER, 1, 321),
        "weather": ("planner", "idle", "the turn is over", 1, 0, 214),
        "alone": (None, "idle", "the turn ended with an error", 0, 2, 0),
        "writer": (None, "idle", "the turn is over", 0, 0, 107),
        "editor": (None, "idle", "the turn is over", 0, 0, 107),
    },
    "autogen/spans.jsonl": {
        "agent": (None, "idle", "no activity yet", 0, 0, 0),
        "weather": ("agent", "idle", "the turn is over", 1, 0, 214),
        "planner": ("agent", "idle", "the turn is over", 1, 1, 214),
        "alone": (None, "idle", "the turn ended with an error", 0, 2, 0),
    },
    "crewai/openinference.jsonl": {
        "trip": (None, "idle", "the turn is over", 0, 0, 0),
        "weather": ("trip", "idle", "the turn is over", 1, 0, 214),
        "planner": ("trip", "idle", "the turn is over", 1, 1, 214),
    },
    "crewai/traceloop.jsonl": {
        "trip": (None, "idle", "the turn is over", 0, 0, 0),
        "weather": ("trip", "idle", "the turn is over", 0, 0, 214),
        "planner": ("trip", "idle", "the turn is over", 0, 0, 214),
    },
    "langgraph/openinference.jsonl": {
        "planner": (*PLANNER, 0, 321),
        "weather": ("planner", "idle", "the turn is over", 1, 0, 214),
        "writer": (None, "idle", "the turn is over", 0, 0, 107),
    },
    "langgraph/traceloop.jsonl": {
        "planner": (*PLANNER, 0, 321),
        "weather": ("planner", "idle", "the turn is over", 1, 0, 214),
        "writer": (None, "idle", "the turn is over", 0, 0, 107),
        "research": ("writer", "idle", "the turn is over", 0, 0, 0),
    },
    "pydantic_ai/spans.jsonl": {
        "planner": (*PLANNER, 1, 321),
        "weather": ("planner", "idle", "the turn is over", 1, 0, 214),
    },
    "smolagents/spans.jsonl": {
        "planner": (*PLANNER, 0, 321),
        "weather": ("planner", "idle", "the turn is over", 2, 0, 214),
    },
}
"""Recording → name of an agent → parent, status, reason, tools, errors and tokens.

The agents of the conversation that fails are left out if the others have the same names.
"""


def names_of(agents: dict[str, Agent]) -> set[tuple[object, ...]]:
    """Return what the recordings expect, without the conversations in the ids."""
    found = set()
    for agent_id, agent in agents.items():
        parent = None if agent.parent is None else agent.parent.partition("-")[0]
        found.add((agent_id.partition("-")[0], parent, *agent[1:6]))
    return found


@pytest.mark.parametrize("recording", RECORDINGS)
def test_translate_recording_gives_agents_and_totals(recording: str) -> None:
    """Agents, parents, states, tools, errors and tokens are those of the program."""
    found = names_of(agents_of(spans_of(recording)))
    expected = {(name, *values) for name, values in EXPECTED[recording].items()}
    assert expected <= found
    if recording.startswith("autogen"):
        # The provider reports no tokens of AutoGen's streams.
        found = {each for each in found if each[-1] or each[0] in ("agent", "alone")}
    others = {each for each in found - expected if each[3] == "the turn is over"}
    assert others == set()


@pytest.mark.parametrize("recording", RECORDINGS)
def test_translate_recording_has_one_agent_per_conversation(recording: str) -> None:
    """Two conversations at the same time are two agents each."""
    agents = agents_of(spans_of(recording))
    names = [name.partition("-")[0] for name, agent in agents.items() if agent.tokens]
    assert len(names) == len(set(agents) & {n for n in agents if agents[n].tokens})
    twice = {"planner", "weather"}
    done = [n.partition("-")[0] for n, a in agents.items() if a.reason == "the turn is over"]
    assert all(done.count(name) == 2 for name in twice)


@pytest.mark.parametrize("recording", RECORDINGS)
@pytest.mark.parametrize("seed", range(12))
def test_translate_recording_in_any_order(recording: str, seed: int) -> None:
    """The same spans in another order, some of them twice, lead to the same agents."""
    recorded = spans_of(recording)
    chance = random.Random(seed)
    shuffled = [*recorded, *chance.sample(recorded, len(recorded) // 3)]
    chance.shuffle(shuffled)
    agents = Agents()
    for n in range(0, len(shuffled), 7):
        agents.receive(shuffled[n : n + 7], now=n / 10)
        agents.apply(agents.translator.overdue(n / 10 + 2.0))
    agents.give_up()
    assert agents.agents == agents_of(recorded)


@pytest.mark.parametrize("recording", RECORDINGS)
def test_translate_recording_stores_no_content(recording: str) -> None:
    """No event has a value of an attribute with content."""
    agents = Agents()
    agents.receive(spans_of(recording))
    agents.give_up()
    text = json.dumps([event.to_dict() for event in agents.events])
    assert "SCRUBBED" not in text
    assert "SCRUBBED" in json.dumps([span.attributes for span in spans_of(recording)])


# Agents


def test_translate_gives_calls_to_the_run_around_them() -> None:
    """Each call counts for the nearest run, and a run inside another one is a subagent."""
    agents = agents_of(FAMILY)
    assert set(agents) == {"planner-4bf92f35", "weather-4bf92f35"}
    planner, weather = agents["planner-4bf92f35"], agents["weather-4bf92f35"]
    assert (planner.tokens, planner.tools, planner.errors, planner.parent) == (20, 1, 0, None)
    assert (weather.tokens, weather.tools, weather.errors) == (10, 1, 1)
    assert weather.parent == "planner-4bf92f35"
    assert {planner.reason, weather.reason} == {"the turn is over"}


@given(st.permutations(FAMILY), st.lists(st.integers(0, 6)))
def test_translate_any_order_gives_the_same_agents(order: list[Span], repeated: list[int]) -> None:
    """Late, early and repeated spans do not change the result."""
    assert agents_of([*order, *(FAMILY[n] for n in repeated)]) == agents_of(FAMILY)


def test_translate_shows_work_before_the_run_ends() -> None:
    """Until the name is known, a placeholder is active; the agent replaces it."""
    agents = Agents()
    agents.receive(FAMILY[:1])
    assert agents.agents == {}
    agents.apply(agents.translator.overdue(5.0))
    ((name, agent),) = agents.agents.items()
    assert (name, agent.status, agent.tokens) == ("agent-4bf92f35:open", "active", 0)
    agents.receive(FAMILY[1:])
    assert set(agents.agents) == {"planner-4bf92f35", "weather-4bf92f35"}


def test_translate_keys_by_conversation() -> None:
    """Two turns of one conversation are one agent, two conversations are two."""
    turns = [
        replace(
            run("a1", name="planner", conversation__id=conversation),
            trace_id=f"{n}f" * 16,
        )
        for n, conversation in enumerate(("c-1", "c-1", "c-2"), 1)
    ]
    assert set(agents_of(turns)) == {"planner-c-1", "planner-c-2"}


def test_translate_named_call_needs_no_run() -> None:
    """A call that names its agent and conversation counts at once."""
    agents = Agents()
    agents.receive([chat("a1", "f0", agent__name="planner", conversation__id="c-1")])
    assert agents.agents["planner-c-1"].tokens == 10


def test_translate_call_without_parent_is_of_the_service() -> None:
    """A program without runs is one agent for each trace."""
    call = replace(chat("a1"), resource={"service.name": "my bot"})
    assert set(agents_of([call])) == {"my-bot-4bf92f35"}


def test_translate_counts_nested_calls_of_models_once() -> None:
    """The instrumentation of the client repeats the tokens of that of the framework."""
    nested = (chat("b1", "a1"), chat("a1", "f0"), run("f0", name="planner"))
    for order in (nested, nested[::-1]):
        assert agents_of(order)["planner-4bf92f35"].tokens == 10


def test_translate_does_not_count_tokens_of_runs() -> None:
    """A run reports the sum of its calls."""
    total = {"usage__input_tokens": 100, "usage__output_tokens": 50}
    (agent,) = agents_of([chat("a1", "f0"), run("f0", name="planner", **total)]).values()
    assert agent.tokens == 10


def test_translate_failed_run_ends_the_turn_with_an_error() -> None:
    """The error of a subagent is not that of its parent."""
    family = [replace(each, failed=each.span_id == "e0") for each in FAMILY]
    agents = agents_of(family)
    assert agents["weather-4bf92f35"].reason == "the turn ended with an error"
    assert agents["planner-4bf92f35"].reason == "the turn is over"


def test_translate_next_turn_is_active_again() -> None:
    """A call of the next turn, whose run has not ended, shows that the agent works."""
    first = run("f0", name="planner", conversation__id="c-1", at=2)
    call = chat("a1", "f1", conversation__id="c-1", agent__name="planner", at=20)
    agents = Agents()
    agents.receive([first, call])
    assert agents.agents["planner-c-1"].status == "active"
    agents.receive([run("f1", name="planner", conversation__id="c-1", at=21)])
    assert agents.agents["planner-c-1"].status == "idle"


# Coding agents


@pytest.fixture
def demo_agent(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a coding agent whose spans are read."""
    telemetry = AgentTelemetry(
        log_prefix="demo.",
        logs={},
        token_metrics={},
        span_names=(),
        agent_spans=("demo-cli",),
        inner_runs=("inner",),
        span_tool_name=str.title,
    )
    monkeypatch.setitem(span_origin._TELEMETRY, "demo", telemetry)
    span_origin._origin.cache_clear()
    return "demo"


@pytest.mark.usefixtures("demo_agent")
def test_translate_spans_of_a_coding_agent() -> None:
    """They are of the main agent of the session, also those of its subagents, and count at once."""
    session = "1eaf9d7c-0fcf-4593-ab3c-078e0bda04ed"
    values = {"conversation__id": session}
    agents = Agents()
    sent = [
        chat("a1", "f0", **values),
        chat("b1", "e0", at=2, **values),
        run("e0", "f0", name="explore", at=3, failed=True, **values),
        run("f1", "f0", name="demo", at=4, **values),
        run("f0", name=None, at=5, **values),
    ]
    sent[3] = replace(sent[3], name="inner")
    sent[4] = replace(sent[4], name="invoke_agent")
    call = tool("d0", "f0")
    call_values = {**call.attributes, "gen_ai.conversation.id": session}
    call_values["gen_ai.tool.call.id"] = "call_1"
    sent.append(replace(call, attributes=call_values))
    agents.receive(replace(each, scope="demo-cli") for each in sent)
    assert set(agents.agents) == {"demo-1eaf9d7c"}
    agent = agents.agents["demo-1eaf9d7c"]
    assert (agent.tokens, agent.tools, agent.reason) == (20, 1, "the turn is over")
    assert [event.event_type for event in agents.events].count("prompt") == 1
    (done,) = (event for event in agents.events if event.tool_name)
    assert (done.tool_name, done.event_id) == ("Search", f"{session}:call_1:PostToolUse")


def test_translate_end_of_turn_of_an_agent_with_logs() -> None:
    """Qwen Code's logs do not report it; its other spans repeat the logs."""
    values = {"conversation__id": "6c970cdf-0d4f-4f0b-9a57-4d2f0c3b9e11"}
    turn = run("f0", name="qwen-code", **values)
    sent = [
        chat("a1", "f0", **values),
        replace(turn, name="qwen-code.interaction"),
        replace(turn, name="qwen-code.interaction", span_id="e0", parent_id="f0"),
        replace(turn, name="other"),
    ]
    agents = Agents()
    agents.receive(replace(each, scope="qwen-code") for each in sent)
    (event,) = agents.events
    assert (event.agent_id, event.event_type, event.title) == ("qwen-6c970cdf", "stop", None)


# Waiting


def test_overdue_gives_calls_to_the_main_agent() -> None:
    """A call whose run never ends counts for the conversation after a while, and only once."""
    agents = Agents()
    agents.receive([chat("a1", "f0")], now=100.0)
    agents.apply(agents.translator.overdue(100.0 + HOLD_S / 2))
    agents.apply(agents.translator.overdue(101.0 + HOLD_S / 2))
    assert set(agents.agents) == {"agent-4bf92f35:open"}
    agents.apply(agents.translator.overdue(101.0 + HOLD_S))
    assert set(agents.agents) == {"agent-4bf92f35"}
    assert agents.agents["agent-4bf92f35"].tokens == 10
    agents.receive([run("f0", name="planner")])
    assert agents.agents["agent-4bf92f35"].tokens == 10
    assert agents.agents["planner-4bf92f35"].tokens == 0


def test_restore_lets_calls_wait_again() -> None:
    """The sender of a run that could not be stored sends it again."""
    translator = SpanTranslator()
    translator.translate(chat("a1", "f0"), [], received_at=RECEIVED, now=0.0)
    released: Released = []
    first = translator.translate(run("f0", name="p"), released, received_at=RECEIVED, now=1.0)
    translator.restore(released)
    again = translator.translate(run("f0", name="p"), [], received_at=RECEIVED, now=2.0)
    assert [event.event_type for event in first][:3] == ["prompt", "stop", "completion"]
    assert [event.event_id for event in again] == [event.event_id for event in first]


# Hostile spans


@given(st.lists(spans, max_size=12))
def test_translate_accepts_any_spans(received: list[Span]) -> None:
    """Any spans give valid events or none."""
    translator = SpanTranslator()
    for each in received:
        check_all(translator, each)
    check([e for e in translator.overdue(0.0, -1.0) if e.event_type not in ("forget",)])


def check_all(translator: SpanTranslator, each: Span) -> None:
    """Assert that the events of a span are valid."""
    events = translator.translate(each, [], received_at=RECEIVED, now=0.0)
    for event in events:
        event.checked()
    check([event for event in events if event.event_type != "forget"])


@pytest.mark.parametrize("parents", [("a1", "b1"), ("b1", "a1"), ("a1", "a1")])
def test_translate_cycles_of_parents(parents: tuple[str, str]) -> None:
    """Spans that contain each other count for the main agent."""
    agents = agents_of([chat("a1", parents[1]), tool("b1", parents[0]), chat("c1", "a1")])
    assert agents["agent-4bf92f35"].tools == 1


def test_translate_agents_that_call_each_other() -> None:
    """An agent is never a descendant of itself."""
    chain = [
        run("c1", "b1", name="planner", at=3),
        run("b1", "a1", name="weather", at=4),
        run("a1", name="planner", at=5),
    ]
    for order in (chain, chain[::-1]):
        agents = agents_of(order)
        parents = {name: agent.parent for name, agent in agents.items()}
        assert None in parents.values()


def test_translate_is_bounded_in_spans_of_a_trace() -> None:
    """A trace with very many spans keeps the latest, and counts every call."""
    agents = Agents()
    n = trace_links.MAX_SPANS_PER_TRACE + 500
    agents.receive(chat(f"{k + 1:x}", "f" * 16, at=1) for k in range(n))
    agents.receive([run("f" * 16, name="planner")])
    agents.give_up()
    assert sum(agent.tokens for agent in agents.agents.values()) == 10 * n


def test_translate_is_bounded_in_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in a trace that is forgotten counts for its main agent."""
    monkeypatch.setattr(trace_links, "MAX_TRACES", 3)
    agents = Agents()
    agents.receive(replace(chat("a1", "f0"), trace_id=f"{k + 1:032x}") for k in range(5))
    assert sum(agent.tokens for agent in agents.agents.values()) == 20
    agents.give_up()
    assert sum(agent.tokens for agent in agents.agents.values()) == 50


def test_translate_deep_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call deeper than the limit counts for the main agent."""
    links = [span(f"{k:x}", f"{k + 1:x}") for k in range(1, 200)]
    agents = agents_of([chat("fff", "1"), *links, run("c8", name="planner")])
    assert agents["agent-4bf92f35"].tokens == 10


@pytest.mark.parametrize("ids", [("", ""), ("00", "a1"), ("", "a1"), (TRACE, "0" * 16)])
def test_translate_ids_that_are_none(ids: tuple[str, str]) -> None:
    """Spans without valid ids are not connected, and two different ones count twice."""
    calls = [replace(chat("a1", at=at), trace_id=ids[0], span_id=ids[1]) for at in (1, 2)]
    if all(ids):
        calls = [replace(each, span_id=f"{ids[1]}{'0' * n}") for n, each in enumerate(calls)]
    assert agents_of(calls)["agent"].tokens == 20


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2**63, 1), (START_NS, START_NS - 10**9)])
def test_translate_times_that_are_none(start: int, end: int) -> None:
    """A run ends after it started, whatever its clock says."""
    broken = replace(run("f0", name="planner"), start_ns=start, end_ns=end)
    assert agents_of([broken])["planner-4bf92f35"].status == "idle"
