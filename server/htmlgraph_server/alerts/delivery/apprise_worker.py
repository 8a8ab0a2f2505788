"""Sends alerts with the library apprise, in a child process of the server.

Standard input has one JSON object a line: ``urls``, ``title``, ``body``, ``severity``. The answer
to each is a line with a list of errors, one for each URL; "" if it was sent. The process can be
killed at any time, which no thread can, so that a service that never answers delays nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

MISSING = "the library apprise is not installed; run: pip install 'htmlgraph-nb[alerts]'"
INVALID = "apprise does not accept the address; see https://github.com/caronc/apprise/wiki"
_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}
_MAX_ERROR = 300
_HIDDEN = "***"


def redact_url(text: str, url: str) -> str:
    """Return a text without the parts of a URL, each of which may be a secret."""
    rest = url.partition("://")[2]
    parts = {part for part in re.split(r"[:/?#\[\]@!$&'()*+,;=\s]+", rest) if len(part) >= 3}
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(part, _HIDDEN)
    return text


def send_one(url: str, title: str, body: str, severity: str) -> str:
    """Send a notification to one URL and return the error; "" if it was sent."""
    try:
        import apprise
    except ImportError:
        return MISSING
    # Redirects could lead to another host.
    asset = apprise.AppriseAsset(app_id="htmlgraph-nb", http_redirects=False)
    service = apprise.Apprise(asset=asset)
    capture: Any = apprise.LogCapture
    try:
        with capture(level=logging.WARNING, fmt="%(message)s") as log:
            if not service.add(url):
                return INVALID
            sent = service.notify(
                body=body,
                title=title,
                notify_type=_TYPES.get(severity, "info"),
                body_format="text",
            )
            cause = " ".join(log.getvalue().split())
    except Exception as error:  # noqa: BLE001 - errors of any of its 100 services
        return redact_url(f"apprise: {type(error).__name__}: {error}", url)[:_MAX_ERROR]
    if sent:
        return ""
    return redact_url(f"apprise: {cause or 'it could not be sent'}", url)[:_MAX_ERROR]


def answer_lines(lines: Iterable[str]) -> Iterable[str]:
    """Yield the answer to each request."""
    for line in lines:
        request: dict[str, Any] = json.loads(line)
        errors = [
            send_one(url, request["title"], request["body"], request["severity"])
            for url in request["urls"]
        ]
        yield json.dumps(errors)


def main() -> int:
    """Answer the requests of standard input until it is closed."""
    # Ctrl-C in the server's terminal reaches this process, too; the server ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The first request does not wait for it.
    with contextlib.suppress(ImportError):
        import apprise  # noqa: F401
    # Services must not write to the pipe of the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for answer in answer_lines(sys.stdin):
        print(answer, file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
