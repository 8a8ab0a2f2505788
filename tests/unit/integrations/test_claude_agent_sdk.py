"""The hooks and the message reader work in real calls of the Claude Agent SDK, with a fake CLI."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, HookMatcher, ResultMessage, query
from claude_agent_sdk.types import RateLimitEvent, RateLimitInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude.session import ClaudeSession
from htmlgraph_nb.coding_agents.input_key import hash_input
from htmlgraph_nb.integrations.claude_agent_sdk import (
    _report_hook,
    htmlgraph_hooks,
    htmlgraph_messages,
)
from htmlgraph_nb.integrations.claude_messages import MessageReader
from tests.helpers.claude_lines import ANSWER
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
    """Run ``query()`` on a script, reporting hooks and messages."""
    cli = FakeClaudeCLI(script)

    async def run() -> None:
        hooks = htmlgraph_hooks(sdk=sdk, **options)
        stream = query(prompt="hello", options=ClaudeAgentOptions(hooks=hooks), transport=cli)
        messages = [message async for message in htmlgraph_messages(stream, sdk=sdk)]
        assert isinstance(messages[-1], ResultMessage)

    asyncio.run(run())
    return cli


def test_query_reports_turn_with_two_tools(sdk: RecordingSDK) -> None:
    """Prompt, both tools, each completion once, the turn's whole output, and the end."""
    cli = run_query(TWO_TOOLS, sdk)
    assert sdk.kinds("claude-a2e61c19").count("completion") == 3
    kinds = [kind for kind in sdk.kinds() if kind not in ("completion", "session_start")]
    assert kinds == [
        *("prompt", "tool_start", "tool_execute", "tool_start", "tool_error", "stop"),
        "session_end",
    ]
    assert {event.session_id for event in sdk.events} == {SESSION}
    assert sdk.tokens() == TOTAL
    first = sdk.of("completion")[0]
    assert (first.input_tokens, first.cache_read_tokens, first.cache_write_5m_tokens) == (10, 40, 5)
    assert first.model == "claude-sonnet-5"
    assert str(first.event_id).startswith("claude:msg_1@")
    assert sdk.of("tool_execute")[0].duration_ms == 7
    hashes = [event.input_hash for event in sdk.of("tool_start", "tool_execute", "tool_error")]
    assert hashes == [hash_input({"command": "secret"}), None, hash_input({}), None]
    assert sdk.of("prompt")[0].project == "shop"
    assert "secret" not in str(sdk.events)
    assert all(answer["response"] == {} for answer in cli.answers)


def test_htmlgraph_hooks_cover_all_events_and_keep_own_hooks(sdk: RecordingSDK) -> None:
    """The caller's hooks run before those of the monitor."""

    async def own(*_: Any) -> dict[str, Any]:
        return {"continue_": True}

    mine = HookMatcher(matcher="Bash", hooks=[own])  # type: ignore[list-item]
    cli = run_query(TWO_TOOLS, sdk, hooks={"PreToolUse": [mine]}, agent_id="mine")
    assert {"PreToolUse", "PostToolUse", "Stop", "SubagentStart"} <= set(cli.registered)
    assert len(cli.registered["PreToolUse"]) == 2
    assert {"continue": True} in [answer["response"] for answer in cli.answers]
    assert {event.agent_id for event in sdk.of("tool_start")} == {"mine"}


def test_hooks_report_subagent_as_child(sdk: RecordingSDK) -> None:
    """The subagent has a parent and its own tool calls."""
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


def test_client_session_continues_after_turn(sdk: RecordingSDK) -> None:
    """The end of a response does not end the session."""

    async def run() -> None:
        async with ClaudeSDKClient(transport=FakeClaudeCLI(TWO_TOOLS)) as client:
            await client.query("hello")
            async for _ in htmlgraph_messages(client.receive_response(), "mine", sdk=sdk):
                pass

    asyncio.run(run())
    assert sdk.tokens() == TOTAL
    assert not sdk.of("session_end")
    assert {event.agent_id for event in sdk.events} == {"mine"}


def test_partial_messages_replace_placeholder_output(sdk: RecordingSDK) -> None:
    """The output count at the end of a streamed completion replaces the placeholder."""
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
    assert [event.output_tokens for event in sdk.of("completion")] == [20, 30]


def test_result_of_other_completions_is_not_added(sdk: RecordingSDK) -> None:
    """A result whose input differs from that of the completions is not about their output."""
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
def test_reader_reports_failed_and_aborted_turns(
    fields: dict[str, Any], kind: str, sdk: RecordingSDK
) -> None:
    """Failed and aborted turns have no hook; the result message reports them."""
    reader = MessageReader("a")
    facts = {
        "session_id": SESSION,
        "usage": None,
        "subtype": "success",
        "is_error": False,
        "terminal_reason": None,
        **fields,
    }
    events = reader.feed(type("ResultMessage", (SimpleNamespace,), {})(**facts))
    assert [event["event_type"] for event in events] == [kind]


def test_messages_closed_early_close_source(sdk: RecordingSDK) -> None:
    """The last completion is reported as far as it is known, and the source is closed."""
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
    """Return a message as the SDK's object, with the attributes that the reader uses."""
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


def test_reader_and_session_file_agree_on_completion_id() -> None:
    """The same completion, read from the session file, has the same event id."""
    line = (
        b'{"type":"assistant","sessionId":"s","timestamp":"2026-01-01T00:00:00Z","uuid":"u",'
        b'"message":{"id":"msg_01Rk4vT8sXw2LbQ9mYp7cHd3","model":"m","stop_reason":"end_turn",'
        b'"usage":{"input_tokens":1,"output_tokens":2}}}'
    )
    file = ClaudeSession()
    from_file = [*file.feed(line), *file.finish()]
    reader = MessageReader()
    reader.feed(parse_message(assistant_message(ANSWER, usage(1, 0, 0, 2))))
    (completion,) = reader.finish(ended=False)
    assert completion["event_id"] in {event.event_id for event in from_file}


COUNTS = st.tuples(*[st.integers(0, 10**6)] * 4)


@given(st.lists(st.tuples(COUNTS, st.integers(1, 3), st.booleans()), max_size=8), st.data())
def test_reader_counts_each_token_once(
    answers: list[tuple[tuple[int, int, int, int], int, bool]], data: st.DataObject
) -> None:
    """The sum of a turn is right for any number of blocks, with and without streaming."""
    sdk, reader = RecordingSDK(), MessageReader("a")
    messages = [init_message()]
    for index, (counts, blocks, streams) in enumerate(answers):
        placeholder = (*counts[:3], min(1, counts[3]))
        name = f"msg_{index}"
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
def test_reporting_never_raises(payload: Any, messages: list[tuple[str, dict[str, Any]]]) -> None:
    """Any hook input and messages are passed on unchanged."""
    sdk = RecordingSDK()
    _report_hook(sdk, None, payload)
    objects = [type(kind, (SimpleNamespace,), {})(**facts) for kind, facts in messages]

    async def source() -> Any:
        for message in objects:
            yield message

    async def run() -> list[Any]:
        return [message async for message in htmlgraph_messages(source(), sdk=sdk)]

    assert asyncio.run(run()) == objects


def rate_limit(utilization: Any, **info: Any) -> RateLimitEvent:
    """Return a message about a usage window."""
    fields = {"status": "allowed", "resets_at": 1_780_200_000, "rate_limit_type": "five_hour"}
    limits = RateLimitInfo(**{**fields, "utilization": utilization, **info})
    return RateLimitEvent(limits, "u1", SESSION)


def test_reader_reports_usage_windows_when_they_change() -> None:
    """Each message is about one window; the limits of single models are separate."""
    reader = MessageReader()
    (quota,) = reader.feed(rate_limit(0.25))
    assert quota["event_type"] == "quota"
    assert quota["extra"] == {
        "account": "claude",
        "official": True,
        "windows": [
            {
                "window": "5h",
                "minutes": 300,
                "used_percent": 25.0,
                "resets_at": "2026-05-31T04:00:00.000000Z",
            }
        ],
    }
    assert reader.feed(rate_limit(0.25)) == []
    (week,) = reader.feed(rate_limit(0.5, rate_limit_type="seven_day_opus"))
    assert (week["extra"]["account"], week["extra"]["windows"][0]["window"]) == (
        "claude-opus",
        "weekly",
    )
    for odd in (rate_limit(None), rate_limit("x"), rate_limit(0.1, rate_limit_type="overage")):
        assert reader.feed(odd) == []


def test_query_reports_a_usage_limit_with_its_end(sdk: RecordingSDK) -> None:
    """The result of the turn fails; the message before it says until when."""
    limit = {
        "type": "rate_limit_event",
        "rate_limit_info": {
            "status": "rejected",
            "resetsAt": 1_780_200_000,
            "rateLimitType": "five_hour",
        },
        "uuid": "u1",
        "session_id": SESSION,
    }
    result = {**result_message(usage(0, 0, 0, 0)), "is_error": True, "api_error_status": 429}
    run_query([init_message(), limit, result], sdk)
    (quota,) = sdk.of("quota")
    assert (quota.extra or {})["windows"][0]["used_percent"] == 100.0
    (error,) = sdk.of("error")
    assert error.extra == {
        "error": "success",
        "cannot_work": "usage_limited",
        "until": "2026-05-31T04:00:00.000000Z",
    }
    assert {event.agent_kind for event in sdk.events} == {"claude"}


def test_query_reports_retries_and_compactions(sdk: RecordingSDK) -> None:
    """A repeated request is work; a compaction is a fact."""
    system = {"type": "system", "session_id": SESSION, "uuid": "u1"}
    retry = {"attempt": 3, "max_retries": 10, "retry_delay_ms": 500, "error_status": 529}
    script = [
        init_message(),
        {**system, "subtype": "api_retry", "error": "overloaded", **retry},
        {**system, "subtype": "compact_boundary", "compact_metadata": {"trigger": "auto"}},
        result_message(usage(0, 0, 0, 0)),
    ]
    run_query(script, sdk)
    (event,) = sdk.of("retry")
    extra = event.extra or {}
    assert extra.pop("until") > "2026"
    assert extra == {"cannot_work": "overloaded", "attempt": 3, "max_attempts": 10}
    assert [info.extra for info in sdk.of("session_info")] == [{"compacted": True}]


def test_query_reports_the_size_of_the_context(sdk: RecordingSDK) -> None:
    """The input of the main conversation's last request; the result contains the window."""
    window = {"claude-sonnet-5": {"contextWindow": 1_000_000}}
    script = [
        init_message(),
        assistant_message("msg_sub", usage(1, 2, 3, 4), parent="toolu_0"),
        assistant_message("msg_main", usage(10, 40, 5, 5)),
        {**result_message(usage(10, 40, 5, 5)), "modelUsage": window},
    ]
    run_query(script, sdk)
    sizes = [(e.context_tokens, e.context_window) for e in sdk.of("completion")]
    assert sorted(sizes, key=str) == [(55, 1_000_000), (None, None)]


@pytest.mark.parametrize(
    ("url", "titles", "expected"),
    [
        (None, None, "Fix the cart"),
        ("http://127.0.0.1:8000", None, "Fix the cart"),
        ("https://monitor.example", None, None),
        ("https://monitor.example", "on", "Fix the cart"),
        ("nonsense", None, None),
    ],
)
def test_hooks_report_titles_to_this_machine(
    sdk: RecordingSDK,
    monkeypatch: pytest.MonkeyPatch,
    url: str | None,
    titles: str | None,
    expected: str | None,
) -> None:
    """A model may have written the title from the prompts."""
    monkeypatch.delenv("HTMLGRAPH_URL", raising=False)
    monkeypatch.delenv("HTMLGRAPH_TITLES", raising=False)
    if titles is not None:
        monkeypatch.setenv("HTMLGRAPH_TITLES", titles)
    sdk.url = url
    _report_hook(
        sdk, None, hook_input("UserPromptSubmit", prompt="secret", session_title="Fix the cart")
    )
    (prompt,) = sdk.of("prompt")
    assert prompt.title == expected
