"""What is seen of all agents, and how well: their declarations and the measured accuracy.

``accuracy.json`` beside this module is written by the benchmarks ``status_accuracy`` and ``tokens``
with ``--write``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from ..coding_agents.coverage.declaration import FACTS, NOT_READ, NOT_REPORTED, Seen
from ..coding_agents.registry import AGENTS

ACCURACY_FILE = "accuracy.json"


class Accuracy(NamedTuple):
    """What recorded sessions of an agent showed.

    Attributes:
        phases, met: number of judged phases, and of those that were shown as expected.
        sessions: number of sessions in them.
        flips: number of states that were shown and not expected.
        totals, equal: number of recordings with totals of tokens, and of those with equal ones.
    """

    phases: int = 0
    met: int = 0
    sessions: int = 0
    flips: int = 0
    totals: int = 0
    equal: int = 0


class CoverageRow(NamedTuple):
    """What is seen of one agent.

    Attributes:
        agent, label: its name and that of the product.
        version: the version that was tried; "": none.
        facts: name of each of FACTS → its sources, or what is missing.
        accuracy: None: no session was recorded.
    """

    agent: str
    label: str
    version: str
    facts: dict[str, Seen]
    accuracy: Accuracy | None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as a JSON object."""
        facts = {
            name: seen if isinstance(seen, str) else list(seen) for name, seen in self.facts.items()
        }
        accuracy = None if self.accuracy is None else self.accuracy._asdict()
        return {**self._asdict(), "facts": facts, "accuracy": accuracy}


@cache
def measured_accuracy() -> dict[str, Accuracy]:
    """Return agent → what was measured."""
    text = files(__package__).joinpath(ACCURACY_FILE).read_text(encoding="utf-8")
    return {agent: Accuracy(**numbers) for agent, numbers in json.loads(text).items()}


def coverage_rows() -> list[CoverageRow]:
    """Return a row for each agent that declares what is seen of it."""
    accuracy = measured_accuracy()
    return [
        CoverageRow(name, agent.label, coverage.version, dict(coverage.facts()), accuracy.get(name))
        for name, agent in AGENTS.items()
        if (coverage := agent.coverage()) is not None
    ]


def names_with(row: CoverageRow, gap: str) -> list[str]:
    """Return the facts of a row that have this gap, NOT_REPORTED or NOT_READ."""
    return [name for name in FACTS if row.facts[name] == gap]


def accuracy_text(accuracy: Accuracy | None) -> str:
    """Return the accuracy in words."""
    if accuracy is None:
        return "not measured"
    parts = []
    if accuracy.phases:
        parts.append(f"status as expected in {accuracy.met} of {accuracy.phases} recorded phases")
    if accuracy.totals:
        parts.append(f"tokens equal in {accuracy.equal} of {accuracy.totals} recordings")
    return ", ".join(parts) or "not measured"


def coverage_sentence(row: CoverageRow) -> str:
    """Return what is seen of an agent, and what is not, in one line."""
    gaps = {"not reported by it": NOT_REPORTED, "not read yet": NOT_READ}
    seen = [name for name in FACTS if not isinstance(row.facts[name], str)]
    parts = [f"seen: {', '.join(seen) or 'nothing'}"]
    parts += [
        f"{text}: {', '.join(names)}"
        for text, gap in gaps.items()
        if (names := names_with(row, gap))
    ]
    version = f" (tried with {row.version})" if row.version else ""
    return f"{'; '.join(parts)}; {accuracy_text(row.accuracy)}{version}"
