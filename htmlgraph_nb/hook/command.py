"""htmlgraph-hook: reports one hook call of a coding agent to the server, and never disturbs it.

It reads the hook's JSON on stdin, keeps an allow-list of it and POSTs that. It is done within one
second, says nothing and exits with status 0 whatever happens. What no server takes goes to the
spool file, which the server reads when it starts.

Standard library only, and little of it: this process starts at every tool call.

Environment:
    HTMLGRAPH_URL: address of the server, base path included; without it the servers that run on
        this machine, the last one to start first, then http://127.0.0.1:8000.
    HTMLGRAPH_TOKEN: token for HTMLGRAPH_URL; it is sent nowhere else.
    HTMLGRAPH_AGENT, HTMLGRAPH_FEATURE: name of the agent, id of the feature it works on.
    HTMLGRAPH_CONTENT: 1 sends prompts, tool inputs and results too, for a receiver of your own;
        the htmlgraph-nb server keeps none of them, and they are never spooled.
    HTMLGRAPH_DEBUG: 1 says on stderr what went wrong.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from .. import paths
from ..coding_agents.content_rules import (
    ends_with_question,
    is_at_rest,
    tool_failed,
    was_interrupted,
)
from ..coding_agents.registry import AGENTS, DEFAULT_AGENT
from ..errors import Unreachable
from .delivery import HOOKS_PATH, Target, deliver, targets
from .process_tree import ancestors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..coding_agents.agent import CodingAgent

BUDGET_S = 1.0
READ_UNTIL_S = 0.6
"""Seconds after the start at which the reading of a session file stops."""
MAX_INPUT_BYTES = 8 << 20
MAX_CONTENT_BYTES = 256 << 10
MAX_EVENT_BYTES = 16 << 10
MAX_SPOOL_BYTES = 16 << 20
MAX_TEXT_CHARS = 256
MAX_PATH_CHARS = 4_096

HELP = f"""\
htmlgraph-hook [{"|".join(AGENTS)}]: reads a hook's JSON on stdin and reports it to the server.
Set up by HTMLGRAPH_URL, _TOKEN, _AGENT, _FEATURE; HTMLGRAPH_DEBUG=1 tells what goes wrong."""

_ALWAYS = (
    *("hook_event_name", "session_id", "cwd", "agent_id", "agent_type", "model"),
    *("tool_name", "tool_use_id", "duration_ms"),
)
_PATHS = ("transcript_path", "agent_transcript_path")
_CONTENT = (
    *("prompt", "tool_input", "tool_response", "last_assistant_message", "message", "title"),
    *("error", "error_details", "custom_instructions", "compact_summary"),
)
# The event itself is refused; everything else (no token yet, wrong address, overload) may pass.
_REFUSED_FOR_GOOD = frozenset({400, 413, 422})


def redact(agent: CodingAgent, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may leave this process: names, ids, durations, counts and keywords.

    Lists become their length (of background tasks only those that run count), text is cut at 256
    characters, and what is neither text nor number is left out. The line by which a shell tool
    tells of an interrupt becomes ``is_interrupt``, an answer that ends with a question
    ``ends_with_question``.
    """
    hook = payload.get("hook_event_name")
    names = (*_ALWAYS, *agent.hook_fields.get(hook, ())) if isinstance(hook, str) else _ALWAYS
    kept: dict[str, Any] = {}
    for name in names:
        value = payload.get(name)
        if isinstance(value, str):
            kept[name] = value[:MAX_TEXT_CHARS]
        elif isinstance(value, list):
            kept[name] = sum(not is_at_rest(item) for item in value)
        elif isinstance(value, bool | int | float):
            kept[name] = value
    if hook == "PostToolUseFailure" and was_interrupted(payload):
        kept["is_interrupt"] = True
    if hook == "AfterTool" and tool_failed(payload):
        kept["is_error"] = True
    if hook in ("Stop", "AfterAgent") and ends_with_question(payload):
        kept["ends_with_question"] = True
    return kept


def session_files(agent: CodingAgent, payload: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths of the session files that have grown by now; they stay on this machine."""
    hook = payload.get("hook_event_name")
    if not isinstance(hook, str) or hook not in agent.hooks_after_write:
        return {}
    named = {name: payload.get(name) for name in _PATHS}
    return {
        name: path
        for name, path in named.items()
        if isinstance(path, str) and 0 < len(path) <= MAX_PATH_CHARS
    }


def content(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content fields of the payload, whole."""
    return {name: payload[name] for name in _CONTENT if name in payload}


def sender_info(
    environ: Mapping[str, str], agent: CodingAgent, now_ns: int, event_id: str, host: str
) -> dict[str, str]:
    """Return the ``htmlgraph`` object that goes with an event.

    Args:
        now_ns: nanoseconds since 1970 UTC.
        event_id: its idempotence key.
        host: name of this machine; "" if unknown.
    """
    seconds, rest = divmod(now_ns, 1_000_000_000)
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    # An agent can run inside of another and inherit its variable.
    variables = [each.project_variable for each in AGENTS.values()]
    folder = next((environ[name] for name in variables if environ.get(name)), "")
    project = folder.rstrip("/\\").replace("\\", "/")
    added = {
        "hook": agent.name,
        "event_id": event_id,
        "timestamp": f"{clock}.{rest // 1000:06d}Z",
        "host": host,
        "agent_id": environ.get("HTMLGRAPH_AGENT", ""),
        "feature_id": environ.get("HTMLGRAPH_FEATURE", ""),
        "project": project.rpartition("/")[2],
    }
    return {name: value[:MAX_TEXT_CHARS] for name, value in added.items() if value}


def spool(line: bytes, path: str) -> bool:
    """Append ``line`` to the file at ``path`` in one write and return True; False: it is full.

    Raises:
        OSError: the file or its folder cannot be made or written.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    binary: int = getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | binary, 0o600)
    try:
        if os.fstat(descriptor).st_size + len(line) + 1 > MAX_SPOOL_BYTES:
            return False
        os.write(descriptor, line + b"\n")
        return True
    finally:
        os.close(descriptor)


def _debug(message: str) -> None:
    if os.environ.get("HTMLGRAPH_DEBUG") == "1":
        print(f"htmlgraph-hook: {message}", file=sys.stderr, flush=True)


def _read_input() -> bytes:
    parts: list[bytes] = []
    size = 0
    while size <= MAX_INPUT_BYTES:
        part = os.read(0, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise ValueError(f"the input has more than {MAX_INPUT_BYTES} bytes")


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _body(told: Mapping[str, Any], said: Mapping[str, Any]) -> bytes:
    body = _encode(told)
    if os.environ.get("HTMLGRAPH_CONTENT") == "1":
        full = _encode({**told, **said})
        return full if len(full) <= MAX_CONTENT_BYTES else body
    return body


class _HookCall:
    """One event on its way; ``line`` is what to spool should it not arrive, at first b""."""

    def __init__(self, agent: CodingAgent) -> None:
        self._agent = agent
        self.line = b""
        self._files: list[str] = []
        self._ended = False
        self._begun = time.monotonic()
        self._finished = _thread.allocate_lock()
        self._finished.acquire()

    def run(self) -> None:
        """Send within the budget, else spool; a thread does it, as name lookup has no timeout."""
        try:
            _thread.start_new_thread(self._work, ())
            if self._finished.acquire(timeout=BUDGET_S):
                return
            _debug(f"not done within {BUDGET_S} s")
        except KeyboardInterrupt:
            _debug("interrupted")
        self._keep()

    def _keep(self) -> None:
        # It may have arrived all the same: its event id makes the second copy harmless.
        try:
            if self.line and not spool(self.line, paths.spool_path()):
                _debug("the spool file is full, the event is dropped")
        except OSError as error:
            _debug(f"the event is lost: {error}")

    def _work(self) -> None:
        try:
            self._send()
        except Exception as error:  # noqa: BLE001  an agent must not feel any fault of its monitor
            _debug(f"{type(error).__name__}: {error}")
        finally:
            self._finished.release()

    def _send(self) -> None:
        payload = json.loads(_read_input())
        if not isinstance(payload, dict) or not isinstance(payload.get("session_id"), str):
            raise ValueError("the input is not a hook's JSON object with a session_id")
        added = sender_info(os.environ, self._agent, time.time_ns(), os.urandom(16).hex(), _host())
        kept = {**redact(self._agent, payload), "htmlgraph": {**added, "ancestors": ancestors()}}
        files = session_files(self._agent, payload)
        self._files = list(files.values())
        self._ended = payload.get("hook_event_name") == "SessionEnd"
        line = _encode({**kept, **files})
        if len(line) > MAX_EVENT_BYTES:
            raise ValueError(f"the event has {len(line)} bytes, expected at most {MAX_EVENT_BYTES}")
        self.line = line
        self._post(kept, files, content(payload))

    def _post(
        self, kept: Mapping[str, Any], files: Mapping[str, str], said: Mapping[str, Any]
    ) -> None:
        from http.client import HTTPException

        try:
            for to in targets(os.environ, paths.running_servers()):
                body = _body({**kept, **files} if to.is_here else kept, said)
                if self._taken(to, body):
                    return
            _debug("spooled, because no server took it")
        except (OSError, HTTPException, ValueError) as error:
            _debug(f"spooled, because {type(error).__name__}: {error}")
        self._keep()

    def _taken(self, to: Target, body: bytes) -> bool:
        """Return whether the event is done with; False: another server may take it."""
        try:
            status = deliver(to, HOOKS_PATH + self._agent.name, body)
        except Unreachable as error:
            _debug(str(error))
            return False
        if 200 <= status < 300:
            if self._files and not to.is_here:
                self.line = b""
                self._send_usage(to)
            return True
        _debug(f"{to.host}:{to.port}{to.base} answered {status}")
        return status in _REFUSED_FOR_GOOD

    def _send_usage(self, to: Target) -> None:
        """Send the tokens that the session's files tell, which a server elsewhere cannot read."""
        from .usage import UsageReader

        folder = os.path.join(paths.data_dir(), "usage")
        for path in self._files:
            file = UsageReader(self._agent, path, folder, self._begun + READ_UNTIL_S)
            events = file.unsent()
            body = _encode([event.to_dict() for event in events])
            if events and not 200 <= deliver(to, "/api/events", body) < 300:
                _debug("the tokens were not taken; they go with the next call")
            elif self._ended:
                file.forget()
            else:
                file.remember()


def main() -> int:
    """Report the hook call on stdin; always 0."""
    words = sys.argv[1:]
    if "--help" in words or "-h" in words:
        print(HELP)
        return 0
    name = words[0] if words else DEFAULT_AGENT.name
    agent = AGENTS.get(name)
    if agent is None:
        _debug(f"the agent is {name!r}, expected one of {', '.join(AGENTS)}")
    else:
        _HookCall(agent).run()
    # A thread that still waits for a name server must not hold the agent up.
    os._exit(0)
