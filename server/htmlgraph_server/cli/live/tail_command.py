"""``htmlgraph-nb tail``: events as they are reported, as lines of text or JSON."""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from htmlgraph_nb.client.agent_view import compact_count, short_agent_id, visible_text
from htmlgraph_nb.client.rest import Rest
from htmlgraph_nb.core.ids import is_in_project
from htmlgraph_nb.core.model import TOKEN_FIELDS
from htmlgraph_nb.core.protocol import Cursor
from htmlgraph_nb.errors import ConnectError, ServerRefused
from htmlgraph_nb.local_zone import local_zone_name

from ..agent_match import matching_agent
from ..options import Print, add_server_options, count_type, rest_client
from ..text_table import fit, paint

_POLL_S = 0.5
_RETRY_S = 2.0
_PAGE = 1_000
_MAX_LINES = 10_000
_WIDTHS = (8, 18, 16, 18, 16)
_ERROR_TYPES = ("error", "tool_error")


def configure_tail(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``tail``."""
    parser.description = (
        "Prints the last events that agents reported, and then new ones as they come, until "
        "Ctrl-C. Times are local."
    )
    parser.add_argument(
        "agent", nargs="*", metavar="AGENT", help="only this agent: a part of its id or title"
    )
    parser.add_argument(
        *("-n", "--lines"),
        type=count_type(0, _MAX_LINES),
        default=10,
        metavar="N",
        help=f"past events to begin with, up to {_MAX_LINES} (default: 10)",
    )
    parser.add_argument(
        "--no-follow", action="store_true", help="end after the past events, do not wait for more"
    )
    parser.add_argument(
        *("--type", "--event-type"),
        dest="event_type",
        action="append",
        metavar="TYPE",
        help="only events of this type, such as tool_execute; can be repeated",
    )
    parser.add_argument(
        "--tool", action="append", metavar="TOOL", help="only calls of this tool; can be repeated"
    )
    parser.add_argument(
        "--project", action="append", metavar="NAME", help="only this project; can be repeated"
    )
    parser.add_argument("--errors", action="store_true", help="only errors")
    add_server_options(parser, "print each event as a line of JSON, with all its fields")
    parser.set_defaults(run=lambda arguments: _tail(arguments, out))


def _tail(arguments: argparse.Namespace, out: Print) -> int:
    rest = rest_client(arguments)
    filters = _filters(arguments, rest)
    day = ""
    for event in _events(rest, filters, arguments):
        if arguments.json:
            out(json.dumps(event))
        else:
            at = _local(event)
            if at is not None and f"{at:%Y-%m-%d}" != day:
                day = f"{at:%Y-%m-%d}"
                out(paint(f"{day}, times in {local_zone_name()}", "dim"))
            out(event_line(event, at))
        sys.stdout.flush()
    return 0


def _filters(arguments: argparse.Namespace, rest: Rest) -> list[tuple[str, str]]:
    """Return the parameters of ``GET /api/history`` that select the events."""
    agents = rest.presence().values() if arguments.agent else []
    return [
        *(("agent", matching_agent(text, agents)) for text in arguments.agent),
        *(("event_type", name) for name in arguments.event_type or ()),
        *(("tool", name) for name in arguments.tool or ()),
    ]


def _is_wanted(event: Mapping[str, Any], arguments: argparse.Namespace) -> bool:
    """Return whether an event passes the filters that are not sent to the server."""
    project, cwd = event.get("project"), event.get("cwd")
    if arguments.project and not any(
        is_in_project(name, project, cwd) for name in arguments.project
    ):
        return False
    is_error = event.get("status") == "error" or event.get("event_type") in _ERROR_TYPES
    return is_error or not arguments.errors


def _events(
    rest: Rest, filters: list[tuple[str, str]], arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the past events that are wanted, the oldest first, then new ones."""
    cursor = Cursor.parse(rest.status_report()["cursor"])
    past = []
    if arguments.lines:
        for event in rest.history([*filters, ("order", "desc")], _MAX_LINES, _PAGE):
            if event["seq"] <= cursor.seq and _is_wanted(event, arguments):
                past.append(event)
            if len(past) == arguments.lines:
                break
    yield from reversed(past)
    while not arguments.no_follow:
        try:
            path = f"/api/history?{urlencode([*filters, ('cursor', cursor), ('limit', _PAGE)])}"
            page = rest.call("GET", path)
        except ServerRefused as error:
            if error.code != "other_epoch":
                raise
            # The server has another database now; its past events are of no interest.
            cursor = Cursor.parse(rest.status_report()["cursor"])
        except ConnectError:
            _wait_for_server(rest)
        else:
            yield from (event for event in page["events"] if _is_wanted(event, arguments))
            cursor = Cursor.parse(page["cursor"])
            if not page["more"]:
                _wait_for_reader(_POLL_S)


def _wait_for_reader(seconds: float) -> None:
    """Wait; raise BrokenPipeError at once if the reader of the output ends meanwhile."""
    if not hasattr(select, "poll"):
        time.sleep(seconds)
        return
    poll = select.poll()
    # Only errors are reported, and a terminal or file has none.
    poll.register(sys.stdout.fileno(), 0)
    if poll.poll(seconds * 1_000):
        raise BrokenPipeError


def _wait_for_server(rest: Rest) -> None:
    url = rest.server.address.url
    sys.stderr.write(f"htmlgraph-nb tail: {url} does not respond, trying again…\n")
    while True:
        _wait_for_reader(_RETRY_S)
        try:
            rest.status_report()
        except ServerRefused:
            raise
        except ConnectError:
            continue
        return


def _local(event: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(event["timestamp"])).astimezone()
    except (KeyError, ValueError, OverflowError):
        return None


def event_line(event: Mapping[str, Any], at: datetime | None) -> str:
    """Return an event as one line: time, agent, project, type, tool, and what is known of it.

    Args:
        at: its time in the zone to show; None: unknown.
    """
    texts = (
        "" if at is None else f"{at:%H:%M:%S}",
        short_agent_id(str(event.get("agent_id") or "")),
        str(event.get("project") or ""),
        str(event.get("event_type") or ""),
        str(event.get("tool_name") or ""),
    )
    cells = [fit(visible_text(text), width) for text, width in zip(texts, _WIDTHS, strict=True)]
    line = f"{'  '.join(cells)}  {_facts(event)}".rstrip()
    return paint(line, "cannot_work") if event.get("status") == "error" else line


def _facts(event: Mapping[str, Any]) -> str:
    tokens = event.get("cost_tokens") or sum(event.get(name) or 0 for name in TOKEN_FIELDS)
    duration = event.get("duration_ms")
    facts = (
        "error" if event.get("status") == "error" else "",
        "" if duration is None else _seconds(duration),
        f"{compact_count(tokens)} tokens" if tokens else "",
        str(event.get("model") or "") if tokens else "",
        str(event.get("agent_reason") or "") if event.get("agent_attention") else "",
    )
    return ", ".join(visible_text(fact) for fact in facts if fact)


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:.1f} s"
