"""htmlgraph-hook: reports one hook call of a coding agent to the server, without disturbing it.

It reads the hook's JSON from stdin, keeps the fields of an allow-list and POSTs them. It always
ends within about a second, prints nothing and exits with status 0. An event that no server accepts
is appended to the spool file, which the server reads.

It imports few modules, all of the standard library: this process starts on every tool call.

Environment:
    HTMLGRAPH_URL: address of the server with its base path; without it the servers that run on this
        machine, most recently started first, then http://127.0.0.1:8000.
    HTMLGRAPH_TOKEN: token for HTMLGRAPH_URL; it is not sent to any other address.
    HTMLGRAPH_AGENT, HTMLGRAPH_FEATURE: name of the agent, id of the feature it works on.
    HTMLGRAPH_TITLES: on also sends the title of the session to a server on another machine; a model
        may have written it from the prompts.
    HTMLGRAPH_CONTENT: 1 also sends prompts, tool inputs and results, for a receiver of your own;
        the htmlgraph-nb server does not store them, and they are never spooled.
    HTMLGRAPH_DEBUG: 1 prints errors to stderr.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .. import paths
from ..coding_agents.content_rules import derived_fields, is_at_rest
from ..coding_agents.git_worktree import repository_folder
from ..coding_agents.registry import AGENTS, DEFAULT_AGENT, PROJECT_VARIABLES
from ..errors import Unreachable
from .delivery import HOOKS_PATH, Target, deliver, targets
from .process_tree import ancestors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..coding_agents.agent import CodingAgent

BUDGET_S = 1.0
READ_UNTIL_S = 0.6
"""Seconds after the start at which reading a session file stops."""
MAX_INPUT_BYTES = 8 << 20
_MAX_DRAINED_BYTES = 256 << 20
"""Bytes of a longer input that are read and dropped, so that the agent can write them."""
MAX_CONTENT_BYTES = 256 << 10
MAX_EVENT_BYTES = 16 << 10
MAX_TEXT_CHARS = 256
MAX_PATH_CHARS = 4_096

HELP = """\
htmlgraph-hook [{names}]: reads a hook's JSON from stdin and reports it to the server.
Settings: HTMLGRAPH_URL, _TOKEN, _AGENT, _FEATURE; HTMLGRAPH_DEBUG=1 prints errors."""

_COMMON_FIELDS = (
    *("hook_event_name", "session_id", "cwd", "agent_id", "agent_type", "model"),
    *("tool_name", "tool_use_id", "duration_ms"),
)
_TITLE_HOOKS = ("SessionStart", "UserPromptSubmit")
_CALL_HOOKS = (
    *("PreToolUse", "PostToolUse", "PostToolUseFailure", "BeforeTool", "AfterTool"),
    *("before_tool", "after_tool", "preToolUse", "postToolUse"),
)
_PATH_FIELDS = ("transcript_path", "agent_transcript_path")
_CONTENT_FIELDS = (
    *("prompt", "tool_input", "tool_response", "last_assistant_message", "message", "title"),
    *("error", "error_details", "custom_instructions", "compact_summary"),
)
# The server rejects the event itself.
# Other errors (no token yet, wrong address, overload) can pass.
_REJECTED = frozenset({400, 413, 422})


def redact(agent: CodingAgent, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that may leave this process: names, ids, durations, counts and keywords.

    Lists become their length (of background tasks only running ones count), strings are cut to 256
    characters, and other values are dropped. The line in an error that reports an interrupt becomes
    ``is_interrupt``, a response that ends with a question ``ends_with_question``, an empty prompt
    ``is_continued``, the message of a usage limit ``usage_limited`` and the time at which it ends.
    """
    hook = payload.get("hook_event_name")
    names: tuple[str, ...] = _COMMON_FIELDS
    if isinstance(hook, str):
        names = (*names, *agent.hook_fields.get(hook, ()))
    fields: dict[str, Any] = {}
    for name in names:
        value = payload.get(name)
        if isinstance(value, str):
            fields[name] = value[:MAX_TEXT_CHARS]
        elif isinstance(value, list):
            fields[name] = sum(not is_at_rest(item) for item in value)
        elif isinstance(value, bool | int | float):
            fields[name] = value
    fields |= derived_fields(hook, payload, _now)
    return fields


def call_hash(payload: Mapping[str, Any]) -> int | None:
    """Return the ``input_hash`` of the tool call that the hook reports; None: it reports none.

    Raises:
        OSError, ValueError: the key can be neither read nor created.
    """
    if payload.get("hook_event_name") not in _CALL_HOOKS or payload.get("tool_input") is None:
        return None
    from ..coding_agents.input_hash import input_hash
    from ..coding_agents.input_key import load_key

    return input_hash(payload["tool_input"], load_key(paths.input_key_file()))


def session_title(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the title of the session, which is not sent to other machines unless asked to."""
    title = payload.get("session_title")
    is_named = payload.get("hook_event_name") in _TITLE_HOOKS and isinstance(title, str)
    return {"session_title": title[:MAX_TEXT_CHARS]} if is_named and title else {}


def _now() -> datetime:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def session_files(agent: CodingAgent, payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths of session files with new lines; they are not sent to other machines."""
    hook = payload.get("hook_event_name")
    if not isinstance(hook, str) or hook not in agent.hooks_after_write:
        return {}
    values = {name: payload.get(name) for name in _PATH_FIELDS}
    return {
        name: path
        for name, path in values.items()
        if isinstance(path, str) and 0 < len(path) <= MAX_PATH_CHARS
    }


def content(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content fields of the payload, uncut."""
    return {name: payload[name] for name in _CONTENT_FIELDS if name in payload}


def _project(folder: str) -> str:
    """Return the name of the project in a folder of this machine."""
    return repository_folder(folder).rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def sender_info(
    environ: Mapping[str, str], agent: CodingAgent, now_ns: int, event_id: str, host: str
) -> dict[str, str]:
    """Return the ``htmlgraph`` object of an event.

    Args:
        now_ns: nanoseconds since 1970 UTC.
        event_id: its idempotency key.
        host: name of this machine; "" if unknown.
    """
    seconds, rest = divmod(now_ns, 1_000_000_000)
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    # An agent that runs inside another inherits the other's variable.
    variables = (*PROJECT_VARIABLES, agent.project_variable)
    folder = next((environ[name] for name in variables if environ.get(name)), "")
    fields = {
        "hook": agent.name,
        "event_id": event_id,
        "timestamp": f"{clock}.{rest // 1000:06d}Z",
        "host": host,
        "agent_id": environ.get("HTMLGRAPH_AGENT", ""),
        "feature_id": environ.get("HTMLGRAPH_FEATURE", ""),
        "project": _project(folder) if folder else "",
    }
    return {name: value[:MAX_TEXT_CHARS] for name, value in fields.items() if value}


def _debug(message: str) -> None:
    if os.environ.get("HTMLGRAPH_DEBUG") == "1":
        print(f"htmlgraph-hook: {message}", file=sys.stderr, flush=True)


def _read_input() -> tuple[bytes, bytes]:
    """Return the input and b""; of one that is too long its start and its end."""
    parts: list[bytes] = []
    size = 0
    while size <= MAX_INPUT_BYTES:
        part = os.read(0, 1 << 20)
        if not part:
            return b"".join(parts), b""
        parts.append(part)
        size += len(part)
    from .hook_problem import TAIL_BYTES

    data = b"".join(parts)
    tail = data[MAX_INPUT_BYTES:]
    while size < _MAX_DRAINED_BYTES and (part := os.read(0, 1 << 20)):
        tail = (tail + part)[-TAIL_BYTES:]
        size += len(part)
    return data[:MAX_INPUT_BYTES], tail


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _body(fields: Mapping[str, Any], content_fields: Mapping[str, Any]) -> bytes:
    body = _encode(fields)
    if os.environ.get("HTMLGRAPH_CONTENT") == "1":
        full = _encode({**fields, **content_fields})
        return full if len(full) <= MAX_CONTENT_BYTES else body
    return body


class _HookCall:
    """The report of one hook call.

    Attributes:
        line: the line to spool if the event is not delivered; b"" for none.
    """

    def __init__(self, agent: CodingAgent, options: list[str]) -> None:
        self._agent = agent
        self._options = options
        self.line = b""
        self._files: list[str] = []
        self._ended = False
        self._started_at = time.monotonic()
        self._finished = _thread.allocate_lock()
        self._finished.acquire()

    def run(self) -> None:
        """Send within the time budget, else spool. A thread sends: name lookup has no timeout."""
        try:
            _thread.start_new_thread(self._work, ())
            if self._finished.acquire(timeout=BUDGET_S):
                return
            _debug(f"not finished within {BUDGET_S} s")
        except KeyboardInterrupt:
            _debug("interrupted")
        self._spool()

    def _spool(self) -> None:
        from .spool_file import spool

        # The server may have received it all the same; its event id makes the copy harmless.
        try:
            if self.line and not spool(self.line, paths.spool_path()):
                _debug("the spool file is full; the event is dropped")
        except OSError as error:
            _debug(f"the event is lost: {error}")

    def _work(self) -> None:
        try:
            self._send()
        except Exception as error:  # noqa: BLE001  errors of the monitor must not reach the agent
            _debug(f"{type(error).__name__}: {error}")
            if isinstance(error, ValueError | RecursionError):
                self._note(f"an event is lost: {error}", None)
        finally:
            self._finished.release()

    def _note(self, message: str, hook: object) -> None:
        from .hook_problem import write_note

        try:
            write_note(paths.hook_problem_file(), self._agent.name, hook, message)
        except OSError as error:
            _debug(f"no note: {error}")

    def _payload(self) -> Any:
        data, tail = _read_input()
        try:
            if not tail:
                # Some versions of agents run a hook without an input.
                return json.loads(data or b"{}")
        except UnicodeDecodeError:
            # Some shells of Windows convert the input to another encoding.
            tail = b""
        from .hook_problem import recover

        payload, problem = recover(data, tail)
        self._note(problem, payload.get("hook_event_name"))
        return payload

    def _send(self) -> None:
        payload = self._payload()
        if isinstance(payload, dict) and self._agent.leaves_out_hook(payload, self._options):
            return
        if not isinstance(payload, dict) or not isinstance(payload.get("session_id"), str):
            raise ValueError("input: expected a JSON object with a session_id")
        payload["session_id"] = self._agent.hook_session(payload) or payload["session_id"]
        event_id, host = os.urandom(16).hex(), paths.host_name()
        added = sender_info(os.environ, self._agent, time.time_ns(), event_id, host)
        cwd = payload.get("cwd")
        if "project" not in added and isinstance(cwd, str) and repository_folder(cwd) != cwd:
            added["project"] = _project(cwd)[:MAX_TEXT_CHARS]
        own: dict[str, Any] = {**added, "ancestors": ancestors()}
        try:
            hashed = call_hash(payload)
        except (OSError, ValueError) as error:
            hashed = None
            _debug(f"no input_hash: {error}")
        if hashed is not None:
            own["input_hash"] = hashed
        fields = {**redact(self._agent, payload), "htmlgraph": own}
        files = session_files(self._agent, payload)
        self._files = list(files.values())
        self._ended = payload.get("hook_event_name") == "SessionEnd"
        title = session_title(payload)
        line = _encode({**fields, **title, **files})
        if len(line) > MAX_EVENT_BYTES:
            raise ValueError(f"event: expected at most {MAX_EVENT_BYTES} bytes, got {len(line)}")
        self.line = line
        if os.environ.get("HTMLGRAPH_TITLES") == "on":
            fields |= title
        self._post(fields, {**title, **files}, content(payload))

    def _post(
        self,
        fields: Mapping[str, Any],
        local_fields: Mapping[str, str],
        content_fields: Mapping[str, Any],
    ) -> None:
        from http.client import HTTPException

        try:
            for target in targets(os.environ, paths.running_servers()):
                sent = {**fields, **local_fields} if target.is_local else fields
                if self._deliver(target, _body(sent, content_fields)):
                    return
            _debug("spooled: no server accepted the event")
        except (OSError, HTTPException, ValueError) as error:
            _debug(f"spooled: {type(error).__name__}: {error}")
        self._spool()

    def _deliver(self, target: Target, body: bytes) -> bool:
        """Return whether the event was accepted or rejected; False: try another server."""
        try:
            status = deliver(target, HOOKS_PATH + self._agent.name, body)
        except Unreachable as error:
            _debug(str(error))
            return False
        if 200 <= status < 300:
            if self._files and not target.is_local:
                self.line = b""
                self._send_usage(target)
            return True
        shown = f"status {status}" if status else "is no htmlgraph-nb server"
        _debug(f"{target.host}:{target.port}{target.base}: {shown}")
        return status in _REJECTED

    def _send_usage(self, target: Target) -> None:
        """Send the tokens in the session files, which a server on another machine cannot read."""
        from .usage import UsageReader

        folder = os.path.join(paths.data_dir(), "usage")
        for path in self._files:
            reader = UsageReader(self._agent, path, folder, self._started_at + READ_UNTIL_S)
            events = reader.unsent()
            body = _encode([event.to_dict() for event in events])
            if events and not 200 <= deliver(target, "/api/events", body) < 300:
                _debug("the tokens were not accepted; the next call sends them again")
            elif self._ended:
                reader.forget()
            else:
                reader.save()


def main() -> int:
    """Report the hook call on stdin; always 0."""
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:
        names = [name for name, agent in AGENTS.items() if agent.has_hooks]
        print(HELP.format(names="|".join(names)))
        return 0
    name = arguments[0] if arguments else DEFAULT_AGENT
    if not AGENTS.is_built_in(name) and os.environ.get("HTMLGRAPH_DEBUG") != "1":
        # What is wrong with the plugins of other agents is nothing for the terminal of this one.
        import logging

        logging.disable()
    agent = AGENTS.get(name)
    if agent is None:
        _debug(f"agent: expected one of {', '.join(AGENTS)}, got {name!r}")
    elif not agent.has_hooks:
        _debug(f"{agent.label} has no hooks")
    else:
        _HookCall(agent, arguments[1:]).run()
    # Do not wait for a thread that is blocked in a name lookup.
    os._exit(0)
