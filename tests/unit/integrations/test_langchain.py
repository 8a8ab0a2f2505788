"""The LangChain handler in real chains and graphs, with models that are played."""

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
    """A model that gives its answers one after the other, whatever tools it is bound to."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def fake_model(*answers: AIMessage) -> FakeModel:
    return FakeModel(messages=iter(answers))


def completion(text: str = "done", *calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """Return an answer with its tokens, and with the tools that it calls."""
    return AIMessage(
        text,
        tool_calls=[
            tool_call(name=name, args=arguments, id=f"call-{name}-{place}")
            for place, (name, arguments) in enumerate(calls)
        ],
        usage_metadata=USAGE,
        response_metadata={"model_name": "played-1"},
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


def thread(sdk: RecordingSDK, thread_id: str | None = None, **fields: Any) -> dict[str, Any]:
    config: dict[str, Any] = {"callbacks": [HtmlgraphCallbackHandler(sdk=sdk, **fields)]}
    return config if thread_id is None else {**config, "configurable": {"thread_id": thread_id}}


def test_an_agent_that_calls_two_tools(sdk: RecordingSDK) -> None:
    """Its turn, both tools with ids and durations, and each answer with its tokens by kind."""
    two = completion("", ("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}))
    agent = create_agent(fake_model(two, completion()), [add], name="researcher")
    agent.invoke(HELLO, thread(sdk))
    kinds = sdk.kinds("researcher")
    assert kinds[:3] == ["session_start", "prompt", "completion"]
    assert sorted(kinds[3:7]) == ["tool_execute", "tool_execute", "tool_start", "tool_start"]
    assert kinds[7:] == ["completion", "stop", "session_end"]
    assert {one.agent_id for one in sdk.events} == {"researcher"}
    assert len({one.session_id for one in sdk.events}) == 1
    tools = sdk.of("tool_execute")
    assert {one.tool_use_id for one in tools} == {"call-add-0", "call-add-1"}
    assert all(one.tool_name == "add" and one.duration_ms is not None for one in tools)
    answer = sdk.of("completion")[0]
    assert (answer.input_tokens, answer.cache_read_tokens, answer.output_tokens) == (50, 40, 7)
    assert (answer.cache_write_5m_tokens, answer.model) == (10, "played-1")
    assert sdk.tokens() == 2 * 107
    assert "hello" not in str(sdk.events)


def test_the_agent_id_is_the_callers(sdk: RecordingSDK) -> None:
    """A handler with a name calls the agent by it."""
    create_agent(fake_model(completion()), [], name="x").invoke(HELLO, thread(sdk, agent_id="mine"))
    assert {one.agent_id for one in sdk.events} == {"mine"}


def test_a_thread_is_a_session(sdk: RecordingSDK) -> None:
    """Two calls on one thread are two turns of one session, which goes on."""
    agent = create_agent(
        fake_model(completion(), completion()), [], name="chat", checkpointer=InMemorySaver()
    )
    for _ in range(2):
        agent.invoke(HELLO, thread(sdk, "t-1"))
    assert {one.session_id for one in sdk.events} == {"t-1"}
    assert [kind for kind in sdk.kinds() if kind != "session_start"] == [
        *("prompt", "completion", "stop") * 2
    ]
    starts = {one.event_id for one in sdk.of("session_start")}
    assert len(starts) == 1


def test_async_runs_are_told_in_order(sdk: RecordingSDK) -> None:
    """In an event loop it is the same story."""
    agent = create_agent(
        fake_model(completion("", ("wait_and_add", {"a": 1, "b": 2})), completion()),
        [wait_and_add],
        name="a",
    )
    asyncio.run(agent.ainvoke(HELLO, thread(sdk)))
    assert sdk.kinds() == [
        *("session_start", "prompt", "completion", "tool_start", "tool_execute"),
        *("completion", "stop", "session_end"),
    ]


def test_a_streamed_answer_counts_once(sdk: RecordingSDK) -> None:
    """Streaming the steps and the tokens changes no total."""
    agent = create_agent(fake_model(completion("one two three")), [], name="a")
    for _ in agent.stream(HELLO, thread(sdk), stream_mode=["updates", "messages"]):
        pass
    assert len(sdk.of("completion")) == 1
    assert sdk.kinds()[-2:] == ["stop", "session_end"]


def test_runs_at_the_same_time_are_agents_of_their_own(sdk: RecordingSDK) -> None:
    """Of four calls at once each is an agent; later calls use their ids again."""
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
    assert {one.agent_id for one in sdk.events} == {"worker", "worker-2", "worker-3", "worker-4"}
    assert len(sdk.of("prompt")) == len(sdk.of("stop")) == 8


def test_two_handlers_tell_the_same_events(sdk: RecordingSDK) -> None:
    """A second handler on the same run repeats ids, so that nothing counts twice."""
    create_agent(fake_model(completion()), [], name="a").invoke(
        HELLO, {"callbacks": [HtmlgraphCallbackHandler(sdk=sdk) for _ in range(2)]}
    )
    assert len(sdk.of("completion")) == 2
    assert sdk.tokens() == 107


def test_a_failing_tool_and_turn(sdk: RecordingSDK) -> None:
    """Both are told as errors with the kind, not the text, of the exception, which goes on."""
    agent = create_agent(fake_model(completion("", ("fail", {}))), [fail], name="a")
    with pytest.raises(ValueError, match="secret"):
        agent.invoke(HELLO, thread(sdk))
    failed, over = sdk.of("tool_error", "error")
    assert (failed.status, failed.extra) == ("error", {"error": "ValueError"})
    assert over.extra == {"error": "ValueError"}
    assert "secret" not in str(sdk.events)
    assert sdk.kinds()[-1] == "error"


def test_a_tool_whose_error_the_model_sees(sdk: RecordingSDK) -> None:
    """A tool that hands its error to the model as a result failed all the same."""

    def broken() -> str:
        """Break."""
        raise ToolException("no")

    handled = tool(broken)
    handled.handle_tool_error = True
    agent = create_agent(
        fake_model(completion("", ("broken", {})), completion()), [handled], name="a"
    )
    agent.invoke(HELLO, thread(sdk))
    (failed,) = sdk.of("tool_error")
    assert failed.tool_name == "broken"
    assert sdk.kinds()[-1] == "session_end"


def test_a_model_that_fails(sdk: RecordingSDK) -> None:
    """The end of the turn is the error; a model alone is a turn, too."""

    class Broken(FakeModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionError("offline")

    with pytest.raises(ConnectionError):
        Broken(messages=iter(())).invoke("hi", thread(sdk))
    assert sdk.kinds() == ["session_start", "prompt", "activity", "error"]
    assert sdk.tokens() == 0


def test_a_tool_that_asks_a_person(sdk: RecordingSDK) -> None:
    """It waits for permission; the answer lets it run, under the same id, and count once."""
    calls = completion("", ("add", {"a": 1, "b": 2}), ("consult", {"question": "?"}))
    agent = create_agent(
        fake_model(calls, completion()), [add, consult], name="a", checkpointer=InMemorySaver()
    )
    config = thread(sdk, "t-1")
    agent.invoke(HELLO, config)
    asked = sdk.events[-1]
    assert (asked.event_type, asked.tool_name) == ("permission_request", "consult")
    assert not sdk.of("stop", "error", "tool_error")
    before = len(sdk.events)
    agent.invoke(Command(resume="yes"), config)
    kinds = [one.event_type for one in sdk.events[before:]]
    assert kinds == [
        *("session_start", "answered", "tool_start", "tool_execute", "completion", "stop")
    ]
    started = [one.tool_use_id for one in sdk.of("tool_start") if one.tool_name == "consult"]
    assert started == ["call-consult-1"] * 2
    assert [one.tool_name for one in sdk.of("tool_execute")] == ["add", "consult"]


def test_human_in_the_loop_names_the_tool(sdk: RecordingSDK) -> None:
    """LangChain's middleware asks about a tool before it runs."""
    agent = create_agent(
        fake_model(completion("", ("add", {"a": 1, "b": 2})), completion()),
        [add],
        name="a",
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"add": True})],
        checkpointer=InMemorySaver(),
    )
    config = thread(sdk, "t-1")
    agent.invoke(HELLO, config)
    (asked,) = sdk.of("permission_request")
    assert (asked.tool_name, asked.event_id is not None) == ("add", True)
    agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
    assert sdk.kinds()[-1] == "stop"
    assert len(sdk.of("tool_execute")) == len(sdk.of("answered")) == 1


def test_a_stop_before_a_node(sdk: RecordingSDK) -> None:
    """A graph that is made to stop before a node waits for a person, too."""
    agent = create_agent(
        fake_model(completion("", ("add", {"a": 1, "b": 2})), completion()),
        [add],
        name="a",
        interrupt_before=["tools"],
        checkpointer=InMemorySaver(),
    )
    config = thread(sdk, "t-1")
    agent.invoke(HELLO, config)
    assert sdk.events[-1].event_type == "notification"
    assert sdk.events[-1].extra == {"notification_type": "agent_needs_input"}
    agent.invoke(None, config)
    assert len(sdk.of("answered")) == 1
    assert sdk.kinds()[-1] == "stop"


def test_a_waiting_agent_keeps_its_id(sdk: RecordingSDK) -> None:
    """Another thread that runs meanwhile does not take its place."""
    agent = create_agent(
        fake_model(completion("", ("consult", {"question": "?"})), completion(), completion()),
        [consult],
        name="a",
        checkpointer=InMemorySaver(),
    )
    handler = HtmlgraphCallbackHandler(sdk=sdk)
    for step, thread_id in ((HELLO, "t-1"), (HELLO, "t-2"), (Command(resume="yes"), "t-1")):
        agent.invoke(step, {"callbacks": [handler], "configurable": {"thread_id": thread_id}})
    ids = {(one.session_id, one.agent_id) for one in sdk.events}
    assert ids == {("t-1", "a"), ("t-2", "a-2")}


def test_a_graph_that_fails_beside_a_question_failed(sdk: RecordingSDK) -> None:
    """An error in one branch outweighs what another asks."""
    agent = create_agent(
        fake_model(completion("", ("consult", {"question": "?"}), ("fail", {}))),
        [consult, fail],
        name="a",
        checkpointer=InMemorySaver(),
    )
    with pytest.raises(ValueError, match="secret"):
        agent.invoke(HELLO, thread(sdk, "t-1"))
    assert not sdk.of("permission_request", "stop")
    assert sdk.kinds()[-1] == "error"


def inner_graph(model: FakeModel) -> Any:
    """Return a graph whose node is another graph."""
    graph = StateGraph(MessagesState)
    graph.add_node("work", create_agent(model, [add], name="inner"))
    graph.add_edge(START, "work")
    graph.add_edge("work", END)
    return graph.compile(name="outer")


def test_a_graph_in_a_graph_is_a_child(sdk: RecordingSDK) -> None:
    """It has its parent, its own tools and tokens, and ends with its part."""
    inner_graph(fake_model(completion("", ("add", {"a": 1, "b": 2})), completion())).invoke(
        HELLO, thread(sdk)
    )
    assert sdk.kinds("outer") == [
        *("session_start", "prompt", "subagent_start", "subagent_stop", "stop", "session_end")
    ]
    assert sdk.kinds("outer/inner") == [
        *("prompt", "completion", "tool_start", "tool_execute", "completion", "session_end")
    ]
    children = [one for one in sdk.events if one.agent_id == "outer/inner"]
    assert {one.parent_agent_id for one in children} == {"outer"}
    (started,) = sdk.of("subagent_start")
    assert started.extra == {"child_agent_id": "outer/inner"}


def test_an_agent_in_a_tool_is_a_child(sdk: RecordingSDK) -> None:
    """An agent that a tool calls is a child of the agent whose tool it is."""
    expert = create_agent(fake_model(completion()), [], name="expert")

    @tool
    def delegate(task: str) -> str:
        """Let another do it."""
        return str(expert.invoke({"messages": [("user", task)]})["messages"][-1].content)

    agent = create_agent(
        fake_model(completion("", ("delegate", {"task": "x"})), completion()),
        [delegate],
        name="boss",
    )
    agent.invoke(HELLO, thread(sdk))
    assert sdk.kinds("boss/expert") == ["prompt", "completion", "session_end"]
    assert sdk.tokens() == 3 * 107


def test_a_question_from_a_graph_in_a_graph(sdk: RecordingSDK) -> None:
    """The child waits, its parent goes on to have it, and both end after the answer."""
    graph = StateGraph(MessagesState)
    inner = create_agent(
        fake_model(completion("", ("consult", {"question": "?"})), completion()),
        [consult],
        name="inner",
    )
    graph.add_node("work", inner)
    graph.add_edge(START, "work")
    outer = graph.compile(name="outer", checkpointer=InMemorySaver())
    config = thread(sdk, "t-1")
    outer.invoke(HELLO, config)
    (asked,) = sdk.of("permission_request")
    assert (asked.agent_id, asked.tool_name) == ("outer/inner", "consult")
    assert not sdk.of("stop", "session_end", "subagent_stop")
    outer.invoke(Command(resume="yes"), config)
    assert {one.agent_id for one in sdk.events} == {"outer", "outer/inner"}
    assert sdk.kinds("outer/inner")[-1] == "session_end"
    assert sdk.kinds("outer")[-2:] == ["subagent_stop", "stop"]


def test_a_retriever_counts_as_a_tool(sdk: RecordingSDK) -> None:
    """It is one where a chain calls it, and a part of the tool where a tool does."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            return []

    shelf = Shelf()
    shelf.invoke("x", thread(sdk))
    assert sdk.kinds() == [
        *("session_start", "prompt", "tool_start", "tool_execute", "stop", "session_end")
    ]

    @tool
    def look(query: str) -> str:
        """Look it up."""
        return str(shelf.invoke(query))

    sdk.events.clear()
    look.invoke({"query": "x"}, thread(sdk))
    assert [one.tool_name for one in sdk.of("tool_execute")] == ["look"]


def test_an_answer_from_the_cache_costs_nothing(sdk: RecordingSDK) -> None:
    """What LangChain kept of an earlier answer spent no tokens again."""
    model = FakeModel(messages=iter([completion("x"), completion("y")]), cache=InMemoryCache())
    for _ in range(2):
        model.invoke("hi", thread(sdk))
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
def test_how_a_turn_is_cut_off(error: BaseException, kind: str, sdk: RecordingSDK) -> None:
    """A person's Ctrl-C and a cancelled task are interrupts, anything else is an error."""
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
def test_nothing_raises(calls: list[tuple[Any, ...]]) -> None:
    """Whatever order and values the callbacks come in, the agent's program feels none of it."""
    handler = HtmlgraphCallbackHandler(sdk=RecordingSDK())
    for name, value, run, parent, metadata, more in calls:
        told = {"run_id": run, "parent_run_id": parent, "metadata": metadata, "name": more}
        if name == "on_interrupt":
            handler.on_interrupt(value)
        elif name.endswith("_start"):
            getattr(handler, name)(value, more, **told)
        else:
            getattr(handler, name)(value, response=more, **told)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=8
    ),
    st.integers(1, 3),
)
def test_no_token_counts_twice(answers: list[tuple[int, int, int]], copies: int) -> None:
    """However often an answer's end is told, and by however many choices, it counts once."""
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
