"""The declaration of a coding agent: what is seen of it, and from which source.

Each agent has a module ``coverage`` with COVERAGE. Tests compare it with what the agent's readers
return for recorded files, ``python -m tests.coverage_page`` makes the table of all agents from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

NOT_REPORTED = "not reported"
"""The agent neither stores nor sends it, as far as is known."""
NOT_READ = "not read yet"
"""The agent stores or sends it, but htmlgraph-nb does not read it."""

SOURCES = {
    "hooks": "its hooks, once it is connected",
    "plugin": "a plugin that connect installs",
    "statusline": "its status line, once it is connected",
    "files": "its session files",
    "database": "its database",
    "telemetry": "OpenTelemetry that it sends",
    "process": "its processes and what they write about themselves",
    "prices": "the price list, from its tokens",
}
"""Name of a source → what it is."""

Seen = tuple[str, ...] | str
"""The sources in which something is seen, the best first; or NOT_REPORTED or NOT_READ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is seen of one kind of coding agent.

    Each fact is a tuple of names of SOURCES, the best first, or NOT_REPORTED, or NOT_READ. There
    are no defaults, so that each of them is a decision.

    Attributes:
        version: the version of the agent whose files, hooks or telemetry were tried; "": none.
        status: whether it works or waits at its prompt.
        waits: that it waits for a person: a permission, a question, a plan.
        tools: its tool calls.
        tokens: input and output tokens of its completions.
        dollars: their cost.
        title: the title of a session.
        branch: the git branch.
        context: the tokens in the context of the model.
        quota: the use of the account's limits.
        subagents: agents that it starts.
        ends: the end of a session.
    """

    version: str
    status: Seen
    waits: Seen
    tools: Seen
    tokens: Seen
    dollars: Seen
    title: Seen
    branch: Seen
    context: Seen
    quota: Seen
    subagents: Seen
    ends: Seen

    def __post_init__(self) -> None:
        """Check the facts.

        Raises:
            ValueError: a source is unknown.
        """
        for name, seen in self.facts():
            if isinstance(seen, str):
                if seen not in (NOT_REPORTED, NOT_READ):
                    raise ValueError(f"{name}: expected sources or a gap, got {seen!r}")
            elif not seen or (unknown := [each for each in seen if each not in SOURCES]):
                what = ", ".join(map(repr, unknown)) if seen else "()"
                raise ValueError(f"{name}: expected some of {', '.join(SOURCES)}, got {what}")

    def facts(self) -> Iterator[tuple[str, Seen]]:
        """Yield the name and the value of each fact."""
        for name in FACTS:
            yield name, getattr(self, name)


FACTS = tuple(field.name for field in fields(Coverage) if field.name != "version")
"""The names of the facts, in the order of the columns of a table."""


def sources_text(seen: Seen) -> str:
    """Return a fact in words: its sources, or what is missing."""
    return seen if isinstance(seen, str) else ", ".join(seen)
