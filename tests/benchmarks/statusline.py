"""Run time of htmlgraph-statusline, compared with a bare start of Python.

    python -m tests.benchmarks.statusline [--runs 40] [--json]

Prints the median milliseconds of each case and the ratio to ``empty``, which is ``python -c pass``.
The cases take turns within a run, so that a busy machine slows all of them. ``same`` has nothing
new to report, as at most updates; ``news`` reports at each call; ``chained`` also runs a command
of the user, which ``command`` runs alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from tests.helpers.paths import ROOT

STATUS = ROOT / "tests/payloads" / "claude_statusline" / "full.json"
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


def time_command(arguments: list[str], home: str, stdin: bytes) -> float:
    """Return the seconds that a process takes."""
    environ = {**os.environ, "HTMLGRAPH_HOME": home}
    start = time.perf_counter()
    subprocess.run(arguments, input=stdin, env=environ, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def medians_of(runs: int) -> dict[str, float]:
    """Return the median milliseconds of each case.

    Args:
        runs: processes per case, after one for warm-up.
    """
    status = json.loads(STATUS.read_bytes())
    times: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as home:
        for run in range(runs + 1):
            for name, arguments in CASES.items():
                if name == "news":
                    usage = status["context_window"]["current_usage"]
                    own = {**status, "session_id": "news"}
                    own["context_window"] = {
                        **status["context_window"],
                        "current_usage": {**usage, "input_tokens": run},
                    }
                    stdin = json.dumps(own).encode()
                else:
                    stdin = json.dumps(status).encode()
                seconds = time_command(arguments, home, stdin)
                if run:
                    times[name].append(seconds * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=40, help="processes per case (default 40)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    medians = medians_of(options.runs)
    ratios = {name: value / medians["empty"] for name, value in medians.items()}
    if options.json:
        print(json.dumps({"runs": options.runs, "median_ms": medians, "ratio": ratios}))
        return
    for name, value in medians.items():
        print(f"{name:10} {value:7.1f} ms  {ratios[name]:5.2f} × empty")


if __name__ == "__main__":
    main()
