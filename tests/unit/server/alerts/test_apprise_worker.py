"""The child process of apprise: its answers show no part of an address."""

from __future__ import annotations

import json

import pytest

from htmlgraph_server.alerts.delivery import apprise_worker
from htmlgraph_server.alerts.delivery.apprise_worker import answer_lines, redact_url


def test_redact_url_hides_each_part_of_the_address() -> None:
    """Also in decoded form."""
    url = "ntfys://user:p%40ss-word@ntfy.example.org/agents-4711?token=tk_1"
    text = "no route to ntfy.example.org: agents-4711 tk_1 p@ss-word p%40ss-word user"
    hidden = redact_url(text, url)
    for part in ("4711", "tk_1", "word", "user", "example"):
        assert part not in hidden


def test_answer_lines_has_an_error_for_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the addresses."""
    errors = {"a://1": "", "b://2": "refused"}
    monkeypatch.setattr(apprise_worker, "send_one", lambda url, *texts: errors[url])
    request = {"urls": ["a://1", "b://2"], "title": "t", "body": "b", "severity": "info"}
    assert [json.loads(line) for line in answer_lines([json.dumps(request)])] == [["", "refused"]]
