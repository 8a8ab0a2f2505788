"""Writes the tables of coding agents in ``notebooks/CONNECT.md`` from what the agents declare.

``python -m tests.coverage_page`` prints them; with ``--write`` it replaces the parts of the file
between ``<!-- agents -->`` or ``<!-- coverage -->`` and the end mark.
``tests/test_coverage_page.py`` fails while the file differs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from htmlgraph_nb.agent_check.coverage_table import CoverageRow, coverage_rows
from htmlgraph_nb.coding_agents.agent import CodingAgent
from htmlgraph_nb.coding_agents.coverage.declaration import (
    FACTS,
    NOT_READ,
    NOT_REPORTED,
    SOURCES,
    Seen,
)
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.helpers.paths import ROOT

PAGE = ROOT / "notebooks" / "CONNECT.md"
COMMAND = "python -m tests.coverage_page --write"
LETTERS = {
    "hooks": "H",
    "plugin": "P",
    "statusline": "S",
    "files": "F",
    "database": "D",
    "telemetry": "T",
    "process": "R",
    "prices": "$",
}
GAPS = {NOT_REPORTED: "–", NOT_READ: "not read"}


def sections() -> dict[str, str]:
    """Return mark → the text between it and its end."""
    return {"agents": agents_table(), "coverage": coverage_text()}


def agents_table() -> str:
    """Return where each agent keeps its sessions, and where its hooks are added."""
    rows = []
    for name, agent in AGENTS.items():
        stored = ", ".join(f"`{_short(path)}`" for path in _stored(agent)) or "–"
        user, project = (_settings(agent, place) for place in (None, "/project"))
        rows.append((agent.label, f"`{name}`", stored, user, project))
    heads = ("agent", "name", "sessions", "hooks are added to", "with `--project`")
    return _table(heads, rows)


def _stored(agent: CodingAgent) -> list[str]:
    paths = [root.path for root in agent.session_roots()]
    paths += [path for home in agent.homes() for path in agent.session_databases(home)]
    return paths[:2]


def _settings(agent: CodingAgent, project: str | None) -> str:
    paths = agent.settings_paths({}, project)
    return f"`{_short(paths[0])}`" if paths else "–"


def _short(path: str) -> str:
    return path.replace(os.path.expanduser("~"), "~").removeprefix("/project/")


def coverage_text() -> str:
    """Return the table of what is seen, and that of the accuracy."""
    rows = coverage_rows()
    legend = ", ".join(f"**{LETTERS[name]}** {text}" for name, text in SOURCES.items())
    seen = _table(
        ("agent", *FACTS),
        [(row.label, *(_cell(row.facts[name]) for name in FACTS)) for row in rows],
    )
    measured = _table(
        ("agent", "version", "phases as expected", "false changes a session", "tokens equal"),
        [(row.label, row.version or "–", *_accuracy(row)) for row in rows],
    )
    return "\n".join(
        (
            f"{legend}. **–** the agent does not report it, **not read** it does and htmlgraph-nb "
            "does not read it yet.",
            "",
            seen,
            "Recorded sessions, played back: phases in which the shown status was as a person "
            "expected it, and recordings whose totals of tokens are those of another program.",
            "",
            measured,
        )
    )


def _cell(seen: Seen) -> str:
    return GAPS[seen] if isinstance(seen, str) else " ".join(LETTERS[name] for name in seen)


def _accuracy(row: CoverageRow) -> tuple[str, str, str]:
    found = row.accuracy
    if found is None:
        return "not measured", "", ""
    phases = f"{found.met} of {found.phases}" if found.phases else "not measured"
    flips = f"{found.flips / found.sessions:.2f}" if found.sessions else ""
    tokens = f"{found.equal} of {found.totals}" if found.totals else ""
    return phases, flips, tokens


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ("---",) * len(heads), *rows)]
    return "\n".join(lines) + "\n"


def replace_sections(text: str, texts: Mapping[str, str]) -> str:
    """Return a page with the text between its marks replaced.

    Raises:
        ValueError: a mark is missing.
    """
    for mark, inside in texts.items():
        pattern = rf"(<!-- {mark} -->\n).*?(<!-- end of {mark} -->)"
        if not re.search(pattern, text, re.S):
            raise ValueError(f"{PAGE.name}: expected the marks of {mark}")
        begin, end = (re.escape(f"<!-- {name} -->") for name in (mark, f"end of {mark}"))
        parts = re.split(rf"({begin}\n).*?({end})", text, maxsplit=1, flags=re.S)
        text = "".join([*parts[:2], inside, *parts[2:]])
    return text


def main() -> None:
    """Print or write the tables."""
    if "--write" in sys.argv[1:]:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(replace_sections(text, sections()), encoding="utf-8")
    else:
        print("\n".join(sections().values()))


if __name__ == "__main__":
    main()
