"""The public names of the package: each resolves, is documented and is typed."""

from __future__ import annotations

import ast
import importlib

import pytest

import htmlgraph_nb
from tests.helpers.source import MODULES


@pytest.mark.parametrize("name", htmlgraph_nb.__all__)
def test_public_name_resolves(name: str) -> None:
    """Each public name is there, is listed by dir(), and is the object of its module."""
    assert name in dir(htmlgraph_nb)
    value = getattr(htmlgraph_nb, name)
    if name != "__version__":
        home = importlib.import_module(value.__module__)
        assert getattr(home, name) is value
        assert value.__doc__


def test_public_names_are_typed() -> None:
    """What is loaded on first use is declared to type checkers under the same names."""
    tree = ast.parse(MODULES["htmlgraph_nb"].read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    declared = {
        alias.asname
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared | {"__version__"} == set(htmlgraph_nb.__all__)


def test_unknown_public_name() -> None:
    """A name that the package does not have is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="'htmlgraph_nb' has no attribute 'AgentGird'"):
        htmlgraph_nb.AgentGird  # noqa: B018
