"""Claude Code's hook input becomes the right events, and none of its content is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.claude import hooks as claude
from htmlgraph_nb.coding_agents.claude.hooks import events_from_hook
from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_nb.core.model import Event, PresenceStatus
from htmlgraph_nb.core.roster import Roster
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.hook.command import redact, session_title
from tests.helpers.paths import ROOT
from tests.helpers.strategies import hostile_values

PAYLOADS = ROOT / "tests/payloads" / "claude_hooks"
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json"))
CONTENT = "never-keep-this"
TITLE = "Fix the checkout"
NOW = datetime(2025, 1, 14, 14, 50, 30, 123456, UTC)
SESSION = "0b9d6f4e-3d52-4a7c-9f10-5a1c2e8b7d66"
CALL = "toolu_01Xk9QmVb3nT7sRfLw2cYp4D"
MAIN, CHILD = "claude-0b9d6f4e", "claude-a4d2c8f1"
COMMON = {
    "timestamp": "2025-01-14T14:50:30.123456Z",
    "session_id": SESSION,
    "project": "shop",
    "cwd": "/home/dev/shop",
    "source": "claude-hook",
}


def load(name: str) -> dict[str, Any]:
    """Return the payload of one file."""
    payload = json.loads((PAYLOADS / f"{name}.json").read_text())
    assert isinstance(payload, dict)
    return payload


def own(event_type: str, **fields: Any) -> dict[str, Any]:
    """Return the expected event of the main agent."""
    return {"agent_id": MAIN, "event_type": event_type, **fields}


def call(event_type: str, hook: str, tool: str = "Bash", **fields: Any) -> dict[str, Any]:
    """Return the expected event of the main agent about its tool call."""
    key = f"{CALL}:{hook}"
    return own(event_type, tool_name=tool, tool_use_id=CALL, event_id=key, **fields)


def activity(hook_name: str, **extra: Any) -> dict[str, Any]:
    """Return the expected activity."""
    return own("activity", extra={**extra, "hook_event_name": hook_name})


EXPLORE = {"agent_type": "Explore"}
ABOUT_CHILD = {"child_agent_id": CHILD, "agent_type": "Explore"}
OF_CHILD = {"agent_id": CHILD, "parent_agent_id": MAIN}
FAILURE = "PostToolUse"
CUT = [
    call("tool_error", FAILURE, status="error", duration_ms=910, extra={"is_interrupt": True}),
    own("interrupt", event_id=f"{CALL}:{FAILURE}:2"),
]
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "session_start": [
        own(
            "session_start",
            model="claude-sonnet-5",
            title=TITLE,
            extra={"source": "startup", "title_generated": True},
        ),
    ],
    "session_start_agent": [
        own(
            "session_start",
            model="claude-sonnet-5",
            extra={"source": "resume", "agent_type": "security-reviewer"},
        ),
    ],
    "setup": [],
    "user_prompt_submit": [own("prompt", title=TITLE, extra={"title_generated": True})],
    "user_prompt_expansion": [activity("UserPromptExpansion")],
    "pre_tool_use": [call("tool_start", "PreToolUse")],
    "permission_request": [own("permission_request", tool_name="Bash")],
    "permission_denied": [call("answered", "PermissionDenied", extra={"decision": "denied"})],
    "post_tool_use": [call("tool_execute", "PostToolUse", "Write", status="ok", duration_ms=12)],
    "post_tool_use_mcp": [
        call("tool_execute", "PostToolUse", "mcp__github__search_repositories", status="ok")
    ],
    "post_tool_use_failure": [call("tool_error", FAILURE, status="error", duration_ms=4187)],
    "post_tool_use_failure_interrupt": CUT,
    "post_tool_use_failure_cancelled": [{**CUT[0], "duration_ms": 2210}, CUT[1]],
    "post_tool_batch": [activity("PostToolBatch")],
    "notification_permission": [
        own("notification", extra={"notification_type": "permission_prompt"})
    ],
    "notification_idle": [own("notification", extra={"notification_type": "idle_prompt"})],
    "notification_elicitation_complete": [
        own("answered", extra={"notification_type": "elicitation_complete"})
    ],
    "elicitation": [own("notification", extra={"notification_type": "elicitation_dialog"})],
    "elicitation_result": [own("answered", extra={"action": "accept"})],
    "message_display": [],
    "subagent_start": [
        own("subagent_start", extra=ABOUT_CHILD),
        {
            **OF_CHILD,
            "event_type": "prompt",
            "title": "Explore",
            "extra": {**EXPLORE, "title_default": True},
        },
    ],
    "subagent_pre_tool_use": [{**call("tool_start", "PreToolUse", "Grep"), **OF_CHILD}],
    "subagent_stop": [
        own("subagent_stop", extra=ABOUT_CHILD),
        {**OF_CHILD, "event_type": "session_end", "extra": EXPLORE},
    ],
    "stop": [own("stop", extra={"background_tasks": 0, "session_crons": 0})],
    "stop_background": [own("stop", extra={"background_tasks": 1, "session_crons": 1})],
    "stop_failure": [own("error", extra={"error": "rate_limit", "cannot_work": "rate_limited"})],
    "task_created": [],
    "teammate_idle": [],
    "config_change": [],
    "task_completed": [],
    "instructions_loaded": [],
    "cwd_changed": [],
    "directory_added": [],
    "file_changed": [],
    "worktree_create": [],
    "worktree_remove": [],
    "pre_model_switch": [],
    "post_model_switch": [
        own(
            "notification",
            model="claude-opus-4-6",
            context_tokens=31_200,
            extra={"source": "command"},
        ),
    ],
    "pre_skill_shell_command": [],
    "pre_compact": [activity("PreCompact", trigger="auto")],
    "post_compact": [activity("PostCompact", trigger="auto", compacted=True)],
    "post_compact_manual": [
        own(
            "idle",
            extra={"trigger": "manual", "hook_event_name": "PostCompact", "compacted": True},
        )
    ],
    "session_end": [own("session_end", extra={"reason": "prompt_input_exit"})],
}


def events(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON objects of the payload's events."""
    return [event.to_dict() for event in events_from_hook(payload, received_at=NOW)]


def test_hooks_of_the_program_have_payloads() -> None:
    """The 34 hooks that Claude Code 2.1.332 lists are all in the table above."""
    listed = (
        "PreToolUse PostToolUse PostToolUseFailure PostToolBatch Notification UserPromptSubmit "
        "UserPromptExpansion SessionStart SessionEnd Stop StopFailure SubagentStart SubagentStop "
        "PreCompact PostCompact PreModelSwitch PostModelSwitch PermissionRequest PermissionDenied "
        "Setup TeammateIdle TaskCreated TaskCompleted Elicitation ElicitationResult ConfigChange "
        "WorktreeCreate WorktreeRemove InstructionsLoaded CwdChanged FileChanged DirectoryAdded "
        "MessageDisplay PreSkillShellCommand".split()
    )
    assert len(listed) == 34
    assert {load(name)["hook_event_name"] for name in NAMES} == set(listed)


def test_hook_of_a_model_switch_leaves_the_agent_idle() -> None:
    """The agent has the new model and stays idle."""
    roster = Roster()
    for number, name in enumerate(("session_start", "stop", "post_model_switch"), 1):
        for event in events_from_hook(load(name), received_at=NOW + timedelta(seconds=number)):
            roster.apply(event, number, NOW + timedelta(seconds=number))
    roster.commit()
    presence = roster.agents[MAIN].presence
    assert (presence.status, presence.model) == (PresenceStatus.IDLE, "claude-opus-4-6")


def test_hook_payload_files_have_expected_events() -> None:
    """Every payload file has expected events, and no payload file is missing."""
    assert sorted(EXPECTED) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_hook_reports_its_events(name: str) -> None:
    """Each documented hook input gives exactly the expected events."""
    assert events(load(name)) == [{**COMMON, **fields} for fields in EXPECTED[name]]


@pytest.mark.parametrize("name", NAMES)
def test_hook_redacted_input_reports_the_same_events(name: str) -> None:
    """The redacted input of htmlgraph-hook gives the same events as that of an http hook."""
    payload = load(name)
    sent = {**redact(AGENTS["claude"], payload), **session_title(payload)}
    assert events(sent) == events(payload)


def test_hook_events_contain_no_content() -> None:
    """Events contain none of the content of the payload files."""
    raw = [(PAYLOADS / f"{name}.json").read_text() for name in NAMES]
    assert sum(CONTENT in text for text in raw) > 20
    encoded = json.dumps([events(json.loads(text)) for text in raw])
    assert CONTENT not in encoded
    assert ".jsonl" not in encoded


def test_hook_redacted_input_contains_no_content() -> None:
    """htmlgraph-hook sends none of the content of the payload files."""
    sent = json.dumps([redact(AGENTS["claude"], load(name)) for name in NAMES])
    assert CONTENT not in sent
    assert ".jsonl" not in sent
    assert TITLE not in sent


def test_hook_sender_fields_take_precedence() -> None:
    """Event id, timestamp, host, agent, feature and project are those of the sender."""
    payload = load("stop") | {
        "htmlgraph": {
            "event_id": "e1",
            "timestamp": "2025-01-14T15:50:31+01:00",
            "host": "lab-3",
            "agent_id": "ada",
            "feature_id": "feat-1",
            "project": "warehouse",
        }
    }
    [event] = events_from_hook(payload, received_at=NOW)
    assert (event.event_id, event.agent_id, event.host) == ("e1", "ada", "lab-3")
    assert (event.feature_id, event.project) == ("feat-1", "warehouse")
    assert event.timestamp == datetime(2025, 1, 14, 14, 50, 31, tzinfo=UTC)


def test_hook_event_id_of_a_call_takes_precedence() -> None:
    """Files and telemetry report the same call, so the sender's event id is not used."""
    payload = load("post_tool_use_failure") | {"htmlgraph": {"event_id": "e1"}}
    [event] = events_from_hook(payload, received_at=NOW)
    assert event.event_id == f"{CALL}:PostToolUse"


def test_hook_named_agent_is_the_parent_of_its_subagents() -> None:
    """A subagent keeps its own id; its parent has the name that the user chose."""
    payload = load("subagent_start") | {"htmlgraph": {"agent_id": "ada", "event_id": "e1"}}
    parent, child = events_from_hook(payload, received_at=NOW)
    assert (parent.agent_id, parent.event_id) == ("ada", "e1")
    assert (child.agent_id, child.parent_agent_id, child.event_id) == (CHILD, "ada", "e1:2")


def test_hook_received_at_is_converted_to_utc() -> None:
    """Without a timestamp of the sender, the event has the time of arrival in UTC."""
    east = timezone(timedelta(hours=9))
    [event] = events_from_hook(load("stop"), received_at=NOW.astimezone(east))
    assert event.timestamp == NOW
    assert event.timestamp.tzinfo is UTC


def test_hook_subagent_stop_of_an_older_version_names_no_child() -> None:
    """SubagentStop without an agent_id, as older versions send it, is one event."""
    payload = load("subagent_stop")
    del payload["agent_id"], payload["agent_type"]
    [event] = events_from_hook(payload, received_at=NOW)
    assert (event.event_type, event.agent_id, event.extra) == ("subagent_stop", MAIN, None)


def test_hook_of_a_future_version_is_an_activity() -> None:
    """An unknown hook is an activity, and its unknown fields are dropped."""
    payload = load("stop") | {"hook_event_name": "MindRead", "thought": CONTENT}
    [event] = events_from_hook(payload, received_at=NOW)
    assert event.event_type == "activity"
    assert event.extra == {"hook_event_name": "MindRead"}


@pytest.mark.parametrize("field", ["session_id", "hook_event_name"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"], {}])
def test_hook_error_names_the_missing_field(field: str, value: object) -> None:
    """An input without a session or a hook name is rejected with the name of the field."""
    with pytest.raises(InvalidEvent, match=f"^{field}: expected a string, got ") as caught:
        events_from_hook(load("stop") | {field: value}, received_at=NOW)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("added", "field"),
    [
        ("x", "htmlgraph"),
        ({"agent_id": ""}, "htmlgraph.agent_id"),
        ({"event_id": "e" * 257}, "htmlgraph.event_id"),
        ({"timestamp": "yesterday"}, "htmlgraph.timestamp"),
        ({"timestamp": 3}, "htmlgraph.timestamp"),
    ],
)
def test_hook_error_names_the_invalid_sender_field(added: object, field: str) -> None:
    """An invalid value that the sender added is rejected with its path."""
    with pytest.raises(InvalidEvent) as caught:
        events_from_hook(load("stop") | {"htmlgraph": added}, received_at=NOW)
    assert caught.value.field == field


def test_hook_input_must_be_an_object() -> None:
    """A JSON array is rejected."""
    with pytest.raises(InvalidEvent, match="expected an object"):
        events_from_hook([], received_at=NOW)  # type: ignore[arg-type]


def test_hook_names_are_cut() -> None:
    """Values that no user typed are shortened instead of rejected."""
    payload = load("pre_tool_use") | {"tool_name": "t" * 900, "tool_use_id": "u" * 900}
    [event] = events_from_hook(payload, received_at=NOW)
    assert event.tool_name == "t" * 256
    assert Event.from_dict(event.to_dict()) == event


def test_hook_drops_prose_in_place_of_a_keyword() -> None:
    """A sentence in a field for a keyword is dropped."""
    payload = load("stop_failure") | {"error": "the key sk-1 was refused"}
    [event] = events_from_hook(payload, received_at=NOW)
    assert (event.event_type, event.extra) == ("error", None)


def test_hook_replaces_characters_that_cannot_be_stored() -> None:
    """NUL and lone surrogates become question marks."""
    payload = load("pre_tool_use") | {"tool_name": "a\0b\ud800", "session_id": "s\udfff"}
    [event] = events_from_hook(payload, received_at=NOW)
    assert (event.tool_name, event.session_id, event.agent_id) == ("a?b?", "s?", "claude-s?")


def test_hook_long_session_ids_stay_distinct() -> None:
    """Two over-long session ids with the same prefix are two sessions and two agents."""
    stops = [
        events_from_hook(load("stop") | {"session_id": "s" * 400 + end}, received_at=NOW)[0]
        for end in "ab"
    ]
    assert (
        len({event.agent_id for event in stops}) == len({event.session_id for event in stops}) == 2
    )
    assert all(Event.from_dict(event.to_dict()) == event for event in stops)


@pytest.mark.parametrize(
    ("cwd", "project"),
    [
        ("/home/dev/shop/", "shop"),
        ("C:\\work\\shop", "shop"),
        ("shop", "shop"),
        ("/", None),
        (7, None),
    ],
)
def test_hook_project_is_the_name_of_the_folder(cwd: object, project: str | None) -> None:
    """The project is the folder's name, on POSIX and on Windows."""
    [event] = events_from_hook(load("stop") | {"cwd": cwd}, received_at=NOW)
    assert event.project == project


@pytest.mark.parametrize("value", [-1, True, "12", float("nan"), float("inf"), 1e300, [1]])
def test_hook_drops_an_invalid_duration(value: object) -> None:
    """The event is kept without the duration."""
    payload = load("post_tool_use") | {"duration_ms": value}
    [event] = events_from_hook(payload, received_at=NOW)
    assert event.duration_ms is None


def statuses(*names: str) -> dict[str, tuple[PresenceStatus, str]]:
    """Return status and detail of each agent after these hooks, one second apart."""
    roster = Roster()
    seq = 0
    for step, name in enumerate(names):
        at = NOW + timedelta(seconds=step)
        for event in events_from_hook(load(name), received_at=at):
            seq += 1
            roster.apply(event, seq, at)
    roster.commit()
    return {
        name: (state.presence.status, state.presence.detail)
        for name, state in roster.agents.items()
    }


@pytest.mark.parametrize(
    ("names", "status", "detail"),
    [
        (["session_start"], "idle", "done"),
        (["user_prompt_submit"], "active", "working"),
        (["user_prompt_submit", "pre_tool_use"], "active", "tool"),
        (["pre_tool_use", "permission_request"], "active", "waiting_permission"),
        (["pre_tool_use", "post_tool_use_failure_cancelled"], "idle", "done"),
        (["user_prompt_submit", "elicitation"], "active", "waiting_input"),
        (["user_prompt_submit", "elicitation", "elicitation_result"], "active", "working"),
        (["user_prompt_submit", "stop"], "idle", "done"),
        (["user_prompt_submit", "stop", "config_change"], "idle", "done"),
        (["user_prompt_submit", "stop_background"], "active", "background"),
        (["user_prompt_submit", "stop_failure"], "idle", "rate_limited"),
        (["stop", "pre_compact", "post_compact_manual"], "idle", "done"),
        (["user_prompt_submit", "session_end"], "offline", "done"),
    ],
)
def test_hook_sequence_gives_the_status(names: list[str], status: str, detail: str) -> None:
    """A sequence of hooks leads to the status that a user at the terminal sees."""
    assert statuses(*names)[MAIN] == (PresenceStatus(status), detail)


def test_hook_subagent_is_active_until_it_stops() -> None:
    """A subagent is active as soon as it starts and keeps its parent active until it stops."""
    hooks_run = ["user_prompt_submit", "subagent_start"]
    assert statuses(*hooks_run) == {
        MAIN: (PresenceStatus.ACTIVE, "background"),
        CHILD: (PresenceStatus.ACTIVE, "working"),
    }
    hooks_run += ["subagent_pre_tool_use", "subagent_stop", "stop"]
    assert statuses(*hooks_run) == {
        MAIN: (PresenceStatus.IDLE, "done"),
        CHILD: (PresenceStatus.OFFLINE, "done"),
    }


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
known_names = st.sampled_from(
    "session_id hook_event_name agent_id agent_type cwd model tool_name tool_use_id duration_ms "
    "error is_interrupt notification_type source reason trigger background_tasks htmlgraph".split()
)
hooks = st.sampled_from([*claude._TYPES, "PreCompact", "PostCompact", "Setup"])


@settings(deadline=None)
@given(
    st.dictionaries(known_names | st.text(max_size=9), json_values),
    st.fixed_dictionaries({}, optional={"hook_event_name": hooks, "session_id": st.text()}),
)
def test_hook_raises_only_invalid_event(odd: dict[str, Any], real: dict[str, Any]) -> None:
    """Any JSON object gives valid events or raises InvalidEvent."""
    try:
        result = events_from_hook({**odd, **real}, received_at=NOW)
    except InvalidEvent:
        return
    assert all(Event.from_dict(event.to_dict()) == event for event in result)
    json.dumps([event.to_dict() for event in result]).encode()


@pytest.mark.parametrize(
    ("tool", "extra"),
    [("AskUserQuestion", {"asks": "input"}), ("ExitPlanMode", {"asks": "plan"}), ("Bash", None)],
)
@pytest.mark.parametrize("hook", ["PreToolUse", "PermissionRequest"])
def test_hook_flags_tools_that_wait_for_the_user(
    hook: str, tool: str, extra: dict[str, str] | None
) -> None:
    """A call that waits for the user is flagged, and so is its permission request."""
    payload = {"hook_event_name": hook, "session_id": "s", "tool_name": tool}
    (event,) = events(payload)
    assert event.get("extra") == extra


@pytest.mark.parametrize(
    ("fields", "asks"),
    [
        ({"last_assistant_message": "Which one?"}, True),
        ({"last_assistant_message": "Done."}, False),
        ({"ends_with_question": True}, True),
        ({}, False),
    ],
)
def test_hook_turn_end_flags_a_question(fields: dict[str, Any], asks: bool) -> None:
    """The end of a turn is flagged if its last text is a question; the text is dropped."""
    (event,) = events({"hook_event_name": "Stop", "session_id": "s", **fields})
    assert event.get("extra") == ({"question": True} if asks else None)


LIMIT = "You've hit your session limit · resets 6:30pm (Europe/Dublin)"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("rate_limit", "rate_limited"),
        ("overloaded", "overloaded"),
        ("server_error", "overloaded"),
        ("authentication_failed", "signed_out"),
        ("oauth_org_not_allowed", "signed_out"),
        ("cloud_credential_error", "signed_out"),
        ("billing_error", "account_on_hold"),
        ("account_on_hold", "account_on_hold"),
        ("verification_required", "account_on_hold"),
        ("invalid_request", None),
        ("max_output_tokens", None),
        ("unknown", None),
    ],
)
def test_hook_of_a_failed_turn_reports_why_it_cannot_work(error: str, kind: str | None) -> None:
    """The error of StopFailure is one of a few kinds, or an ordinary failure."""
    [event] = events_from_hook(load("stop_failure") | {"error": error}, received_at=NOW)
    assert event.extra is not None
    assert (event.extra["error"], event.extra.get("cannot_work")) == (error, kind)


@pytest.mark.parametrize("field", ["last_assistant_message", "error_details"])
def test_hook_of_a_usage_limit_reports_only_its_end(field: str) -> None:
    """Of the message of a usage limit, only the kind and the time leave the hook."""
    payload = load("stop_failure") | {field: f"{LIMIT} {CONTENT}"}
    sent = redact(AGENTS["claude"], payload)
    # The time of day is the next one after the failure, so the year depends on the clock.
    assert sent.pop("until").endswith(("T17:30:00.000000Z", "T18:30:00.000000Z"))
    assert sent == redact(AGENTS["claude"], load("stop_failure")) | {"usage_limited": True}
    [event] = events_from_hook(payload, received_at=NOW)
    assert event.extra == {
        "error": "rate_limit",
        "cannot_work": "usage_limited",
        "until": "2025-01-14T18:30:00.000000Z",
    }
    [again] = events_from_hook(sent | {"until": "2025-01-14T18:30:00.000000Z"}, received_at=NOW)
    assert again.extra == event.extra


def test_hook_title_is_kept_on_this_machine() -> None:
    """Titles are not among the fields for servers on other machines."""
    for name in NAMES:
        payload = load(name) | {"session_title": TITLE}
        assert "session_title" not in redact(AGENTS["claude"], payload)
    assert session_title(load("session_start")) == {"session_title": TITLE}
    assert session_title(load("user_prompt_submit")) == {"session_title": TITLE}
    assert session_title(load("stop") | {"session_title": TITLE}) == {}
    assert session_title(load("session_start") | {"session_title": 7}) == {}


_HOSTILE = hostile_values(LIMIT, "resets 99pm (..)", "HEAD", " \n")


@settings(max_examples=300)
@given(name=st.sampled_from(NAMES), values=st.lists(_HOSTILE, min_size=8, max_size=8))
def test_hook_accepts_hostile_values_in_its_facts(name: str, values: list[Any]) -> None:
    """Wrong types, huge numbers and control characters neither raise nor pass unchecked."""
    fields = "session_title cwd context_tokens agent_type error usage_limited until error_details"
    payload = load(name) | dict(zip(fields.split(), values, strict=True))
    payload["last_assistant_message"] = CONTENT
    sent = {**redact(AGENTS["claude"], payload), **session_title(payload)}
    json.dumps(sent)
    for event in [
        *events_from_hook(payload, received_at=NOW),
        *events_from_hook(sent, received_at=NOW),
    ]:
        assert event.checked() == event
        assert CONTENT not in json.dumps(event.to_dict())
