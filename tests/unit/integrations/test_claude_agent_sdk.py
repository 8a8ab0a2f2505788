"""The hooks and the message reader in real calls of the Claude Agent SDK, its CLI being played."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, HookMatcher, ResultMessage, query
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.integrations.claude_agent_sdk import (
    _report_hook,
    htmlgraph_hooks,
    htmlgraph_messages,
)
from htmlgraph_nb.integrations.claude_messages import MessageReader
from tests.helpers.fake_claude_cli import (
    SESSION,
    FakeClaudeCLI,
    assistant_message,
    hook_input,
    init_message,
    result_message,
    stream_event,
    usage,
)
from tests.helpers.recording_sdk import RecordingSDK

TWO_TOOLS = [
    hook_input("UserPromptSubmit", prompt="secret"),
    init_message(),
    assistant_message("msg_1", usage(10, 40, 5, 1)),
    assistant_message("msg_1", usage(10, 40, 5, 1)),
    hook_input(
        "PreToolUse", tool_name="Bash", tool_input={"command": "secret"}, tool_use_id="toolu_1"
    ),
    hook_input(
        "PostToolUse", tool_name="Bash", tool_response="x", tool_use_id="toolu_1", duration_ms=7
    ),
    assistant_message("msg_2", usage(20, 60, 0, 1)),
    hook_input("PreToolUse", tool_name="Edit", tool_input={}, tool_use_id="toolu_2"),
    hook_input("PostToolUseFailure", tool_name="Edit", error="secret", tool_use_id="toolu_2"),
    assistant_message("msg_3", usage(30, 70, 0, 2)),
    hook_input("Stop", stop_hook_active=False),
    result_message(usage(60, 170, 5, 33)),
]
TOTAL = 60 + 170 + 5 + 33


@pytest.fixture
def sdk() -> RecordingSDK:
    return RecordingSDK()


def run_query(script: list[dict[str, Any]], sdk: RecordingSDK, **options: Any) -> FakeClaudeCLI:
    """Run ``query()`` on a script, with hooks and messages reported."""
    cli = FakeClaudeCLI(script)

    async def run() -> None:
        hooks = htmlgraph_hooks(sdk=sdk, **options)
        asked = query(prompt="hello", options=ClaudeAgentOptions(hooks=hooks), transport=cli)
        found = [message async for message in htmlgraph_messages(asked, sdk=sdk)]
        assert isinstance(found[-1], ResultMessage)

    asyncio.run(run())
    return cli


def test_an_agent_that_calls_two_tools(sdk: RecordingSDK) -> None:
    """Its prompt, both tools, each answer once, with the turn's whole output, and its end."""
    cli = run_query(TWO_TOOLS, sdk)
    assert sdk.kinds("claude-a2e61c19").count("completion") == 3
    kinds = [kind for kind in sdk.kinds() if kind not in ("completion", "session_start")]
    assert kinds == [
        *("prompt", "tool_start", "tool_execute", "tool_start", "tool_error", "stop"),
        "session_end",
    ]
    assert {one.session_id for one in sdk.events} == {SESSION}
    assert sdk.tokens() == TOTAL
    first = sdk.of("completion")[0]
    assert (first.input_tokens, first.cache_read_tokens, first.cache_write_5m_tokens) == (10, 40, 5)
    assert (first.model, first.event_id) == ("claude-sonnet-5", "claude:msg_1")
    assert sdk.of("tool_execute")[0].duration_ms == 7
    assert sdk.of("prompt")[0].project == "shop"
    assert "secret" not in str(sdk.events)
    assert all(one["response"] == {} for one in cli.answers)


def test_hooks_are_there_for_all_that_the_sdk_knows(sdk: RecordingSDK) -> None:
    """Own hooks stay, before those of the monitor."""

    async def own(*_: Any) -> dict[str, Any]:
        return {"continue_": True}

    mine = HookMatcher(matcher="Bash", hooks=[own])  # type: ignore[list-item]
    cli = run_query(TWO_TOOLS, sdk, hooks={"PreToolUse": [mine]}, agent_id="mine")
    assert {"PreToolUse", "PostToolUse", "Stop", "SubagentStart"} <= set(cli.registered)
    assert len(cli.registered["PreToolUse"]) == 2
    assert {"continue": True} in [one["response"] for one in cli.answers]
    assert {one.agent_id for one in sdk.of("tool_start")} == {"mine"}


def test_a_subagent_is_a_child(sdk: RecordingSDK) -> None:
    """It has its parent, and its tools are its own."""
    child = {"agent_id": "9f3c1e2b7a6d", "agent_type": "Explore"}
    script = [
        init_message(),
        hook_input("SubagentStart", **child),
        hook_input("PreToolUse", tool_name="Read", tool_use_id="toolu_1", **child),
        hook_input("PostToolUse", tool_name="Read", tool_use_id="toolu_1", **child),
        assistant_message("msg_sub", usage(1, 2, 3, 4), parent="toolu_0"),
        hook_input("SubagentStop", stop_hook_active=False, **child),
        assistant_message("msg_main", usage(10, 0, 0, 5)),
        result_message(usage(10, 0, 0, 5)),
    ]
    run_query(script, sdk)
    (done,) = sdk.of("tool_execute")
    assert (done.agent_id, done.parent_agent_id) == ("claude-9f3c1e2b", "claude-a2e61c19")
    assert sdk.tokens() == 10 + 15


def test_a_client_goes_on_after_a_turn(sdk: RecordingSDK) -> None:
    """The end of a response is no end of the session."""

    async def run() -> None:
        async with ClaudeSDKClient(transport=FakeClaudeCLI(TWO_TOOLS)) as client:
            await client.query("hello")
            async for _ in htmlgraph_messages(client.receive_response(), "mine", sdk=sdk):
                pass

    asyncio.run(run())
    assert sdk.tokens() == TOTAL
    assert not sdk.of("session_end")
    assert {one.agent_id for one in sdk.events} == {"mine"}


def test_partial_messages_tell_the_output_of_each(sdk: RecordingSDK) -> None:
    """What streams at the end of an answer takes the place of its placeholder."""
    script = [
        init_message(),
        stream_event({"type": "message_start", "message": {"id": "msg_1"}}),
        assistant_message("msg_1", usage(10, 0, 0, 1)),
        stream_event({"type": "message_delta", "usage": {"output_tokens": 20}}),
        stream_event({"type": "message_start", "message": {"id": "msg_2"}}),
        assistant_message("msg_2", usage(11, 0, 0, 1)),
        stream_event({"type": "message_delta", "usage": {"output_tokens": 30}}),
        result_message(usage(21, 0, 0, 50)),
    ]
    run_query(script, sdk)
    assert [one.output_tokens for one in sdk.of("completion")] == [20, 30]


def test_a_sum_of_something_else_is_not_added(sdk: RecordingSDK) -> None:
    """A result whose input is not that of the answers says nothing about their output."""
    run_query(
        [
            init_message(),
            assistant_message("msg_1", usage(10, 0, 0, 3)),
            result_message(usage(99, 0, 0, 50)),
        ],
        sdk,
    )
    assert sdk.tokens() == 13


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"is_error": True, "subtype": "error_max_turns"}, "error"),
        ({"terminal_reason": "aborted_tools", "is_error": True}, "interrupt"),
    ],
    ids=["error", "interrupt"],
)
def test_how_a_turn_fails(fields: dict[str, Any], kind: str, sdk: RecordingSDK) -> None:
    """A turn that failed, and one that was aborted, have no hook; the result tells."""
    reader = MessageReader("a")
    facts = {
        "session_id": SESSION,
        "usage": None,
        "subtype": "success",
        "is_error": False,
        "terminal_reason": None,
        **fields,
    }
    told = reader.feed(type("ResultMessage", (SimpleNamespace,), {})(**facts))
    assert [one["event_type"] for one in told] == [kind]


def test_leaving_early_closes_the_stream(sdk: RecordingSDK) -> None:
    """What was known of the last answer is told, and the source is closed."""
    closed = []

    async def source() -> Any:
        try:
            for message in (init_message(), assistant_message("msg_1", usage(1, 0, 0, 1))):
                yield parse_message(message)
            yield parse_message(result_message(None))
        finally:
            closed.append(True)

    async def run() -> None:
        messages = htmlgraph_messages(source(), sdk=sdk)
        async for message in messages:
            if type(message).__name__ == "AssistantMessage":
                break
        await messages.aclose()  # type: ignore[attr-defined]

    asyncio.run(run())
    assert closed == [True]
    assert sdk.tokens() == 2


def parse_message(message: dict[str, Any]) -> Any:
    """Return a message as the SDK's object, of which the reader takes these."""
    inner = message.get("message", {})
    kinds = {
        "system": "SystemMessage",
        "assistant": "AssistantMessage",
        "result": "ResultMessage",
        "stream_event": "StreamEvent",
    }
    facts = {
        "session_id": None,
        "parent_tool_use_id": None,
        "uuid": None,
        "terminal_reason": None,
        **message,
        "message_id": inner.get("id"),
        "model": inner.get("model"),
        "data": message,
        "usage": message.get("usage", inner.get("usage")),
    }
    return type(kinds[message["type"]], (SimpleNamespace,), {})(**facts)


def test_an_answer_has_the_id_of_the_session_file() -> None:
    """Read from the file, too, the same answer is the same event."""
    line = (
        b'{"type":"assistant","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","uuid":"u",'
        b'"message":{"id":"msg_1","model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,'
        b'"output_tokens":2}}}'
    )
    file = ClaudeSession()
    from_file = [*file.feed(line), *file.finish()]
    reader = MessageReader()
    reader.feed(parse_message(assistant_message("msg_1", usage(1, 0, 0, 2))))
    (told,) = reader.finish(ended=False)
    assert told["event_id"] in {one.event_id for one in from_file}


COUNTS = st.tuples(*[st.integers(0, 10**6)] * 4)


@given(st.lists(st.tuples(COUNTS, st.integers(1, 3), st.booleans()), max_size=8), st.data())
def test_no_token_counts_twice(
    answers: list[tuple[tuple[int, int, int, int], int, bool]], data: st.DataObject
) -> None:
    """However many blocks an answer has, and whether its output streams, a turn's sum is right."""
    sdk, reader = RecordingSDK(), MessageReader("a")
    messages = [init_message()]
    for place, (counts, blocks, streams) in enumerate(answers):
        placeholder = (*counts[:3], min(1, counts[3]))
        name = f"msg_{place}"
        messages.append(stream_event({"type": "message_start", "message": {"id": name}}))
        messages += [assistant_message(name, usage(*placeholder))] * blocks
        if streams:
            delta = {"type": "message_delta", "usage": {"output_tokens": counts[3]}}
            messages.append(stream_event(delta))
        if data.draw(st.booleans()):
            messages.append(assistant_message(name, usage(*placeholder)))
    sums = [sum(counts[kind] for counts, _, _ in answers) for kind in range(4)]
    messages.append(result_message(usage(*sums)))
    for message in messages:
        for fields in reader.feed(parse_message(message)):
            sdk.report(**fields)
    for fields in reader.finish(ended=True):
        sdk.report(**fields)
    assert sdk.tokens() == sum(sums)
    assert len(sdk.of("completion")) == len(answers)


ANYTHING: st.SearchStrategy[Any] = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    st.dictionaries(st.text(max_size=9), st.integers(), max_size=3),
)
KEYS = "session_id hook_event_name tool_name tool_use_id agent_id error duration_ms cwd".split()


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from(KEYS), ANYTHING) | ANYTHING,
    st.lists(
        st.tuples(
            st.sampled_from(["SystemMessage", "AssistantMessage", "ResultMessage", "StreamEvent"]),
            st.dictionaries(
                st.sampled_from(
                    "session_id usage message_id subtype data event is_error model".split()
                ),
                ANYTHING,
            ),
        ),
        max_size=6,
    ),
)
def test_nothing_raises(payload: Any, messages: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever hooks and messages hold, they are passed on and the agent feels nothing."""
    sdk = RecordingSDK()
    _report_hook(sdk, None, payload)
    objects = [type(kind, (SimpleNamespace,), {})(**facts) for kind, facts in messages]

    async def source() -> Any:
        for one in objects:
            yield one

    async def run() -> list[Any]:
        return [one async for one in htmlgraph_messages(source(), sdk=sdk)]

    assert asyncio.run(run()) == objects
