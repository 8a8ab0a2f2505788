"""A real server process for tests, with its own folder, database and free port.

    with running(tmp_path / "home", "--max-clients", "2") as server:
        assert server.get("/api/status").status == 200
        with connect(server.ws("/ws/broadcasts")) as dashboard: ...

Tests use the fixtures ``serve`` and ``server`` of conftest.py, which stop the process.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.helpers.environ import clean_environ
from tests.helpers.wait import wait_until

START_S = 60.0
STOP_S = 20.0
REQUEST_S = 60.0


@dataclass(frozen=True)
class Response:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The ``error`` object of the body; the test fails if the body is not an error."""
        value = self.json()
        assert list(value) == ["error"], value
        error: dict[str, Any] = value["error"]
        assert list(error) == ["code", "message", "field"], error
        assert isinstance(error["code"], str)
        assert isinstance(error["message"], str)
        assert error["message"]
        assert error["field"] is None or isinstance(error["field"], str)
        return error


class Server:
    """One server process.

    Args:
        home: data folder (``HTMLGRAPH_HOME``), created if missing. A second server on the same
            folder uses the same database.
        flags: additional arguments of ``htmlgraph-nb COMMAND``, besides ``--port 0`` and ``--db``.
        command: ``serve`` or ``demo``.
        environ: additional environment variables; HTMLGRAPH_* variables are not inherited.

    Attributes:
        url: such as ``http://127.0.0.1:40123``; "" before the start.
        db: the database file.
        token: the value of ``--token``; ``request`` sends it by default.
    """

    faults = re.compile(r"Traceback|^\S+ \S+ (?:ERROR|CRITICAL) ", re.MULTILINE)
    """Text that must not be in the log of a server, whatever requests it received."""

    def __init__(
        self,
        home: Path,
        *flags: str,
        command: str = "serve",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.db = home / "test.db"
        self.url = ""
        self.environ = dict(environ or {})
        self.token = self.environ.get("HTMLGRAPH_TOKEN", "")
        if "--token" in flags:
            self.token = flags[flags.index("--token") + 1]
        self.log_path = home / f"log-{os.urandom(4).hex()}.txt"
        self.arguments = [sys.executable, "-m", "htmlgraph_server.cli", command]
        self.arguments += ["--port", "0", "--db", str(self.db), *flags]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        """Start the process and wait for the line with its URL."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment(),
            )
        self.url = wait_until(self.printed_url, "the server's line with its URL", START_S)
        return self

    def environment(self) -> dict[str, str]:
        """Return the environment of the process."""
        return clean_environ(self.home, self.environ)

    def printed_url(self) -> str:
        """Return the URL from its output; "" while it is not printed yet."""
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended: {self.log()}"
        match = re.search(r"^htmlgraph-nb \S+ at (\S+)  \(database: .*\)$", self.log(), re.M)
        return match[1] if match else ""

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def base(self) -> str:
        """The path below which its routes are; "" for the root."""
        return urlsplit(self.url).path

    def ws(self, path: str) -> str:
        """Return the WebSocket URL of a path."""
        return f"ws{self.url.removeprefix('http')}{path}"

    def log(self) -> str:
        """Return its output to stdout and stderr so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the process by a signal, after 20 s by SIGKILL, and return its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop; its log:\n{self.log()}") from None

    def kill(self) -> None:
        """Kill the process with SIGKILL, as in a crash."""
        self.stop(signal.SIGKILL)

    def check_log(self) -> None:
        """Fail if the log contains a traceback or an error."""
        match = self.faults.search(self.log())
        assert not match, f"the server's log has an error:\n{self.log()[-8_000:]}"

    # HTTP

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        token: bool = True,
    ) -> Response:
        """Send one request over a new connection.

        Args:
            path: path and query, already escaped.
            body: bytes or text are sent unchanged, an iterator of bytes is sent in chunks, other
                values as JSON; None: no body.
            token: send the server's token if it has one.
        """
        sent = {"Connection": "close"}
        if token and self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, bytes | str | Iterator):
            body = json.dumps(body)
            sent["Content-Type"] = "application/json"
        if isinstance(body, str):
            body = body.encode()
        sent.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_S)
        try:
            chunked = isinstance(body, Iterator)
            connection.request(method, self.base + path, body, sent, encode_chunked=chunked)
            response = connection.getresponse()
            content = response.read()
            pairs = response.getheaders()
            cookies = [value for name, value in pairs if name.lower() == "set-cookie"]
            header_map = {name.lower(): value for name, value in pairs}
            return Response(response.status, header_map, content, cookies)
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Response:
        """Send a GET; ``Accept_Language`` as a keyword is the header Accept-Language."""
        return self.request("GET", path, headers=_header_names(headers))

    def post(self, path: str, body: Any = None, **headers: str) -> Response:
        """Send a POST; see ``get`` and ``request``."""
        return self.request("POST", path, body, _header_names(headers))

    def send(self, agent_id: str, event_type: str = "tool_execute", **fields: Any) -> Response:
        """Report one event; the test fails unless it is accepted."""
        event = {"agent_id": agent_id, "event_type": event_type, **fields}
        response = self.post("/api/events", event)
        assert response.status == 200, response.text
        return response

    def presence(self) -> dict[str, dict[str, Any]]:
        """Return every agent's presence by agent_id."""
        return {agent["agent_id"]: agent for agent in self.get("/api/presence").json()["agents"]}


def _header_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def running(
    home: Path, *flags: str, command: str = "serve", environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server; afterwards stop it and check its log for errors."""
    server = Server(home, *flags, command=command, environ=environ)
    try:
        yield server.start()
    finally:
        server.stop()
    server.check_log()
