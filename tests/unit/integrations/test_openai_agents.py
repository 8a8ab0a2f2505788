"""The OpenAI Agents SDK's tracing processor in real runs, with models that are played."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    ModelResponse,
    RunConfig,
    Runner,
    Usage,
    function_tool,
    input_guardrail,
    set_trace_processors,
    trace,
)
from agents.models.interface import Model
from agents.tracing import custom_span, function_span, generation_span, response_span
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from htmlgraph_nb.integrations.openai_agents import HtmlgraphTracingProcessor
from tests.helpers.recording_sdk import RecordingSDK

USAGE = {
    "input_tokens": 100,
    "output_tokens": 7,
    "total_tokens": 107,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens_details": {"reasoning_tokens": 2},
}


def text_output(text: str = "done") -> list[Any]:
    part = ResponseOutputText(text=text, type="output_text", annotations=[])
    return [
        ResponseOutputMessage(
            id="m", type="message", role="assistant", status="completed", content=[part]
        )
    ]


def call_output(*tools: tuple[str, dict[str, Any]]) -> list[Any]:
    return [
        ResponseFunctionToolCall(
            call_id=f"call-{name}-{place}",
            type="function_call",
            name=name,
            arguments=json.dumps(arguments),
        )
        for place, (name, arguments) in enumerate(tools)
    ]


class FakeModel(Model):
    """A model that gives its answers one after the other, and traces them as OpenAI's do."""

    def __init__(self, *answers: list[Any] | Exception) -> None:
        self.answers = list(answers)

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        with generation_span(model="played-1") as span:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                span.set_error({"message": "Error", "data": {"error": str(answer)}})
                raise answer
            span.span_data.usage = USAGE
        usage = Usage(requests=1, input_tokens=100, output_tokens=7, total_tokens=107)
        return ModelResponse(output=answer, usage=usage, response_id=None)

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        found = await self.get_response()
        response = Response.model_construct(id="r", output=found.output, usage=None)
        yield ResponseCompletedEvent.model_construct(
            type="response.completed", response=response, sequence_number=0
        )


@function_tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@function_tool
def fail() -> str:
    """Fail."""
    raise ValueError("secret")


@function_tool
def nothing() -> None:
    """Return nothing."""


@function_tool(needs_approval=True)
def delete(path: str) -> str:
    """Delete."""
    return path


@pytest.fixture
def sdk() -> Iterator[RecordingSDK]:
    """What the processor reports, which is the only one: nothing is exported to OpenAI."""
    found = RecordingSDK()
    set_trace_processors([HtmlgraphTracingProcessor(sdk=found)])
    yield found
    set_trace_processors([])


def run(agent: Any, what: Any = "hello", **config: Any) -> Any:
    return asyncio.run(Runner.run(agent, what, run_config=RunConfig(**config)))


def test_an_agent_that_calls_two_tools(sdk: RecordingSDK) -> None:
    """Its turn, both tools with ids and durations, and each answer with its tokens by kind."""
    model = FakeModel(
        call_output(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), text_output()
    )
    run(Agent("researcher", model=model, tools=[add]))
    kinds = sdk.kinds("researcher")
    assert kinds[:3] == ["session_start", "prompt", "completion"]
    assert sorted(kinds[3:7]) == ["tool_execute", "tool_execute", "tool_start", "tool_start"]
    assert kinds[7:] == ["completion", "stop", "session_end"]
    assert len({one.tool_use_id for one in sdk.of("tool_execute")}) == 2
    assert all(one.duration_ms is not None for one in sdk.of("tool_execute"))
    answer = sdk.of("completion")[0]
    assert (answer.input_tokens, answer.cache_read_tokens, answer.output_tokens) == (60, 40, 7)
    assert answer.model == "played-1"
    assert sdk.tokens() == 2 * 107
    assert "hello" not in str(sdk.events)


def test_a_streamed_run_is_the_same_story(sdk: RecordingSDK) -> None:
    """Its agent, tool, answers and end come as those of any run, each once."""
    agent = Agent(
        "a", model=FakeModel(call_output(("add", {"a": 1, "b": 2})), text_output()), tools=[add]
    )

    async def stream() -> None:
        async for _ in Runner.run_streamed(agent, "hello").stream_events():
            pass

    asyncio.run(stream())
    assert sdk.kinds() == [
        *("session_start", "prompt", "completion", "tool_start", "tool_execute"),
        *("completion", "stop", "session_end"),
    ]
    assert sdk.tokens() == 2 * 107


def test_a_group_is_a_session(sdk: RecordingSDK) -> None:
    """Two runs of one group are two turns of one session, which goes on."""
    agent = Agent("chat", model=FakeModel(text_output(), text_output()))
    for _ in range(2):
        run(agent, group_id="thread-1")
    assert {one.session_id for one in sdk.events} == {"thread-1"}
    assert [kind for kind in sdk.kinds() if kind != "session_start"] == [
        *("prompt", "completion", "stop") * 2
    ]


def test_a_handoff_makes_a_child(sdk: RecordingSDK) -> None:
    """Who is handed to has the other as parent, which is at work as long as its child is."""
    billing = Agent(
        "billing", model=FakeModel(call_output(("fail", {})), text_output()), tools=[fail]
    )
    triage = Agent(
        "triage", model=FakeModel(call_output(("transfer_to_billing", {}))), handoffs=[billing]
    )
    run(triage)
    assert sdk.kinds("triage") == [
        *("session_start", "prompt", "completion", "stop", "subagent_start", "subagent_stop"),
        "session_end",
    ]
    assert sdk.kinds("triage/billing") == [
        *("prompt", "completion", "tool_start", "tool_error", "completion", "session_end")
    ]
    (failed,) = sdk.of("tool_error")
    assert (failed.parent_agent_id, failed.status) == ("triage", "error")
    assert "secret" not in str(sdk.events)


def test_handed_back_it_is_what_it_was(sdk: RecordingSDK) -> None:
    """An agent that gets the work back is no child of its child."""
    triage = Agent(
        "triage", model=FakeModel(call_output(("transfer_to_billing", {})), text_output())
    )
    back = ResponseFunctionToolCall(
        call_id="call-back", type="function_call", name="transfer_to_triage", arguments="{}"
    )
    billing = Agent("billing", model=FakeModel([back]), handoffs=[triage])
    triage.handoffs = [billing]
    run(triage)
    assert {(one.agent_id, one.parent_agent_id) for one in sdk.events} == {
        ("triage", None),
        ("triage/billing", "triage"),
    }
    assert sdk.kinds("triage").count("prompt") == 2


def test_an_agent_as_a_tool_is_a_child(sdk: RecordingSDK) -> None:
    """It runs inside of the tool, and its tokens are its own."""
    expert = Agent("expert", model=FakeModel(text_output()))
    boss = Agent(
        "boss",
        model=FakeModel(call_output(("ask", {"input": "x"})), text_output()),
        tools=[expert.as_tool("ask", "Ask.")],
    )
    run(boss)
    assert sdk.kinds("boss/expert") == ["prompt", "completion", "session_end"]
    assert [one.tool_name for one in sdk.of("tool_execute")] == ["ask"]
    assert sdk.tokens() == 3 * 107


def test_runs_at_the_same_time_are_agents_of_their_own(sdk: RecordingSDK) -> None:
    """Three runs of one agent at once are three agents."""
    started = asyncio.Barrier(3)

    @function_tool
    async def meet() -> str:
        """Meet."""
        await started.wait()
        return "met"

    async def three() -> None:
        agents = [
            Agent("worker", model=FakeModel(call_output(("meet", {})), text_output()), tools=[meet])
            for _ in range(3)
        ]
        await asyncio.gather(*[Runner.run(agent, "x") for agent in agents])

    asyncio.run(three())
    assert {one.agent_id for one in sdk.events} == {"worker", "worker-2", "worker-3"}


def test_an_approval_is_waited_for(sdk: RecordingSDK) -> None:
    """The call counts once it has run, and the session ends with the run that goes on."""
    agent = Agent(
        "a", model=FakeModel(call_output(("delete", {"path": "x"})), text_output()), tools=[delete]
    )
    found = run(agent)
    assert sdk.kinds()[-2:] == ["tool_start", "permission_request"]
    assert sdk.events[-1].tool_name == "delete"
    state = found.to_state()
    state.approve(found.interruptions[0])
    before = len(sdk.events)
    run(agent, state)
    kinds = [one.event_type for one in sdk.events[before:] if one.event_type != "session_start"]
    assert kinds == [
        *("answered", "tool_start", "tool_execute", "completion", "stop", "session_end")
    ]
    assert len({one.tool_use_id for one in sdk.of("tool_start", "tool_execute")}) == 1
    assert {one.agent_id for one in sdk.events} == {"a"}


def test_an_approval_after_a_handoff(sdk: RecordingSDK) -> None:
    """Who waits stays the child that it was, and the session of both ends with the answer's run."""
    cleaner = Agent(
        "cleaner", model=FakeModel(call_output(("delete", {"path": "x"})), text_output())
    )
    cleaner.tools = [delete]
    boss = Agent(
        "boss", model=FakeModel(call_output(("transfer_to_cleaner", {}))), handoffs=[cleaner]
    )
    found = run(boss)
    assert not sdk.of("session_end")
    state = found.to_state()
    state.approve(found.interruptions[0])
    run(boss, state)
    assert {one.agent_id for one in sdk.events} == {"boss", "boss/cleaner"}
    assert sdk.kinds("boss/cleaner")[-1] == sdk.kinds("boss")[-1] == "session_end"
    assert len(sdk.of("tool_execute")) == 1


def test_a_refusal_is_an_answer(sdk: RecordingSDK) -> None:
    """A call that the person does not allow is neither a tool nor an error."""
    again = ResponseFunctionToolCall(
        call_id="call-again", type="function_call", name="delete", arguments='{"path": "y"}'
    )
    model = FakeModel(call_output(("delete", {"path": "x"})), [again], text_output())
    agent = Agent("a", model=model, tools=[delete])
    found = run(agent)
    state = found.to_state()
    state.reject(found.interruptions[0], always_reject=True)
    run(agent, state)
    assert not sdk.of("tool_execute", "tool_error", "error")
    # The first refusal is the answer to a question, of the second nobody was asked.
    assert [one.extra for one in sdk.of("answered")] == [None, {"decision": "denied"}]
    assert sdk.kinds()[-2:] == ["stop", "session_end"]


def test_a_tool_that_returns_nothing_has_run(sdk: RecordingSDK) -> None:
    """It is told like one that waits, but the loop goes on."""
    run(Agent("a", model=FakeModel(call_output(("nothing", {})), text_output()), tools=[nothing]))
    assert len(sdk.of("tool_execute")) == 1
    assert not sdk.of("permission_request")


def test_a_run_that_fails(sdk: RecordingSDK) -> None:
    """The turn ends with an error, without its text, and the exception goes on."""
    with pytest.raises(RuntimeError, match="secret"):
        run(Agent("a", model=FakeModel(RuntimeError("secret"))))
    assert sdk.kinds() == ["session_start", "prompt", "activity", "error"]
    assert sdk.events[-1].extra == {"error": "Error in agent run"}
    assert "secret" not in str(sdk.events)


def test_a_guardrail_that_stops(sdk: RecordingSDK) -> None:
    """Its name and verdict are told, and the turn ends with an error."""

    @input_guardrail(run_in_parallel=False)
    def no_homework(context: Any, agent: Any, text: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    with pytest.raises(InputGuardrailTripwireTriggered):
        run(Agent("a", model=FakeModel(text_output()), input_guardrails=[no_homework]))
    noted = [one.extra for one in sdk.of("activity")]
    assert noted == [{"span": "guardrail", "name": "no_homework", "triggered": True}]
    assert sdk.kinds("a")[-1] == "error"


def test_a_workflow_without_an_agent(sdk: RecordingSDK) -> None:
    """Spans of a program's own belong to an agent of the workflow's name."""
    with trace("nightly"), custom_span("step"):
        with function_span("load", input="x", output="y"):
            pass
        with response_span() as span:
            response = Response.model_construct(
                id="r", model="gpt", usage=SimpleNamespace(input_tokens=3, output_tokens=4)
            )
            span.span_data.response = response
    assert {one.agent_id for one in sdk.events} == {"nightly"}
    assert sdk.kinds() == [
        *("session_start", "prompt", "tool_start", "tool_execute", "completion", "activity"),
        *("stop", "session_end"),
    ]
    assert sdk.tokens() == 7


ANYTHING: st.SearchStrategy[Any] = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    st.dictionaries(
        st.sampled_from(["message", "data", "input_tokens", "output_tokens"]), st.integers()
    ),
)
IDS = st.sampled_from(["one", "two", "three"]) | ANYTHING
KINDS = st.sampled_from(
    "agent function generation response handoff guardrail custom task turn mcp_tools x".split()
)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["on_trace_start", "on_trace_end", "on_span_start", "on_span_start", "on_span_end"]
            ),
            *(IDS, IDS, IDS, KINDS | ANYTHING, ANYTHING, ANYTHING, ANYTHING),
        ),
        max_size=12,
    )
)
def test_nothing_raises(steps: list[tuple[Any, ...]]) -> None:
    """Whatever order and values the spans come in, the agent's program feels none of it."""
    processor = HtmlgraphTracingProcessor(sdk=RecordingSDK())
    for name, trace_id, span_id, parent_id, kind, label, value, error in steps:
        data = SimpleNamespace(
            type=kind, name=label, usage=value, to_agent=label, input=value, output=None
        )
        told = SimpleNamespace(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=parent_id,
            span_data=data,
            group_id=value,
            name=label,
            error=error,
        )
        getattr(processor, name)(told)
    processor.shutdown()


@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), max_size=8), st.booleans())
def test_no_token_counts_twice(answers: list[tuple[int, int, int]], sums: bool) -> None:
    """Neither a span that ends twice nor the sums of turns and tasks count again."""
    sdk = RecordingSDK()
    processor = HtmlgraphTracingProcessor(sdk=sdk)

    def span(key: str, kind: str, parent: str | None, usage: Any = None) -> Any:
        data = SimpleNamespace(type=kind, name="a", usage=usage, model="m")
        return SimpleNamespace(
            trace_id="t", span_id=key, parent_id=parent, span_data=data, error=None
        )

    whole = {"input_tokens": 10**9, "output_tokens": 10**9} if sums else None
    around = [span("task", "task", None, whole), span("agent", "agent", "task")]
    for one in around:
        processor.on_span_start(one)
    for place, (cached, fresh, output) in enumerate(answers):
        usage = {
            "input_tokens": cached + fresh,
            "output_tokens": output,
            "input_tokens_details": {"cached_tokens": cached},
        }
        turn = span(f"turn-{place}", "turn", "agent", whole)
        answer = span(f"answer-{place}", "generation", f"turn-{place}", usage)
        processor.on_span_start(turn)
        processor.on_span_start(answer)
        for _ in range(2):
            processor.on_span_end(answer)
        processor.on_span_end(turn)
    for one in reversed(around):
        processor.on_span_end(one)
    assert sdk.tokens() == sum(sum(counts) for counts in answers)
