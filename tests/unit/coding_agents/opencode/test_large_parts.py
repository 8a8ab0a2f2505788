"""part_of_head: what the start of a part says."""

from __future__ import annotations

from htmlgraph_nb.coding_agents.opencode.large_parts import part_of_head


def test_part_of_head_reads_the_names_before_the_content() -> None:
    """Type, tool, call and status come first."""
    head = '{"type":"tool","tool":"bash","callID":"c1","state":{"status":"completed","input":{"a":'
    row = part_of_head(head)
    values = [row[name] for name in ("type", "tool", "call", "status")]
    assert values == ["tool", "bash", "c1", "completed"]
    assert row["exit"] is None
    assert row["remote"] is False


def test_part_of_head_ignores_content_that_looks_like_names() -> None:
    """Input and output can contain anything."""
    row = part_of_head('{"type":"text","text":"\\"tool\\":\\"x\\"", "tool":"bash"')
    assert (row["type"], row["tool"]) == ("text", None)
    assert part_of_head("no JSON")["type"] is None
