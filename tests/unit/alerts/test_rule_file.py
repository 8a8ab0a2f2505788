"""rule_file: the rules, channels and quiet hours of a file, and its errors."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from htmlgraph_nb.alerts.alert_rule import DEFAULT_RULES, RULE_KINDS
from htmlgraph_nb.alerts.rule_file import parse_alert_file, read_alert_file, seconds_of
from htmlgraph_nb.alerts.silence import FOREVER
from htmlgraph_nb.errors import ConfigError

FULL = """
tz = "Europe/Paris"
muted_until = 2026-12-24T12:00:00Z

[[rule]]
kind = "waits"
for = "60s"
projects = "shop"
channels = ["phone", "browser"]

[[rule]]
name = "day"
kind = "budget"
threshold = 20
by = "project"
period = "week"
unit = "tokens"
cooldown = "1h"
severity = "critical"
send_resolved = true

[quiet]
from = "22:00"
to = 07:00:00

[channels.phone]
type = "webhook"
url = "https://example.org/x"
"""


def test_parse_alert_file_reads_all_settings() -> None:
    """A full file gives rules with defaults of their kind, channels, quiet hours and the mute."""
    content = parse_alert_file(FULL)
    waits, budget = content.rules
    assert (waits.name, waits.for_s, waits.projects) == ("waits", 60.0, ("shop",))
    assert (waits.channels, waits.cooldown_s) == (("phone", "browser"), 300.0)
    assert (budget.name, budget.threshold, budget.period, budget.unit) == (
        *("day", 20.0, "week", "tokens"),
    )
    assert (budget.cooldown_s, budget.severity, budget.send_resolved) == (3_600.0, "critical", True)
    assert content.muted_until == datetime(2026, 12, 24, 12, tzinfo=UTC)
    assert content.quiet is not None
    assert (content.quiet.start, content.quiet.end) == (time(22), time(7))
    assert str(content.zone) == "Europe/Paris"
    assert list(content.channels) == ["phone"]


def test_quiet_hours_pass_midnight_in_their_zone() -> None:
    """Quiet hours are local, and critical alerts are sent all the same."""
    silence = parse_alert_file('tz = "Europe/Paris"\n[quiet]\nfrom = "22:00"\nto = "07:00"').silence
    night = datetime(2026, 11, 30, 21, 30, tzinfo=UTC)
    assert silence(None).silences("warning", night)
    assert not silence(None).silences("critical", night)
    assert not silence(None).silences("warning", night.replace(hour=20))
    assert silence(FOREVER).silences("critical", night)


def test_parse_alert_file_without_rules_has_the_defaults() -> None:
    """Only an own list of rules replaces the defaults; names of rules are made up."""
    assert parse_alert_file("").rules == DEFAULT_RULES
    assert parse_alert_file("rule = []").rules == ()
    double = parse_alert_file('[[rule]]\nkind = "done"\n[[rule]]\nkind = "done"')
    assert [rule.name for rule in double.rules] == ["done", "done-2"]
    assert parse_alert_file("muted = true").muted_until == FOREVER


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "invalid TOML: "),
        ('[[rule]]\nkind = "wait"', "rule 1, kind: expected one of waits, done, "),
        ("[[rule]]", "rule 1, kind: expected one of "),
        ("[[rule]]\nkind = []", "rule 1, kind: expected one of "),
        (f"[[rule]]\nkind = 'waits'\nfor = {10**400}", "rule 1, for: expected a duration such as"),
        ("muted_until = 0001-01-01T00:00:00+14:00", "muted_until: expected a year until 9998"),
        (f"muted = {'[' * 5_000}", "invalid TOML: nested too deeply"),
        (
            '[[rule]]\nkind = "done"\n[[rule]]\nkind = "waits"\nfor = "soon"',
            "rule 2, for: expected a duration such as \"30s\", got 'soon'",
        ),
        ('[[rule]]\nkind = "waits"\nfor = -1', 'rule 1, for: expected a duration such as "30s"'),
        (
            '[[rule]]\nkind = "waits"\ncooldwn = 1',
            "rule 1, unknown setting 'cooldwn'; did you mean 'cooldown'?",
        ),
        (
            '[[rule]]\nkind = "budget"',
            "rule 1, threshold: missing, expected the US dollars or tokens",
        ),
        (
            '[[rule]]\nkind = "waits"\nthreshold = 3',
            "rule 1, threshold: a rule of the kind waits has none",
        ),
        ('[[rule]]\nkind = "quota"\nthreshold = "9"', "rule 1, threshold: expected a number > 0"),
        (
            '[[rule]]\nkind = "waits"\nchannels = ["fone"]',
            "rule 1, channels: expected some of browser, jupyter, got 'fone'",
        ),
        (
            '[[rule]]\nkind = "done"\nname = "a"\n[[rule]]\nkind = "waits"\nname = "a"',
            "rule 2, name: expected another name, 'a' is a rule already",
        ),
        (
            '[[rule]]\nkind = "waits"\nby = "project"',
            "rule 1, by: only for rules of the kind budget",
        ),
        (
            '[[rule]]\nkind = "budget"\nthreshold = 1\nby = "agent"\nperiod = "day"',
            "rule 1, period: a budget by agent has none",
        ),
        ("rule = 3", "rule: expected at most 200 tables such as [[rule]]"),
        ("rules = []", "unknown setting 'rules'; did you mean 'rule'?"),
        ('tz = "Europe/Pari"', 'tz: expected a time zone such as "Europe/Paris", got'),
        ('[quiet]\nfrom = "25:00"', "quiet, from: expected a time such as \"22:00\", got '25:00'"),
        ('[quiet]\nfrom = "22:00"', 'quiet, to: expected a time such as "22:00", got null'),
        ("muted = 1", "muted: expected true or false, got 1"),
        ('muted_until = "x"', "muted_until: expected a time such as 2026-12-24T12:00:00Z, got"),
        ("[channels.x]", "channels.x.type: expected one of "),
    ],
)
def test_parse_alert_file_names_the_error(text: str, message: str) -> None:
    """Each error says where it is, what was expected and what was seen."""
    with pytest.raises(ConfigError) as caught:
        parse_alert_file(text)
    assert str(caught.value).startswith(message)


def test_read_alert_file(tmp_path: Path) -> None:
    """A missing file has the defaults; errors begin with the name of the file."""
    path = tmp_path / "alerts.toml"
    assert read_alert_file(str(path)).rules == DEFAULT_RULES
    path.write_text('[[rule]]\nkind = "?"')
    with pytest.raises(ConfigError, match=r"^alerts.toml: rule 1, kind: expected one of"):
        read_alert_file(str(path))
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"^alerts.toml: expected UTF-8"):
        read_alert_file(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_alert_file(str(tmp_path))


def test_seconds_of() -> None:
    """Durations have a unit, or are seconds."""
    assert [seconds_of(text) for text in ("30s", "1.5m", "2h", "1d", 7)] == [
        *(30.0, 90.0, 7_200.0, 86_400.0, 7.0)
    ]


@pytest.mark.parametrize("kind", RULE_KINDS)
def test_rule_kinds_can_be_written(kind: str) -> None:
    """Each kind needs at most a threshold."""
    needed = RULE_KINDS[kind].threshold and RULE_KINDS[kind].default is None
    text = f'[[rule]]\nkind = "{kind}"\n' + ("threshold = 5" if needed else "")
    (rule,) = parse_alert_file(text).rules
    assert rule.kind == kind
