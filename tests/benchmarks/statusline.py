"""Run time of htmlgraph-statusline, compared with a bare start of Python.

    python -m tests.benchmarks.statusline [--runs 40] [--json]

Prints the median milliseconds of each case and the ratio to ``empty``, which is ``python -c pass``.
The cases take turns within a run, so that a busy machine slows all of them. ``same`` has nothing
new to report, as at most updates; ``news`` reports at each call; ``chained`` also runs a command
of the user, which ``command`` runs alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

from tests.benchmarks.process_times import Case, parse_options, print_ratios, time_process
from tests.helpers.paths import ROOT

STATUS: dict[str, Any] = json.loads(
    (ROOT / "tests/payloads" / "claude_statusline" / "full.json").read_bytes()
)
COMMAND = "cat > /dev/null; printf 'my line'"
SCRIPT = [
    sys.executable,
    "-c",
    "import sys; from htmlgraph_nb.hook.statusline import main; sys.exit(main())",
]
CASES = {
    "empty": [sys.executable, "-c", "pass"],
    "same": SCRIPT,
    "news": SCRIPT,
    "command": ["/bin/sh", "-c", COMMAND],
    "chained": [*SCRIPT, "--run", COMMAND],
}


def news(run: int) -> dict[str, Any]:
    """Return a status whose context differs in each run."""
    window = STATUS["context_window"]
    usage = {**window["current_usage"], "input_tokens": run}
    context = {**window, "current_usage": usage}
    return {**STATUS, "session_id": "news", "context_window": context}


def main() -> None:
    """Measure and print."""
    options = parse_options(__doc__)
    with tempfile.TemporaryDirectory() as home:

        def case(name: str) -> Case:
            def run_once(run: int) -> float:
                stdin = json.dumps(news(run) if name == "news" else STATUS).encode()
                environ = {"HTMLGRAPH_HOME": home}
                return time_process(CASES[name], stdin, environ, subprocess.DEVNULL)

            return run_once

        print_ratios({name: case(name) for name in CASES}, "empty", options)


if __name__ == "__main__":
    main()
