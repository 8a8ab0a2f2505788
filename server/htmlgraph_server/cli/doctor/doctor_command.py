"""``htmlgraph-nb doctor``: checks the installation and says what is not seen and why."""

from __future__ import annotations

import argparse
import json
import os
from datetime import date, datetime

from htmlgraph_nb.client.agent_view import visible_text

from ..options import Print, add_server_options, rest_client
from ..text_table import paint
from .agent_checks import check_agents
from .system_checks import (
    check_data,
    check_environment,
    check_prices,
    check_server,
    check_versions,
    worst_status,
)

_COLOURS = {"ok": "active", "note": "waiting", "problem": "cannot_work"}


def configure_doctor(parser: argparse.ArgumentParser, out: Print) -> None:
    """Add the arguments of ``doctor``."""
    parser.description = (
        "Checks versions, data, server, prices, and of each coding agent session files and hooks. "
        "ok: works. --: something is not seen. !!: does not work; the exit status is 1 then. "
        "Below is what to type."
    )
    add_server_options(parser, "print a JSON array of the findings")
    parser.set_defaults(run=lambda arguments: _doctor(arguments, out))


def _doctor(arguments: argparse.Namespace, out: Print) -> int:
    findings = [
        *check_versions(),
        *check_environment(os.environ),
        *check_data(),
        *check_server(rest_client(arguments)),
        *check_prices(date.today()),
        *check_agents(os.environ, datetime.now().astimezone()),
    ]
    if arguments.json:
        out(json.dumps([finding.to_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            first, *more = map(visible_text, finding.lines())
            out(paint(first[:2], _COLOURS[finding.level]) + first[2:])
            for line in more:
                out(line)
    return worst_status(findings)
