"""HtmlgraphCallbackHandler works in real chains and graphs, with fake models."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from htmlgraph_nb.coding_agents.input_key import hash_input
from htmlgraph_nb.integrations.langchain import HtmlgraphCallbackHandler
from tests.helpers.recording_sdk import RecordingSDK

USAGE = {
    "input_tokens": 100,
    "output_tokens": 7,
    "total_tokens": 107,
    "input_token_details": {"cache_read": 40, "cache_creation": 10},
    "output_token_details": {"reasoning": 2},
}
HELLO = {"messages": [("user", "hello")]}


class FakeModel(GenericFakeChatModel):
    """A model that returns the given completions in order and ignores its tools."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def fake_model(*answers: AIMessage) -> FakeModel:
    return FakeModel(messages=iter(answers))


def completion(text: str = "done", *calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """Return a completion with token usage and these tool calls."""
    return AIMessage(
        text,
        tool_calls=[
            tool_call(name=name, args=arguments, id=f"call-{name}-{index}")
            for index, (name, arguments) in enumerate(calls)
        ],
        usage_metadata=USAGE,
        response_metadata={"model_name": "fake-1"},
    )


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
async def wait_and_add(a: int, b: int) -> int:
    """Add, later."""
    await asyncio.sleep(0)
    return a + b


@tool
def fail() -> str:
    """Fail."""
    raise ValueError("secret")


@tool
def consult(question: str) -> str:
    """Ask a person."""
    return str(interrupt({"question": question}))


@pytest.fixture
def sdk() -> RecordingSDK:
    return RecordingSDK()


def config_for(sdk: RecordingSDK, thread_id: str | None = None, **fields: Any) -> dict[str, Any]:
    config: dict[str, Any] = {"callbacks": [HtmlgraphCallbackHandler(sdk=sdk, **fields)]}
    return config if thread_id is None else {**config, "configurable": {"thread_id": thread_id}}


def test_handler_reports_turn_with_two_tools(sdk: RecordingSDK) -> None:
    """The turn, both tools with ids and durations, and each completion with its tokens."""
    two = completion("", ("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}))
    agent = create_agent(fake_model(two, completion()), [add], name="researcher")
    agent.invoke(HELLO, config_for(sdk))
    kinds = sdk.kinds("researcher")
    assert kinds[:3] == ["session_start", "prompt", "completion"]
    assert sorted(kinds[3:7]) == ["tool_execute", "tool_execute", "tool_start", "tool_start"]
    assert kinds[7:] == ["completion", "stop", "session_end"]
    assert {event.agent_id for event in sdk.events} == {"researcher"}
    assert len({event.session_id for event in sdk.events}) == 1
    tools = sdk.of("tool_execute")
    assert {event.tool_use_id for event in tools} == {"call-add-0", "call-add-1"}
    hashes = {hash_input({"a": 1, "b": 2}), hash_input({"a": 3, "b": 4})}
    for kind in ("tool_start", "tool_execute"):
        assert {event.input_hash for event in sdk.of(kind)} == hashes
    assert all(event.tool_name == "add" and event.duration_ms is not None for event in tools)
    answer = sdk.of("completion")[0]
    assert (answer.input_tokens, answer.cache_read_tokens, answer.output_tokens) == (50, 40, 7)
    assert (answer.cache_write_5m_tokens, answer.model) == (10, "fake-1")
    assert sdk.tokens() == 2 * 107
    assert "hello" not in str(sdk.events)


def test_handler_with_agent_id_replaces_agent_name(sdk: RecordingSDK) -> None:
    """The ``agent_id`` of the handler is the id of the agent."""
    create_agent(fake_model(completion()), [], name="x").invoke(
        HELLO, config_for(sdk, agent_id="mine")
    )
    assert {event.agent_id for event in sdk.events} == {"mine"}


def test_thread_is_session_with_several_turns(sdk: RecordingSDK) -> None:
    """Two calls with one thread id are two turns of one session, which does not end."""
    agent = create_agent(
        fake_model(completion(), completion()), [], name="chat", checkpointer=InMemorySaver()
    )
    for _ in range(2):
        agent.invoke(HELLO, config_for(sdk, "t-1"))
    assert {event.session_id for event in sdk.events} == {"t-1"}
    assert [kind for kind in sdk.kinds() if kind != "session_start"] == [
        *("prompt", "completion", "stop") * 2
    ]
    starts = {event.event_id for event in sdk.of("session_start")}
    assert len(starts) == 1


def test_async_run_reports_events_in_order(sdk: RecordingSDK) -> None:
    """An asynchronous run reports the same events as a synchronous one."""
    agent = create_agent(
        fake_model(completion("", ("wait_and_add", {"a": 1, "b": 2})), completion()),
        [wait_and_add],
        name="a",
    )
    asyncio.run(agent.ainvoke(HELLO, config_for(sdk)))
    assert sdk.kinds() == [
        *("session_start", "prompt", "completion", "tool_start", "tool_execute"),
        *("completion", "stop", "session_end"),
    ]


def test_streamed_completion_counts_once(sdk: RecordingSDK) -> None:
    """Streaming steps and tokens does not change the totals."""
    agent = create_agent(fake_model(completion("one two three")), [], name="a")
    for _ in agent.stream(HELLO, config_for(sdk), stream_mode=["updates", "messages"]):
        pass
    assert len(sdk.of("completion")) == 1
    assert sdk.kinds()[-2:] == ["stop", "session_end"]


def test_concurrent_runs_are_separate_agents(sdk: RecordingSDK) -> None:
    """Each of four concurrent calls is an agent; later calls reuse the ids."""
    handler = HtmlgraphCallbackHandler(sdk=sdk)

    async def four() -> None:
        started = asyncio.Barrier(4)

        async def meet(value: int) -> int:
            await started.wait()
            return value

        chain = RunnableLambda(meet, name="worker")
        await chain.abatch([1, 2, 3, 4], {"callbacks": [handler]})

    for _ in range(2):
        asyncio.run(four())
    assert {event.agent_id for event in sdk.events} == {
        "worker",
        "worker-2",
        "worker-3",
        "worker-4",
    }
    assert len(sdk.of("prompt")) == len(sdk.of("stop")) == 8


def test_second_handler_reports_same_event_ids(sdk: RecordingSDK) -> None:
    """Two handlers on one run report the same ids, so that no token counts twice."""
    create_agent(fake_model(completion()), [], name="a").invoke(
        HELLO, {"callbacks": [HtmlgraphCallbackHandler(sdk=sdk) for _ in range(2)]}
    )
    assert len(sdk.of("completion")) == 2
    assert sdk.tokens() == 107


def test_tool_exception_is_reported_and_propagates(sdk: RecordingSDK) -> None:
    """Tool and turn report the class of the exception, not its text."""
    agent = create_agent(fake_model(completion("", ("fail", {}))), [fail], name="a")
    with pytest.raises(ValueError, match="secret"):
        agent.invoke(HELLO, config_for(sdk))
    tool_error, turn_error = sdk.of("tool_error", "error")
    assert (tool_error.status, tool_error.extra) == ("error", {"error": "ValueError"})
    assert turn_error.extra == {"error": "ValueError"}
    assert "secret" not in str(sdk.events)
    assert sdk.kinds()[-1] == "error"


def test_handled_tool_error_counts_as_error(sdk: RecordingSDK) -> None:
    """A tool that returns its error to the model as a result has failed."""

    def broken() -> str:
        """Break."""
        raise ToolException("no")

    handled = tool(broken)
    handled.handle_tool_error = True
    agent = create_agent(
        fake_model(completion("", ("broken", {})), completion()), [handled], name="a"
    )
    agent.invoke(HELLO, config_for(sdk))
    (failed,) = sdk.of("tool_error")
    assert failed.tool_name == "broken"
    assert sdk.kinds()[-1] == "session_end"


def test_model_error_ends_turn(sdk: RecordingSDK) -> None:
    """A model that runs on its own is a turn, which ends with the model's error."""

    class Broken(FakeModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionError("offline")

    with pytest.raises(ConnectionError):
        Broken(messages=iter(())).invoke("hi", config_for(sdk))
    assert sdk.kinds() == ["session_start", "prompt", "activity", "error"]
    assert sdk.tokens() == 0


def test_interrupted_tool_waits_and_counts_once(sdk: RecordingSDK) -> None:
    """After the person's answer the tool runs with the same id."""
    calls = completion("", ("add", {"a": 1, "b": 2}), ("consult", {"question": "?"}))
    agent = create_agent(
        fake_model(calls, completion()), [add, consult], name="a", checkpointer=InMemorySaver()
    )
    config = config_for(sdk, "t-1")
    agent.invoke(HELLO, config)
    request = sdk.events[-1]
    assert (request.event_type, request.tool_name) == ("permission_request", "consult")
    assert not sdk.of("stop", "error", "tool_error")
    before = len(sdk.events)
    agent.invoke(Command(resume="yes"), config)
    kinds = [event.event_type for event in sdk.events[before:]]
    assert kinds == [
        *("session_start", "answered", "tool_start", "tool_execute", "completion", "stop")
    ]
    started = [event.tool_use_id for event in sdk.of("tool_start") if event.tool_name == "consult"]
    assert started == ["call-consult-1"] * 2
    assert [event.tool_name for event in sdk.of("tool_execute")] == ["add", "consult"]


def test_human_in_the_loop_request_names_tool(sdk: RecordingSDK) -> None:
    """LangChain's middleware requests permission before a tool runs."""
    agent = create_agent(
        fake_model(completion("", ("add", {"a": 1, "b": 2})), completion()),
        [add],
        name="a",
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"add": True})],
        checkpointer=InMemorySaver(),
    )
    config = config_for(sdk, "t-1")
    agent.invoke(HELLO, config)
    (request,) = sdk.of("permission_request")
    assert (request.tool_name, request.event_id is not None) == ("add", True)
    agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    assert sdk.kinds()[-1] == "stop"
    assert len(sdk.of("tool_execute")) == len(sdk.of("answered")) == 1


def test_interrupt_before_node_waits_for_person(sdk: RecordingSDK) -> None:
    """A graph with ``interrupt_before`` waits until it is resumed."""
    agent = create_agent(
        fake_model(completion("", ("add", {"a": 1, "b": 2})), completion()),
        [add],
        name="a",
        interrupt_before=["tools"],
        checkpointer=InMemorySaver(),
    )
    config = config_for(sdk, "t-1")
    agent.invoke(HELLO, config)
    assert sdk.events[-1].event_type == "notification"
    assert sdk.events[-1].extra == {"notification_type": "agent_needs_input"}
    agent.invoke(None, config)
    assert len(sdk.of("answered")) == 1
    assert sdk.kinds()[-1] == "stop"


def test_waiting_agent_keeps_its_id(sdk: RecordingSDK) -> None:
    """Another thread that runs meanwhile gets a different id."""
    agent = create_agent(
        fake_model(completion("", ("consult", {"question": "?"})), completion(), completion()),
        [consult],
        name="a",
        checkpointer=InMemorySaver(),
    )
    handler = HtmlgraphCallbackHandler(sdk=sdk)
    for step, thread_id in ((HELLO, "t-1"), (HELLO, "t-2"), (Command(resume="yes"), "t-1")):
        agent.invoke(step, {"callbacks": [handler], "configurable": {"thread_id": thread_id}})
    ids = {(event.session_id, event.agent_id) for event in sdk.events}
    assert ids == {("t-1", "a"), ("t-2", "a-2")}


def test_error_takes_precedence_over_interrupt(sdk: RecordingSDK) -> None:
    """A graph with an error in one branch and an interrupt in another has failed."""
    agent = create_agent(
        fake_model(completion("", ("consult", {"question": "?"}), ("fail", {}))),
        [consult, fail],
        name="a",
        checkpointer=InMemorySaver(),
    )
    with pytest.raises(ValueError, match="secret"):
        agent.invoke(HELLO, config_for(sdk, "t-1"))
    assert not sdk.of("permission_request", "stop")
    assert sdk.kinds()[-1] == "error"


def inner_graph(model: FakeModel) -> Any:
    """Return a graph whose node is another graph."""
    graph = StateGraph(MessagesState)
    graph.add_node("work", create_agent(model, [add], name="inner"))
    graph.add_edge(START, "work")
    graph.add_edge("work", END)
    return graph.compile(name="outer")


def test_nested_graph_is_child_agent(sdk: RecordingSDK) -> None:
    """The inner graph has a parent, tools, tokens and an end of its own."""
    inner_graph(fake_model(completion("", ("add", {"a": 1, "b": 2})), completion())).invoke(
        HELLO, config_for(sdk)
    )
    assert sdk.kinds("outer") == [
        *("session_start", "prompt", "subagent_start", "subagent_stop", "stop", "session_end")
    ]
    assert sdk.kinds("outer/inner") == [
        *("prompt", "completion", "tool_start", "tool_execute", "completion", "session_end")
    ]
    children = [event for event in sdk.events if event.agent_id == "outer/inner"]
    assert {event.parent_agent_id for event in children} == {"outer"}
    (started,) = sdk.of("subagent_start")
    assert started.extra == {"child_agent_id": "outer/inner"}


def test_agent_called_by_tool_is_child_agent(sdk: RecordingSDK) -> None:
    """An agent that a tool invokes is a child of the agent that called the tool."""
    expert = create_agent(fake_model(completion()), [], name="expert")

    @tool
    def delegate(task: str) -> str:
        """Delegate the task."""
        return str(expert.invoke({"messages": [("user", task)]})["messages"][-1].content)

    agent = create_agent(
        fake_model(completion("", ("delegate", {"task": "x"})), completion()),
        [delegate],
        name="boss",
    )
    agent.invoke(HELLO, config_for(sdk))
    assert sdk.kinds("boss/expert") == ["prompt", "completion", "session_end"]
    assert sdk.tokens() == 3 * 107


def test_nested_graph_waits_and_resumes(sdk: RecordingSDK) -> None:
    """The child waits, neither it nor its parent ends, and both end after the answer."""
    graph = StateGraph(MessagesState)
    inner = create_agent(
        fake_model(completion("", ("consult", {"question": "?"})), completion()),
        [consult],
        name="inner",
    )
    graph.add_node("work", inner)
    graph.add_edge(START, "work")
    outer = graph.compile(name="outer", checkpointer=InMemorySaver())
    config = config_for(sdk, "t-1")
    outer.invoke(HELLO, config)
    (request,) = sdk.of("permission_request")
    assert (request.agent_id, request.tool_name) == ("outer/inner", "consult")
    assert not sdk.of("stop", "session_end", "subagent_stop")
    outer.invoke(Command(resume="yes"), config)
    assert {event.agent_id for event in sdk.events} == {"outer", "outer/inner"}
    assert sdk.kinds("outer/inner")[-1] == "session_end"
    assert sdk.kinds("outer")[-2:] == ["subagent_stop", "stop"]


def test_retriever_counts_as_tool_outside_tools(sdk: RecordingSDK) -> None:
    """A retriever that a tool calls is part of that tool."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            return []

    shelf = Shelf()
    shelf.invoke("x", config_for(sdk))
    assert sdk.kinds() == [
        *("session_start", "prompt", "tool_start", "tool_execute", "stop", "session_end")
    ]

    @tool
    def search(query: str) -> str:
        """Search the shelf."""
        return str(shelf.invoke(query))

    sdk.events.clear()
    search.invoke({"query": "x"}, config_for(sdk))
    assert [event.tool_name for event in sdk.of("tool_execute")] == ["search"]


def test_cached_completion_counts_no_tokens(sdk: RecordingSDK) -> None:
    """A completion from LangChain's cache adds no tokens."""
    model = FakeModel(messages=iter([completion("x"), completion("y")]), cache=InMemoryCache())
    for _ in range(2):
        model.invoke("hi", config_for(sdk))
    assert len(sdk.of("completion")) == 2
    assert sdk.tokens() == 107


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyboardInterrupt(), "interrupt"),
        (asyncio.CancelledError(), "interrupt"),
        (OSError(), "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_interrupted_turn_event_type(error: BaseException, kind: str, sdk: RecordingSDK) -> None:
    """Ctrl-C and a cancelled task are interrupts, any other exception is an error."""
    handler = HtmlgraphCallbackHandler(sdk=sdk)
    run = uuid4()
    handler.on_chain_start({}, {}, run_id=run, name="a")
    handler.on_chain_error(error, run_id=run)
    assert kind in sdk.kinds()


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=4,
)
RUNS = st.sampled_from([UUID(int=number) for number in range(5)])
ERRORS = st.sampled_from([ValueError("x"), KeyboardInterrupt(), Exception(), None])
NAMES = [
    name
    for kind in ("chain", "tool", "retriever")
    for name in (f"on_{kind}_start", f"on_{kind}_end", f"on_{kind}_error")
]
NAMES += ["on_llm_start", "on_chat_model_start", "on_llm_end", "on_llm_error", "on_interrupt"]


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            ANYTHING | ERRORS,
            RUNS | ANYTHING,
            RUNS | st.none(),
            st.dictionaries(
                st.sampled_from(["thread_id", "langgraph_node", "langgraph_checkpoint_ns"]),
                ANYTHING,
            )
            | ANYTHING,
            ANYTHING,
        ),
        max_size=12,
    )
)
def test_callbacks_never_raise(calls: list[tuple[Any, ...]]) -> None:
    """Callbacks in any order with any values do not raise."""
    handler = HtmlgraphCallbackHandler(sdk=RecordingSDK())
    for name, value, run, parent, metadata, other in calls:
        info = {"run_id": run, "parent_run_id": parent, "metadata": metadata, "name": other}
        if name == "on_interrupt":
            handler.on_interrupt(value)
        elif name.endswith("_start"):
            getattr(handler, name)(value, other, **info)
        else:
            getattr(handler, name)(value, response=other, **info)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=8
    ),
    st.integers(1, 3),
)
def test_repeated_completions_count_once(answers: list[tuple[int, int, int]], copies: int) -> None:
    """A completion counts once, however often its end is reported and with any choices."""
    sdk = RecordingSDK()
    handlers = [HtmlgraphCallbackHandler(sdk=sdk) for _ in range(2)]
    root = uuid4()
    for handler in handlers:
        handler.on_chain_start({}, {}, run_id=root, name="a")
    for cached, fresh, output in answers:
        run = uuid4()
        message = AIMessage(
            "x",
            usage_metadata={
                "input_tokens": cached + fresh,
                "output_tokens": output,
                "total_tokens": cached + fresh + output,
                "input_token_details": {"cache_read": cached},
            },
        )
        result = LLMResult(generations=[[ChatGeneration(message=message)] * copies])
        for handler in handlers:
            handler.on_chat_model_start({}, [[]], run_id=run, parent_run_id=root)
            for _ in range(copies):
                handler.on_llm_end(result, run_id=run, parent_run_id=root)
    assert sdk.tokens() == sum(sum(counts) for counts in answers)
