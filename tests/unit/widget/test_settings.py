"""The settings of a grid: valid values, their normal form, and the errors for others."""

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
    ("name", "value", "normalized"),
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
def test_settings_are_normalized(name, value, normalized):
    """Shorthands become lists, empty values are omitted, and the result is stable."""
    checked = CHECKS[name](value)
    assert checked == normalized
    assert CHECKS[name](checked) == normalized


@pytest.mark.parametrize(
    ("name", "wrong", "text"),
    [
        (
            "view",
            "card",
            r"expected one of cards, table, compact, got 'card' \(did you mean 'cards'\?\)",
        ),
        ("view", None, "view: expected one of .*, got null"),
        ("sort", "--cost", "expected one of attention, agent"),
        ("sort", 3, "sort: expected one of .*, got 3"),
        ("group_by", "tool", "expected one of status, feature, session, project, branch"),
        ("columns", "agent", "expected a list of status, agent"),
        ("columns", ["agent", "agents"], "did you mean 'agent'"),
        ("columns", ["cost", "cost"], "'cost' is listed twice"),
        ("columns", [], "an empty list"),
        ("columns", 5, "expected a list"),
        ("selected", "", "expected an agent id or None"),
        ("selected", 7, "expected an agent id or None"),
        ("filter", 5, "expected a string or a dict of"),
        ("filter", {"modle": "x"}, "did you mean 'model'"),
        (
            "filter",
            {"status": ["busy"]},
            "expected one of waiting, cannot_work, done",
        ),
        ("filter", {"model": 5}, "expected a list"),
        ("filter", {"model": [5]}, "expected strings"),
        ("filter", {"model": ["x"] * 257}, "at most 256"),
        ("filter", {"text": 5}, "filter text: .*, got 5"),
        ("filter", {"text": "x" * 257}, "at most 256 characters"),
    ],
)
def test_settings_reject_invalid_values(name, wrong, text):
    """The message contains the value and lists the valid ones."""
    with pytest.raises(ConfigError, match=text):
        CHECKS[name](wrong)


@given(value=json_values)
def test_settings_accept_any_value_or_raise_config_error(value):
    """A page can send anything."""
    for check in CHECKS.values():
        with suppress(ConfigError):
            check(value)


def test_settings_match_those_of_the_front_end():
    """The lists of settings.js are those of Python, in the same order."""
    folder = Path(htmlgraph_nb.__file__).parent / "static" / "grid"
    text = (folder / "model/settings.js").read_text(encoding="utf-8")
    same = {
        "VIEW_NAMES": settings._VIEWS,
        "SORT_KEYS": settings._SORTS,
        "GROUP_KEYS": settings._GROUPS,
        "FILTER_KEYS": settings._FILTERS[1:],
        "COLUMNS": settings._COLUMNS,
    }
    for name, expected in same.items():
        (listed,) = re.findall(rf"^export const {name} = \[([^\]]*)\];", text, re.M)
        assert tuple(re.findall(r'"([^"]+)"', listed)) == expected, name


def test_check_names_rejects_an_unknown_argument():
    """traitlets would silently ignore it."""
    settings.check_names(["view", "layout"], ["view", "layout", "sort"])
    with pytest.raises(ConfigError, match=r"^sorting: .* \(did you mean 'sort'\?\)$"):
        settings.check_names(["sort", "sorting"], ["view", "layout", "sort"])


def test_grids_reject_an_unknown_argument():
    """Both kinds, before they connect or load anything."""
    with pytest.raises(ConfigError, match=r"^group: .* 'group_by'"):
        htmlgraph_nb.AgentGrid(group="status")
    with pytest.raises(ConfigError, match=r"^column: .* 'columns'"):
        htmlgraph_nb.AgentGrid.replay(None, column=["agent"])
