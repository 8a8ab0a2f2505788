"""Titles, worktrees and pull requests in Claude Code's session files; see ``session``.

Lines without a timestamp, seen in 2.1.150 to 2.1.240: ``ai-title`` (written by a model),
``custom-title`` and ``agent-name`` (``/rename``, or the name of an approved plan), and
``worktree-state``; ``pr-link`` has one. All are written again and again, and the last one counts.
Entering a worktree sets its name as the custom title, which is no title that a person gave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from ...core.model import Event
from ..fields import base_name, identifier, label, mapping, pull_request
from .lines import LineContext, Record

FACT_TYPES = ("ai-title", "custom-title", "agent-name", "worktree-state", "pr-link")
MAX_SESSIONS = 100
"""Maximum number of sessions of a file whose facts are kept; few files have more than one."""


@dataclass(slots=True)
class _Session:
    """The facts about one session; ``reported``: those that events contain."""

    generated: str | None = None
    custom: str | None = None
    name: str | None = None
    worktree: str | None = None
    pr: str | None = None
    reported: dict[str, str | bool] = field(default_factory=dict)

    def read(self, record: Record) -> None:
        match record.get("type"):
            case "ai-title":
                self.generated = label(record.get("aiTitle"))
            case "custom-title":
                self.custom = label(record.get("customTitle"))
            case "agent-name":
                name = label(record.get("agentName"))
                # The name of a plan is written as both.
                self.name = None if name == self.generated else name
            case "worktree-state":
                state = mapping(record.get("worktreeSession"))
                name = label(state.get("worktreeName"))
                self.worktree = name or base_name(state.get("worktreePath"))
            case "pr-link":
                self.pr = pull_request(record.get("prUrl"), record.get("prNumber")) or self.pr

    def current(self) -> dict[str, str | bool]:
        own = [name for name in (self.custom, self.name) if name not in (None, self.worktree)]
        title = own[0] if own else self.generated
        values = {"title": title, "worktree": self.worktree, "pr": self.pr}
        facts: dict[str, str | bool] = {k: v for k, v in values.items() if v is not None}
        return {**facts, "title_generated": True} if title is not None and not own else facts


@dataclass(slots=True)
class Facts:
    """The facts about the sessions of one file."""

    _sessions: dict[str, _Session] = field(default_factory=dict)

    def read(self, record: Record, default_session: str | None) -> None:
        """Read a line of one of FACT_TYPES.

        Args:
            default_session: the session of a line without a session id.
        """
        name = identifier(record.get("sessionId")) or default_session
        if name is None:
            return
        if name not in self._sessions:
            while len(self._sessions) >= MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[name] = _Session()
        self._sessions[name].read(record)

    def changes(self, context: LineContext) -> list[Event]:
        """Return an event with the facts that changed since the last call for this session."""
        session = self._sessions.get(context.session)
        if session is None or context.parent is not None or context.unnamed:
            return []
        current, reported = session.current(), session.reported
        if current == reported:
            return []
        session.reported = current
        generated = current.get("title_generated")
        if generated != reported.get("title_generated"):
            reported = {name: value for name, value in reported.items() if name != "title"}
        fields: dict[str, Any] = {
            name: current[name]
            for name in ("title", "worktree", "pr")
            if name in current and current[name] != reported.get(name)
        }
        extra: dict[str, Any] = {"title_generated": True} if generated and "title" in fields else {}
        if "worktree" in reported and "worktree" not in current:
            extra["cleared"] = ["worktree"]
        if not fields and not extra:
            return []
        return [info_event(context, fields, extra)]


def info_event(
    context: LineContext, fields: dict[str, Any], extra: dict[str, Any] | None = None
) -> Event:
    """Return an event with facts about a session; its id is the same when it is read again."""
    digest = sha256(repr((fields, extra)).encode("utf-8", "replace")).hexdigest()[:16]
    key = f"{context.session}:{context.agent_id}:Info:{context.at.isoformat()}:{digest}"
    return context.event("session_info", key, extra=extra or None, **fields)


def subagent_title(
    name: str, context: LineContext, description: object, agent_type: object
) -> list[Event]:
    """Return an event with the title of a subagent: its description, else its type.

    A model wrote the description; a type is the name of one of few kinds of subagents, so that any
    other title replaces it.

    Args:
        name: agent id of the subagent.
        context: a line of its parent.
    """
    text, kind = label(description), label(agent_type)
    title = text or kind
    if title is None:
        return []
    digest = sha256(title.encode("utf-8", "replace")).hexdigest()[:16]
    extra = {"title_generated" if text else "title_default": True}
    own = {"agent_id": name, "parent_agent_id": context.agent_id}
    key = f"{context.session}:{name}:Title:{digest}"
    return [context.event("session_info", key, title=title, extra=extra, **own)]
