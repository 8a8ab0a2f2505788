"""Run time of the hook process, compared with a bare Python that imports json and http.client.

    python -m tests.benchmarks.hook [--runs 40] [--json]

Prints the median milliseconds of each case and the ratio to ``bare``. The cases take turns within a
run, so that a busy machine slows all of them. In ``sent`` a server on this machine accepts the
event, in ``spooled`` no server is listening. ``script`` starts the process as a console script
does, ``module`` is ``python -m``; ``empty`` is Python alone.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.helpers.paths import ROOT

PAYLOAD = ROOT / "tests/payloads" / "claude_hooks" / "post_tool_use.json"
SCRIPT = ["-c", "import sys; from htmlgraph_nb.hook import main; sys.exit(main())"]
MODULE = ["-m", "htmlgraph_nb.hook"]
BARE = ["-c", "import json, http.client"]
EMPTY = ["-c", "pass"]


class _AcceptAll(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Suppress the log."""


def time_once(arguments: list[str], url: str, home: str, stdin: bytes) -> float:
    """Return the seconds that a process takes."""
    environ = {**os.environ, "HTMLGRAPH_URL": url, "HTMLGRAPH_HOME": home}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], input=stdin, env=environ, check=True)
    return time.perf_counter() - start


def measure(runs: int) -> dict[str, float]:
    """Return the median milliseconds of each case.

    Args:
        runs: processes per case, after one for warm-up.
    """
    stdin = PAYLOAD.read_bytes()
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), _AcceptAll) as server,
        socket.create_server(("127.0.0.1", 0)) as closed,
        tempfile.TemporaryDirectory() as home,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        up = f"http://127.0.0.1:{server.server_address[1]}"
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        cases = {
            "empty": (EMPTY, up),
            "bare": (BARE, up),
            "sent (script)": (SCRIPT, up),
            "spooled (script)": (SCRIPT, down),
            "sent (module)": (MODULE, up),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        for run in range(runs + 1):
            for name, (arguments, url) in cases.items():
                seconds = time_once(arguments, url, home, stdin)
                if run:
                    times[name].append(seconds * 1000)
        server.shutdown()
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=40, help="processes per case (default 40)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    medians = measure(options.runs)
    ratios = {name: value / medians["bare"] for name, value in medians.items()}
    if options.json:
        print(json.dumps({"runs": options.runs, "median_ms": medians, "ratio": ratios}))
        return
    for name, value in medians.items():
        print(f"{name:18} {value:7.1f} ms  {ratios[name]:5.2f} × bare")


if __name__ == "__main__":
    main()
