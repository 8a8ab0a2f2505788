"""The page of all public names is complete and up to date."""

from __future__ import annotations

import re

import htmlgraph_nb
from tests.api_page import COMMAND, GROUPS, INTEGRATIONS, PAGE, page


def test_page_has_each_public_name_once() -> None:
    """Each name of the package is in one group."""
    names = [name for group in GROUPS.values() for name in group.split()]
    assert sorted(names) == sorted(set(htmlgraph_nb.__all__) - {"__version__"})


def test_page_is_up_to_date() -> None:
    """The file is what the command writes."""
    assert PAGE.read_text(encoding="utf-8") == page(), f"run {COMMAND}"


def test_page_is_plain_markdown() -> None:
    """Code blocks are closed, links lead to headings, no reStructuredText is left."""
    text = page()
    code = re.findall(r"^```(?:python)?$", text, re.M)
    assert code[::2] == ["```python"] * (len(code) // 2)
    assert set(code[1::2]) == {"```"}
    prose = re.sub(r"^```python\n.*?^```$", "", text, flags=re.M | re.S)
    assert "``" not in prose
    assert ">>>" not in prose
    headings = {line.lower() for line in re.findall(r"^### (\w+)$", prose, re.M)}
    assert set(re.findall(r"\(#(\w+)\)", prose)) == headings
    for name in (*" ".join(INTEGRATIONS.values()).split(), "AgentGrid", "burn_rate"):
        assert f"### {name}\n" in prose


def test_page_describes_arguments_and_examples() -> None:
    """An entry has the signature, the first sentence, the arguments and the example."""
    entry = re.search(r"^### tool_counts\n.*?(?=^### )", page(), re.M | re.S)
    assert entry is not None
    assert "    by: ColumnNames = ('agent_id',),\n" in entry[0]
    assert "\nReturn the number of tool calls" in entry[0]
    assert "- `normalize`: return the share" in entry[0]
    assert '>>> tool_counts(example(), by="tool_name")' in entry[0]
