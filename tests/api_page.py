"""Writes ``notebooks/API.md``, the page of all public names, from their docstrings.

``python -m tests.api_page`` prints the page; with ``--write`` it replaces the file.
``tests/test_api_page.py`` fails while the file differs.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import htmlgraph_nb
from tests.helpers.paths import ROOT

PAGE = ROOT / "notebooks" / "API.md"
COMMAND = "python -m tests.api_page --write"
GROUPS = {
    "Live grid": "AgentGrid AgentPresence PresenceStatus PresenceClient",
    "Report": "SDK tool Event PresenceManager",
    "Load": (
        "load_history iter_history load_presence load_quotas load_alerts load_transcripts "
        "sample_history export_history presence_at local readable"
    ),
    "Analyze": (
        "summary agents sessions turns features compare timeline waiting_time concurrency "
        "tool_counts tool_durations tool_errors tool_transitions loops token_costs blocks "
        "burn_rate forecast_budget replay_alerts Limits"
    ),
    "Plots": (
        "plot_timeline plot_concurrency plot_activity_heatmap plot_tool_counts plot_tool_durations "
        "plot_tool_transitions plot_token_costs plot_cumulative_cost plot_context plot_session"
    ),
    "Server": "start_server LocalServer",
    "Add an agent": "check_agent",
    "Errors": "HtmlgraphError ConfigError ConnectError InvalidEvent HistoryWarning PriceWarning",
}
"""Heading → the names below it; together these are the public names of htmlgraph_nb."""
INTEGRATIONS = {
    "htmlgraph_nb.integrations.langchain": "HtmlgraphCallbackHandler",
    "htmlgraph_nb.integrations.openai_agents": "HtmlgraphTracingProcessor",
    "htmlgraph_nb.integrations.claude_agent_sdk": "htmlgraph_hooks htmlgraph_messages",
}
"""Module → its public names; each needs its framework."""
_INTRODUCTION = f"""# API

The public names of `htmlgraph_nb`, made from their docstrings by `{COMMAND}`.
In a notebook, `import htmlgraph_nb as hg` and then `hg.NAME?` shows the same text. The examples of
the analysis functions use five minutes of two agents, `example()`; for more use
`hg.sample_history()`.
"""
_SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example")
_HEADINGS = {"Args": "Arguments"}
_LINE_CHARS = 96


def page() -> str:
    """Return the text of the page."""
    parts = [_INTRODUCTION, _contents()]
    for heading, names in GROUPS.items():
        parts.append(f"## {heading}\n")
        parts += [_entry(name, getattr(htmlgraph_nb, name)) for name in names.split()]
    parts.append("## Integrations\n")
    for module, names in INTEGRATIONS.items():
        loaded = import_module(module)
        for name in names.split():
            parts.append(_entry(name, getattr(loaded, name), f"from {module} import {name}"))
    return "\n".join(parts).rstrip() + "\n"


def _contents() -> str:
    groups = {**GROUPS, "Integrations": " ".join(INTEGRATIONS.values())}
    lines = []
    for heading, names in groups.items():
        links = ", ".join(f"[`{name}`](#{name.lower()})" for name in names.split())
        lines.append(f"- **{heading}**: {links}")
    return "\n".join(lines) + "\n"


def _entry(name: str, item: Any, statement: str | None = None) -> str:
    """Return the part of the page about one name."""
    lines = [f"### {name}", "", "```python"]
    lines += [statement] if statement else []
    lines += [*_signature(name, item), "```", "", *_markdown(inspect.getdoc(item) or "")]
    if inspect.isclass(item):
        members = list(_members(item))
        if members:
            lines += ["", "Members:", "", *members]
    return "\n".join(lines) + "\n"


def _signature(name: str, item: Any, max_chars: float = _LINE_CHARS) -> list[str]:
    """Return the lines of a signature: one, or one for each argument if it is too long."""
    if inspect.isclass(item) and issubclass(item, Exception | str):
        return [f"class {name}({item.__bases__[0].__name__})"]
    found = inspect.signature(item)
    parts = []
    star = False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
        star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        parts.append(_parameter(parameter))
    result = ""
    if not inspect.isclass(item) and found.return_annotation is not found.empty:
        result = f" -> {_annotation(found.return_annotation)}"
    prefix = "class " if inspect.isclass(item) else ""
    line = f"{prefix}{name}({', '.join(parts)}){result}"
    if len(line) <= max_chars:
        return [line]
    return [f"{prefix}{name}(", *(f"    {part}," for part in parts), f"){result}"]


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    # Defaults whose repr is no expression: an enum's member, a factory or a function.
    default = re.sub(r"^<(\w+\.\w+): .*>$", r"\1", repr(parameter.default))
    default = "..." if default.startswith("<") else default
    return f"{text} = {default}"


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return text.strip("'\"")


def _members(item: type) -> Iterator[str]:
    """Yield a list item for each public method and property of this project's classes.

    Those that replace one of another library, such as a widget's, are documented there.
    """
    own = [owner for owner in item.__mro__ if owner.__module__.startswith("htmlgraph_nb")]
    seen = {name for owner in item.__mro__ if owner not in own for name in vars(owner)}
    for owner in own:
        for name, member in vars(owner).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function):
                (call,) = _signature(name, function, math.inf)
                yield f"- `{call}`: {_first_sentence(function)}"
            elif isinstance(member, property) and member.__doc__:
                yield f"- `{name}`: {_first_sentence(member)}"


def _first_sentence(item: Any) -> str:
    text = " ".join((inspect.getdoc(item) or "").partition("\n\n")[0].split())
    return _inline(re.split(r"(?<=[.!?]) (?=[A-Z])", text)[0])


def _markdown(docstring: str) -> list[str]:
    """Return a docstring as lines of Markdown: its sections become lists and examples."""
    lines: list[str] = []
    for section, body in _sections(docstring):
        if section in ("Args", "Attributes", "Raises"):
            lines += ["", f"{_HEADINGS.get(section, section)}:", "", *_items(body)]
        elif section in ("Returns", "Yields"):
            lines += ["", f"{section}:", "", *_text(body)]
        else:
            lines += ["", *_text(body)]
    return lines[1:]


def _sections(docstring: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of a docstring: "" or the name of a section, and its lines."""
    section, body = "", list[str]()
    for line in docstring.splitlines():
        heading = line.removesuffix(":")
        starts = heading in _SECTIONS and line.endswith(":")
        ends = section != "" and line != "" and not line.startswith(" ")
        if starts or ends:
            yield section, body
            section, body = (heading, []) if starts else ("", [line])
        else:
            body.append(line)
    yield section, body


def _items(body: list[str]) -> list[str]:
    """Return "name: text" entries, continued in deeper lines, as a list."""
    entries: list[str] = []
    for line in filter(str.strip, body):
        if line.startswith("     "):
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    items = []
    for entry in entries:
        name, colon, text = entry.partition(": ")
        named = colon and re.fullmatch(r"[\w*., ]+", name)
        names = ", ".join(f"`{part.strip()}`" for part in name.split(","))
        items.append(f"- {names}: {_inline(text)}" if named else f"- {_inline(entry)}")
    return items


def _text(body: list[str]) -> list[str]:
    """Return paragraphs and examples."""
    lines: list[str] = []
    depth = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    in_example = False
    for line in (line[depth:] for line in body):
        if line.startswith(">>> ") and not in_example:
            lines += ["```python"] if not lines or not lines[-1] else ["", "```python"]
            in_example = True
        elif in_example and not line.strip():
            lines.append("```")
            in_example = False
        code = re.sub(r"\s+# doctest: \+\w+$", "", line)
        lines.append(code if in_example else _inline(line))
    while lines and not lines[-1].strip():
        lines.pop()
    return [*lines, "```"] if in_example else lines


def _inline(text: str) -> str:
    """Return text as Markdown: code in single backticks, and no accidental markup."""
    text = re.sub(r":\w+:`([^`]+)`", r"``\1``", text)
    parts = re.split(r"(``.+?``)", text)
    return "".join(
        part[1:-1] if part.startswith("``") else re.sub(r"([<*])", r"\\\1", part) for part in parts
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    elif sys.argv[1:]:
        sys.exit(f"usage: {COMMAND}")
    else:
        sys.stdout.write(page())
