"""Why an agent cannot work, and until when, is read from errors; their texts are not kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb.coding_agents.failures import (
    after_ms,
    failure_extra,
    kind_of_status,
    limit_of,
    reports_limit,
    reset_time,
    retry_extra,
)
from htmlgraph_nb.core.validation import validate_extra

AT = datetime(2026, 9, 11, 14, 28, tzinfo=UTC)
LIMIT = "You've hit your session limit · resets 6:30pm (Europe/Dublin)"


@pytest.mark.parametrize(
    ("text", "zone", "end"),
    [
        (LIMIT, None, "2026-09-11T17:30"),
        ("You've hit your limit · resets 12am (UTC)", None, "2026-09-12T00:00"),
        ("You've hit your limit · resets 2pm (UTC)", None, "2026-09-12T14:00"),
        (
            "You've hit your weekly limit · resets Feb 3 at 10am (America/Los_Angeles)",
            None,
            "2027-02-03T18:00",
        ),
        ("Weekly limit reached ∙ resets Oct 6, 1pm (UTC)", None, "2026-10-06T13:00"),
        ("Claude AI usage limit reached|1760000000", None, "2025-10-09T08:53"),
        (
            "You've hit your usage limit. Try again at Nov 8th, 2026 8:16 AM.",
            "Europe/Berlin",
            "2026-11-08T07:16",
        ),
        ("You've hit your usage limit. try again at 12:16 PM.", "UTC", "2026-09-12T12:16"),
        (
            "You have exhausted your capacity on this model. Your quota will reset after 20h6m40s.",
            None,
            "2026-09-12T10:34",
        ),
        ("You've hit your usage limit. Try again in 3 days 4 hours.", None, "2026-09-14T18:28"),
    ],
)
def test_reset_time_of_the_messages_of_agents(text: str, zone: str | None, end: str) -> None:
    """Every known form of a limit message is recognized, with its end."""
    assert reports_limit(text)
    when = reset_time(text, AT, zone)
    assert when is not None
    assert when.isoformat().startswith(end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "resets 6pm",
        "5-hour limit reached ∙ resets 3am",
        "resets 25pm (UTC)",
        "resets 3pm (../../etc/passwd)",
        "resets 3pm (Mars/Olympus)",
        "resets Feb 31 at 3pm (UTC)",
        "resets Foo 3 at 3pm (UTC)",
        "limit reached|9999999999",
        "resets after a while",
        None,
        7,
    ],
)
def test_reset_time_is_unknown(text: object) -> None:
    """A time without a zone, an impossible time or no time at all is unknown."""
    assert reset_time(text, AT) is None


@pytest.mark.parametrize(
    "text", ["The tests hit the limit of my patience", "limited", "quota", None, ["limit reached"]]
)
def test_reports_limit_ignores_other_texts(text: object) -> None:
    """Only the messages of agents report a limit."""
    assert not reports_limit(text)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "signed_out"),
        (402, "account_on_hold"),
        (403, "signed_out"),
        (429, "rate_limited"),
        (500, "overloaded"),
        (529, "overloaded"),
        (200, None),
        (400, None),
        (600, None),
        (None, None),
    ],
)
def test_kind_of_status(status: int | None, kind: str | None) -> None:
    """HTTP statuses that keep an agent from working have a kind."""
    assert kind_of_status(status) == kind


def test_failure_extra_keeps_kind_and_end() -> None:
    """A limit in the text makes a rate limit a usage limit; other kinds stay as they are."""
    until = "2026-09-11T17:30:00.000000Z"
    usage_limit = {"cannot_work": "usage_limited", "until": until}
    assert failure_extra("rate_limited", LIMIT, AT) == usage_limit
    assert failure_extra(None, LIMIT, AT) == usage_limit
    assert failure_extra("signed_out", LIMIT, AT) == {"cannot_work": "signed_out"}
    assert failure_extra("rate_limited", "slow down", AT) == {"cannot_work": "rate_limited"}
    assert failure_extra(None, "a bug", AT) == {}


def test_retry_extra_leaves_out_what_is_unknown() -> None:
    """A failure without a kind is one of the provider."""
    assert retry_extra(None, "x", -1, None) == {"cannot_work": "overloaded"}
    until = after_ms(AT, 535.2)
    assert retry_extra("rate_limited", 2, 10, until) == {
        "cannot_work": "rate_limited",
        "attempt": 2,
        "max_attempts": 10,
        "until": "2026-09-11T14:28:00.535200Z",
    }


@pytest.mark.parametrize("delay", [None, "5", -1, 1e300, 2**60, float("nan"), True])
def test_after_ms_is_unknown(delay: object) -> None:
    """Anything but a possible delay is unknown."""
    assert after_ms(AT, delay) is None


def test_limit_of_texts_takes_precedence() -> None:
    """The sender's own facts count only if there is no text."""
    until = "2026-09-11T17:30:00.000000Z"
    assert limit_of([None, LIMIT], None, None, AT) == {"usage_limited": True, "until": until}
    assert limit_of([], True, until, AT) == {"usage_limited": True, "until": until}
    assert limit_of([], True, "later", AT) == {"usage_limited": True}
    assert limit_of(["x"], "yes", until, AT) == {}


_TEXT = st.one_of(
    st.text(max_size=80),
    st.from_regex(
        r"(resets?|try again) (at |after |in )?[A-Z][a-z]{2} \d{1,3},? \d{1,3}(am|pm) \(\w+\)"
    ),
    st.from_regex(r"limit reached\|\d{9,12}"),
    st.from_regex(r"(resets|try again) (after|in) \d{1,9} ?[dhms]\d{0,9}[hms]?"),
)


@settings(max_examples=500)
@given(text=_TEXT, zone=st.one_of(st.none(), st.text(max_size=20), st.integers()))
def test_failure_extra_accepts_any_text(text: str, zone: Any) -> None:
    """No text raises, and the result is valid and contains none of it."""
    extra = failure_extra("usage_limited", text, AT, zone)
    assert validate_extra(extra, "extra") == extra
    assert set(extra) <= {"cannot_work", "until"}
    assert len(extra.get("until", "")) in (0, 27)
