"""What is seen of each coding agent, as JSON and as a page."""

from __future__ import annotations

from tornado.escape import xhtml_escape

from .base import BaseHandler
from .json_api import JsonHandler

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>What is seen of each agent</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="static/favicon.svg">
<link rel="stylesheet" href="static/coverage.css"></head>
<body><p><a href="./">← Agents</a></p><h1>What is seen of each agent</h1><p>{legend}</p>{table}
</body></html>
"""


class CoverageHandler(JsonHandler):
    """``GET /api/coverage``: what is seen of each agent, from which source, and how well."""

    def get(self) -> None:
        from htmlgraph_nb.agent_check.coverage_table import coverage_rows
        from htmlgraph_nb.coding_agents.coverage.declaration import SOURCES

        self.allow_parameters()
        rows = [row.to_dict() for row in coverage_rows()]
        self.send_json({"agents": rows, "sources": dict(SOURCES)})

    head = get


class CoveragePageHandler(BaseHandler):
    """``GET /coverage``: the same as a page."""

    def get(self) -> None:
        from htmlgraph_nb.coding_agents.coverage.declaration import SOURCES

        legend = "; ".join(f"{name}: {text}" for name, text in SOURCES.items())
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish(_PAGE.format(legend=xhtml_escape(legend), table=_table()))

    head = get


def _table() -> str:
    from htmlgraph_nb.agent_check.coverage_table import accuracy_text, coverage_rows
    from htmlgraph_nb.coding_agents.coverage.declaration import FACTS, sources_text

    heads = "".join(f'<th scope="col">{name}</th>' for name in ("agent", *FACTS, "measured"))
    rows = []
    for row in coverage_rows():
        version = f" <small>{xhtml_escape(row.version)}</small>" if row.version else ""
        cells = [f'<th scope="row">{xhtml_escape(row.label)}{version}</th>']
        for name in FACTS:
            seen = row.facts[name]
            state = "gap" if isinstance(seen, str) else "seen"
            cells.append(f'<td class="{state}">{xhtml_escape(sources_text(seen))}</td>')
        cells.append(f"<td>{xhtml_escape(accuracy_text(row.accuracy))}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head, body = f"<thead><tr>{heads}</tr></thead>", f"<tbody>{''.join(rows)}</tbody>"
    return f'<div class="box"><table>{head}{body}</table></div>'
