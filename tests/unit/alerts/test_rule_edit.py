"""rule_edit: rules are added to and taken out of a file, and everything else stays."""

from __future__ import annotations

import pytest

from htmlgraph_nb.alerts.alert_rule import DEFAULT_RULES
from htmlgraph_nb.alerts.rule_edit import add_rule, duration_of, remove_rule
from htmlgraph_nb.alerts.rule_file import parse_alert_file
from htmlgraph_nb.errors import ConfigError

FILE = """\
# My rules.
[[rule]]  # the first
kind = "waits"
for = "60s"

[[rule]]
name = "money"
kind = "budget"   # dollars
threshold = 5

[channels.phone]
type = "desktop"
# The end.
"""


def test_add_rule_appends_and_keeps_comments() -> None:
    """The text before stays as it is."""
    settings = {"kind": "waits", "for": "10s", "projects": ['s"h\\op'], "channels": ["phone"]}
    text, rule = add_rule(FILE, settings)
    assert text.startswith(FILE)
    assert (rule.name, rule.for_s, rule.projects) == ("waits-2", 10.0, ('s"h\\op',))
    assert len(parse_alert_file(text).rules) == 3


def test_add_rule_to_a_new_file_writes_the_defaults() -> None:
    """The first own rule does not end the default ones, except those of its kind."""
    text, _ = add_rule("", {"kind": "waits", "for": "60s"})
    rules = parse_alert_file(text).rules
    assert [rule.name for rule in rules] == ["cannot_work", "quota", "waits"]
    assert set(rules[:2]) <= set(DEFAULT_RULES)
    text, _ = add_rule('[channels.phone]\ntype = "desktop"', {"kind": "done"})
    assert len(parse_alert_file(text).rules) == 4


@pytest.mark.parametrize("settings", [{"kind": "budget"}, {"kind": "waits", "for": "soon"}])
def test_add_rule_refuses(settings: dict[str, str]) -> None:
    """An invalid rule is not written."""
    with pytest.raises(ConfigError, match="rule 3, "):
        add_rule(FILE, settings)


def test_remove_rule_keeps_the_rest() -> None:
    """Only the lines of the rule go."""
    text = remove_rule(FILE, "money")
    assert text == FILE.replace(
        '[[rule]]\nname = "money"\nkind = "budget"   # dollars\nthreshold = 5\n\n', ""
    )
    none = remove_rule(text, "waits")
    assert parse_alert_file(none).rules == ()
    assert "# The end." in none


def test_remove_rule_of_the_defaults() -> None:
    """A default rule is removed by writing down the others."""
    rules = parse_alert_file(remove_rule("", "quota")).rules
    assert [rule.name for rule in rules] == ["waits", "cannot_work"]


def test_remove_rule_refuses() -> None:
    """Unknown names are answered with the known ones; other forms of TOML with advice."""
    with pytest.raises(ConfigError, match="expected one of waits, money, got 'x'"):
        remove_rule(FILE, "x")
    with pytest.raises(ConfigError, match="edit it by hand"):
        remove_rule('rule = [{kind = "waits"}, {kind = "done"}]', "done")


@pytest.mark.parametrize(("seconds", "text"), [(90, "90s"), (300, "5m"), (7200, "2h"), (0, "0s")])
def test_duration_of(seconds: float, text: str) -> None:
    """Durations are written with the largest unit."""
    assert duration_of(seconds) == text
