"""HtmlgraphTracingProcessor works in real runs of the OpenAI Agents SDK, with fake models."""

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

from htmlgraph_nb.coding_agents.input_key import hash_input
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
            call_id=f"call-{name}-{index}",
            type="function_call",
            name=name,
            arguments=json.dumps(arguments),
        )
        for index, (name, arguments) in enumerate(tools)
    ]


class FakeModel(Model):
    """A model that returns the given outputs in order and traces them as OpenAI's models do."""

    def __init__(self, *outputs: list[Any] | Exception) -> None:
        self.outputs = list(outputs)

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        with generation_span(model="fake-1") as span:
            output = self.outputs.pop(0)
            if isinstance(output, Exception):
                span.set_error({"message": "Error", "data": {"error": str(output)}})
                raise output
            span.span_data.usage = USAGE
        usage = Usage(requests=1, input_tokens=100, output_tokens=7, total_tokens=107)
        return ModelResponse(output=output, usage=usage, response_id=None)

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        result = await self.get_response()
        response = Response.model_construct(id="r", output=result.output, usage=None)
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
    """Yield the handle of the only trace processor, so that nothing is exported to OpenAI."""
    handle = RecordingSDK()
    set_trace_processors([HtmlgraphTracingProcessor(sdk=handle)])
    yield handle
    set_trace_processors([])


def run(agent: Any, prompt: Any = "hello", **config: Any) -> Any:
    return asyncio.run(Runner.run(agent, prompt, run_config=RunConfig(**config)))


def test_processor_reports_turn_with_two_tools(sdk: RecordingSDK) -> None:
    """The turn, both tools with ids and durations, and each completion with its tokens."""
    model = FakeModel(
        call_output(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), text_output()
    )
    run(Agent("researcher", model=model, tools=[add]))
    kinds = sdk.kinds("researcher")
    assert kinds[:3] == ["session_start", "prompt", "completion"]
    assert sorted(kinds[3:7]) == ["tool_execute", "tool_execute", "tool_start", "tool_start"]
    assert kinds[7:] == ["completion", "stop", "session_end"]
    assert len({event.tool_use_id for event in sdk.of("tool_execute")}) == 2
    hashes = [hash_input({"a": 1, "b": 2}), hash_input({"a": 3, "b": 4})]
    assert {event.input_hash for event in sdk.of("tool_execute")} == {*hashes}
    assert all(event.duration_ms is not None for event in sdk.of("tool_execute"))
    answer = sdk.of("completion")[0]
    assert (answer.input_tokens, answer.cache_read_tokens, answer.output_tokens) == (60, 40, 7)
    assert answer.model == "fake-1"
    assert sdk.tokens() == 2 * 107
    assert "hello" not in str(sdk.events)


def test_streamed_run_reports_same_events(sdk: RecordingSDK) -> None:
    """A streamed run reports the same events as any other, each once."""
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


def test_group_is_session_with_several_turns(sdk: RecordingSDK) -> None:
    """Two runs of one group are two turns of one session, which does not end."""
    agent = Agent("chat", model=FakeModel(text_output(), text_output()))
    for _ in range(2):
        run(agent, group_id="thread-1")
    assert {event.session_id for event in sdk.events} == {"thread-1"}
    assert [kind for kind in sdk.kinds() if kind != "session_start"] == [
        *("prompt", "completion", "stop") * 2
    ]


def test_handoff_creates_child_agent(sdk: RecordingSDK) -> None:
    """The agent that takes over is a child of the one that hands over."""
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


def test_handoff_back_keeps_original_parent(sdk: RecordingSDK) -> None:
    """An agent that gets the work back does not become a child of its child."""
    triage = Agent(
        "triage", model=FakeModel(call_output(("transfer_to_billing", {})), text_output())
    )
    back = ResponseFunctionToolCall(
        call_id="call-back", type="function_call", name="transfer_to_triage", arguments="{}"
    )
    billing = Agent("billing", model=FakeModel([back]), handoffs=[triage])
    triage.handoffs = [billing]
    run(triage)
    assert {(event.agent_id, event.parent_agent_id) for event in sdk.events} == {
        ("triage", None),
        ("triage/billing", "triage"),
    }
    assert sdk.kinds("triage").count("prompt") == 2


def test_agent_as_tool_is_child_agent(sdk: RecordingSDK) -> None:
    """The agent runs inside the tool and has its own tokens."""
    expert = Agent("expert", model=FakeModel(text_output()))
    boss = Agent(
        "boss",
        model=FakeModel(call_output(("ask", {"input": "x"})), text_output()),
        tools=[expert.as_tool("ask", "Ask.")],
    )
    run(boss)
    assert sdk.kinds("boss/expert") == ["prompt", "completion", "session_end"]
    assert [event.tool_name for event in sdk.of("tool_execute")] == ["ask"]
    assert sdk.tokens() == 3 * 107


def test_concurrent_runs_are_separate_agents(sdk: RecordingSDK) -> None:
    """Three concurrent runs of one agent are three agents."""
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
    assert {event.agent_id for event in sdk.events} == {"worker", "worker-2", "worker-3"}


def test_approved_call_counts_when_it_has_run(sdk: RecordingSDK) -> None:
    """The agent waits for approval; the session ends with the resumed run."""
    agent = Agent(
        "a", model=FakeModel(call_output(("delete", {"path": "x"})), text_output()), tools=[delete]
    )
    result = run(agent)
    assert sdk.kinds()[-2:] == ["tool_start", "permission_request"]
    assert sdk.events[-1].tool_name == "delete"
    state = result.to_state()
    state.approve(result.interruptions[0])
    before = len(sdk.events)
    run(agent, state)
    kinds = [
        event.event_type for event in sdk.events[before:] if event.event_type != "session_start"
    ]
    assert kinds == [
        *("answered", "tool_start", "tool_execute", "completion", "stop", "session_end")
    ]
    assert len({event.tool_use_id for event in sdk.of("tool_start", "tool_execute")}) == 1
    assert {event.agent_id for event in sdk.events} == {"a"}


def test_approval_after_handoff_keeps_child(sdk: RecordingSDK) -> None:
    """The waiting agent stays a child, and both sessions end with the resumed run."""
    cleaner = Agent(
        "cleaner", model=FakeModel(call_output(("delete", {"path": "x"})), text_output())
    )
    cleaner.tools = [delete]
    boss = Agent(
        "boss", model=FakeModel(call_output(("transfer_to_cleaner", {}))), handoffs=[cleaner]
    )
    result = run(boss)
    assert not sdk.of("session_end")
    state = result.to_state()
    state.approve(result.interruptions[0])
    run(boss, state)
    assert {event.agent_id for event in sdk.events} == {"boss", "boss/cleaner"}
    assert sdk.kinds("boss/cleaner")[-1] == sdk.kinds("boss")[-1] == "session_end"
    assert len(sdk.of("tool_execute")) == 1


def test_denied_call_is_reported_as_answered(sdk: RecordingSDK) -> None:
    """A call that a person denies counts neither as a tool nor as an error."""
    again = ResponseFunctionToolCall(
        call_id="call-again", type="function_call", name="delete", arguments='{"path": "y"}'
    )
    model = FakeModel(call_output(("delete", {"path": "x"})), [again], text_output())
    agent = Agent("a", model=model, tools=[delete])
    result = run(agent)
    state = result.to_state()
    state.reject(result.interruptions[0], always_reject=True)
    run(agent, state)
    assert not sdk.of("tool_execute", "tool_error", "error")
    # The first denial answers a request; the second is automatic.
    assert [event.extra for event in sdk.of("answered")] == [None, {"decision": "denied"}]
    assert sdk.kinds()[-2:] == ["stop", "session_end"]


def test_tool_without_result_counts_as_run(sdk: RecordingSDK) -> None:
    """The SDK reports it like a pending call, but the agent's loop continues."""
    run(Agent("a", model=FakeModel(call_output(("nothing", {})), text_output()), tools=[nothing]))
    assert len(sdk.of("tool_execute")) == 1
    assert not sdk.of("permission_request")


def test_failed_run_reports_error_without_text(sdk: RecordingSDK) -> None:
    """The turn ends with an error, and the exception propagates."""
    with pytest.raises(RuntimeError, match="secret"):
        run(Agent("a", model=FakeModel(RuntimeError("secret"))))
    assert sdk.kinds() == ["session_start", "prompt", "activity", "error"]
    assert sdk.events[-1].extra == {"error": "Error in agent run"}
    assert "secret" not in str(sdk.events)


def test_guardrail_tripwire_ends_turn_with_error(sdk: RecordingSDK) -> None:
    """The name and the result of the guardrail are reported."""

    @input_guardrail(run_in_parallel=False)
    def no_homework(context: Any, agent: Any, text: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    with pytest.raises(InputGuardrailTripwireTriggered):
        run(Agent("a", model=FakeModel(text_output()), input_guardrails=[no_homework]))
    extras = [event.extra for event in sdk.of("activity")]
    assert extras == [{"span": "guardrail", "name": "no_homework", "triggered": True}]
    assert sdk.kinds("a")[-1] == "error"


def test_workflow_without_agent_is_agent_itself(sdk: RecordingSDK) -> None:
    """Custom spans outside an agent belong to an agent named after the workflow."""
    with trace("nightly"), custom_span("step"):
        with function_span("load", input="x", output="y"):
            pass
        with response_span() as span:
            response = Response.model_construct(
                id="r", model="gpt", usage=SimpleNamespace(input_tokens=3, output_tokens=4)
            )
            span.span_data.response = response
    assert {event.agent_id for event in sdk.events} == {"nightly"}
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
def test_processor_never_raises(steps: list[tuple[Any, ...]]) -> None:
    """Spans in any order with any values do not raise."""
    processor = HtmlgraphTracingProcessor(sdk=RecordingSDK())
    for name, trace_id, span_id, parent_id, kind, label, value, error in steps:
        data = SimpleNamespace(
            type=kind, name=label, usage=value, to_agent=label, input=value, output=None
        )
        item = SimpleNamespace(
            trace_id=trace_id,
            span_id=span_id,
            parent_id=parent_id,
            span_data=data,
            group_id=value,
            name=label,
            error=error,
        )
        getattr(processor, name)(item)
    processor.shutdown()


@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), max_size=8), st.booleans())
def test_tokens_count_once(answers: list[tuple[int, int, int]], sums: bool) -> None:
    """Neither a span that ends twice nor the sums of turns and tasks are added."""
    sdk = RecordingSDK()
    processor = HtmlgraphTracingProcessor(sdk=sdk)

    def span(key: str, kind: str, parent: str | None, usage: Any = None) -> Any:
        data = SimpleNamespace(type=kind, name="a", usage=usage, model="m")
        return SimpleNamespace(
            trace_id="t", span_id=key, parent_id=parent, span_data=data, error=None
        )

    total = {"input_tokens": 10**9, "output_tokens": 10**9} if sums else None
    outer = [span("task", "task", None, total), span("agent", "agent", "task")]
    for each in outer:
        processor.on_span_start(each)
    for index, (cached, fresh, output) in enumerate(answers):
        usage = {
            "input_tokens": cached + fresh,
            "output_tokens": output,
            "input_tokens_details": {"cached_tokens": cached},
        }
        turn = span(f"turn-{index}", "turn", "agent", total)
        answer = span(f"answer-{index}", "generation", f"turn-{index}", usage)
        processor.on_span_start(turn)
        processor.on_span_start(answer)
        for _ in range(2):
            processor.on_span_end(answer)
        processor.on_span_end(turn)
    for each in reversed(outer):
        processor.on_span_end(each)
    assert sdk.tokens() == sum(sum(counts) for counts in answers)
