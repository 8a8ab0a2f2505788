"""What a view can be set to, and what is said where it cannot."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given

import htmlgraph_nb
from htmlgraph_nb.errors import ConfigError
from htmlgraph_nb.widget import settings
from tests.helpers.strategies import json_values

CHECKS = {
    "view": settings.check_view,
    "sort": settings.check_sort,
    "group_by": settings.check_group,
    "columns": settings.check_columns,
    "selected": settings.check_selected,
    "filter": settings.check_filter,
}


@pytest.mark.parametrize(
    ("name", "given_value", "taken"),
    [
        ("view", "compact", "compact"),
        ("sort", None, "attention"),
        ("sort", "-tokens", "-tokens"),
        ("sort", "agent", "agent"),
        ("group_by", None, None),
        ("group_by", "", None),
        ("group_by", "model", "model"),
        ("columns", None, None),
        ("columns", ("agent", "cost"), ["agent", "cost"]),
        ("selected", None, None),
        ("selected", "claude-1", "claude-1"),
        ("filter", None, {}),
        ("filter", "  fix  ", {"text": "fix"}),
        ("filter", "", {}),
        ("filter", {"status": "idle"}, {"status": ["idle"]}),
        ("filter", {"status": {"waiting", "idle"}}, {"status": ["idle", "waiting"]}),
        ("filter", {"text": "", "host": []}, {}),
        ("filter", {"feature": ["", "f-1", "f-1"]}, {"feature": ["", "f-1"]}),
    ],
)
def test_what_fits_is_taken_in_its_one_form(name, given_value, taken):
    """Shorthands become lists, what says nothing is left out, and it is stable."""
    found = CHECKS[name](given_value)
    assert found == taken
    assert CHECKS[name](found) == taken


@pytest.mark.parametrize(
    ("name", "wrong", "text"),
    [
        (
            "view",
            "card",
            r"'card' \(did you mean 'cards'\?\), expected one of cards, table, compact",
        ),
        ("view", None, "view is null"),
        ("sort", "--cost", "expected one of attention, agent"),
        ("sort", 3, "sort is integer 3"),
        ("group_by", "tool", "expected one of status, feature, session, project, model"),
        ("columns", "agent", "expected a list of agent, status"),
        ("columns", ["agent", "agents"], "did you mean 'agent'"),
        ("columns", ["cost", "cost"], "'cost' twice"),
        ("columns", [], "empty"),
        ("columns", 5, "expected a list"),
        ("selected", "", "expected an agent's id"),
        ("selected", 7, "expected an agent's id"),
        ("filter", 5, "expected a text or a dict of"),
        ("filter", {"modle": "x"}, "did you mean 'model'"),
        ("filter", {"status": ["busy"]}, "expected one of active, idle, offline, waiting"),
        ("filter", {"model": 5}, "expected a list"),
        ("filter", {"model": [5]}, "expected texts"),
        ("filter", {"model": ["x"] * 257}, "at most 256"),
        ("filter", {"text": 5}, "filter text is integer 5"),
        ("filter", {"text": "x" * 257}, "at most 256 characters"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(name, wrong, text):
    """The text says what was seen and lists what is possible."""
    with pytest.raises(ConfigError, match=text):
        CHECKS[name](wrong)


@given(value=json_values)
def test_any_value_is_taken_or_refused_in_words(value):
    """A page can send whatever it likes."""
    for check in CHECKS.values():
        with suppress(ConfigError):
            check(value)


def test_the_front_end_has_the_same_names():
    """The lists of settings.js are those of Python, in the same order."""
    folder = Path(htmlgraph_nb.__file__).parent / "static" / "grid"
    text = (folder / "model/settings.js").read_text(encoding="utf-8")
    same = {
        "VIEW_NAMES": settings.VIEWS,
        "SORT_KEYS": settings.SORTS,
        "GROUP_KEYS": settings.GROUPS,
        "FILTER_KEYS": settings.FILTERS[1:],
        "COLUMNS": settings.COLUMNS,
    }
    for name, ours in same.items():
        (found,) = re.findall(rf"^export const {name} = \[([^\]]*)\];", text, re.M)
        assert tuple(re.findall(r'"([^"]+)"', found)) == ours, name
