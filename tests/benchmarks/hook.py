"""Run time of the hook process, compared with a bare Python that imports json and http.client.

    python -m tests.benchmarks.hook [--runs 40] [--json]

Prints the median milliseconds of each case and the ratio to ``bare``. The cases take turns within a
run, so that a busy machine slows all of them. In ``sent`` a server on this machine accepts the
event, in ``spooled`` no server is listening. ``script`` starts the process as a console script
does, ``module`` is ``python -m``; ``empty`` is Python alone.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.benchmarks.process_times import Case, parse_options, print_ratios, time_process
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


def main() -> None:
    """Measure and print."""
    options = parse_options(__doc__)
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

        def case(arguments: list[str], url: str) -> Case:
            environ = {"HTMLGRAPH_URL": url, "HTMLGRAPH_HOME": home}
            return lambda _: time_process([sys.executable, *arguments], stdin, environ)

        cases = {
            "empty": case(EMPTY, up),
            "bare": case(BARE, up),
            "sent (script)": case(SCRIPT, up),
            "spooled (script)": case(SCRIPT, down),
            "sent (module)": case(MODULE, up),
        }
        print_ratios(cases, "bare", options)
        server.shutdown()


if __name__ == "__main__":
    main()
