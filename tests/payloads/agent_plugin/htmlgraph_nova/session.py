"""Reads a session file line by line; never opens a file or asks the clock."""

from htmlgraph_nb.coding_agents import (
    Event,
    agent_id_of,
    call_key,
    count,
    label,
    mapping,
    parse_record,
    project_name,
    shorten_id,
    string,
    timestamp,
    whole_path,
)


class NovaSession:
    """One session; see SessionReader."""

    QUIET_THRESHOLDS_S = ()

    def __init__(self, hash_input):
        self._hash_input = hash_input
        self._session = None
        self._common = {}

    def feed(self, line):
        record = parse_record(line)
        read = _READERS.get(string(record.get("type")) or "")
        at = timestamp(record.get("time"))
        if read is None or at is None:
            return []
        if self._session is None and read is not NovaSession._start:
            return []
        return read(self, record, at)

    def on_quiet(self, quiet_s):
        return []

    def finish(self):
        return []

    def _event(self, event_type, at, event_id, **fields):
        return Event(
            event_type=event_type,
            timestamp=at,
            # The same each time the file is read, so that nothing counts twice.
            event_id=shorten_id(event_id),
            source="nova-session",
            **{**self._common, **fields},
        )

    def _start(self, record, at):
        self._session = string(record.get("id")) or "unknown"
        self._common = {
            "agent_id": agent_id_of(self._session, "nova"),
            "session_id": self._session,
            "cwd": whole_path(record.get("cwd")),
            "project": project_name(record.get("cwd")),
        }
        title = label(record.get("title"))
        return [self._event("session_start", at, f"{self._session}:start", title=title)]

    def _prompt(self, record, at):
        return [self._event("prompt", at, f"{self._session}:prompt:{at.isoformat()}")]

    def _call(self, record, at):
        call = string(record.get("id")) or "0"
        return [
            self._event(
                "tool_start",
                at,
                # The id that the event of the hook has, so that the call counts once.
                call_key(self._session, call, "PreToolUse"),
                tool_name=string(record.get("name")),
                tool_use_id=call,
                # A keyed hash of the input, which itself is never kept.
                input_hash=self._hash_input(record.get("input")),
            )
        ]

    def _result(self, record, at):
        call, failed = string(record.get("id")) or "0", record.get("ok") is False
        return [
            self._event(
                "tool_error" if failed else "tool_execute",
                at,
                call_key(self._session, call, "PostToolUse"),
                tool_name=string(record.get("name")),
                tool_use_id=call,
                status="error" if failed else "ok",
            )
        ]

    def _answer(self, record, at):
        tokens = mapping(record.get("tokens"))
        answer = string(record.get("id")) or at.isoformat()
        events = [
            self._event(
                "completion",
                at,
                f"{self._session}:{answer}",
                model=string(record.get("model")),
                # Input tokens exclude those that were read from the cache.
                input_tokens=count(tokens.get("in")),
                cache_read_tokens=count(tokens.get("cached")),
                output_tokens=count(tokens.get("out")),
            )
        ]
        if record.get("final") is True:
            events.append(self._event("stop", at, f"{self._session}:{answer}:stop"))
        return events


_READERS = {
    "nova_session": NovaSession._start,
    "user": NovaSession._prompt,
    "tool": NovaSession._call,
    "tool_result": NovaSession._result,
    "answer": NovaSession._answer,
}
