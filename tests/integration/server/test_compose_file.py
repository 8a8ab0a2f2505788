"""The services of the compose file, started as it says but without containers."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.helpers.deployed_database import DeployedDatabase
from tests.helpers.ports import free_port
from tests.helpers.postgres import PASSWORD
from tests.helpers.server_process import Server, running
from tests.helpers.wait import wait_until
from tests.integration.server.test_deploy_files import compose, read
from tests.integration.server.test_shared_database import (
    FLAGS,
    Dashboard,
    Sender,
    check_stored,
    run_all,
)
from tests.system import find_nginx

TOKEN = "token-of-the-compose-file"


class Front(Server):
    """The balancer, used as if it were one server."""

    def ws(self, path: str) -> str:
        """Return the WebSocket URL of a path, with the token."""
        return f"{super().ws(path)}{'&' if '?' in path else '?'}token={TOKEN}"


@pytest.fixture
def database() -> Iterator[DeployedDatabase]:
    """Primary and standby of the compose file."""
    started = DeployedDatabase(compose()["services"])
    yield started
    started.stop()


def address_of(database: DeployedDatabase) -> str:
    """Return the address in the compose file, with the hosts and ports of this machine."""
    address = str(compose()["services"]["server-1"]["environment"]["HTMLGRAPH_DB"])
    address = re.sub(r"\$\{POSTGRES_PASSWORD.*?\}", PASSWORD, address)
    for name, port in database.ports.items():
        address = re.sub(rf"(?<=[@,]){name}\b", f"127.0.0.1:{port}", address)
    return address


@contextlib.contextmanager
def balancer(folder: Path, servers: list[Server]) -> Iterator[Server]:
    """Run nginx with the file of the compose folder between the servers."""
    port = free_port()
    text = read("compose/nginx.conf").replace("listen 8000", f"listen 127.0.0.1:{port}")
    for number, server in enumerate(servers, 1):
        text = text.replace(f"server-{number}:8000", f"127.0.0.1:{server.port}")
    text = text.replace("/dev/stdout", str(folder / "access.log"))
    folder.mkdir(parents=True)
    path = folder / "nginx.conf"
    path.write_text(f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n{text}")
    program = find_nginx()
    assert program is not None, "run python3 -m tests once, which installs nginx"
    front = Front(folder, environ={"HTMLGRAPH_TOKEN": TOKEN})
    front.url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        with contextlib.suppress(OSError):
            return front.get("/api/status").status == 200
        return False

    with subprocess.Popen([program, "-p", str(folder), "-c", str(path)]) as process:
        try:
            wait_until(is_ready, "nginx", 30)
            yield front
        finally:
            process.terminate()


def test_compose_file_survives_the_end_of_its_primary(
    database: DeployedDatabase, tmp_path: Path
) -> None:
    """Through the balancer: what was acknowledged is on the promoted standby, once."""
    wait_until(database.is_synchronous, "the synchronous standby")
    url = address_of(database)
    environ = {"HTMLGRAPH_TOKEN": TOKEN, "HTMLGRAPH_DB": url}
    with (
        running(tmp_path / "one", "--db", url, *FLAGS, environ=environ) as one,
        running(tmp_path / "two", "--db", url, *FLAGS, environ=environ) as two,
        balancer(tmp_path / "nginx", [one, two]) as front,
    ):
        senders = [Sender([front], f"sender{number}") for number in range(2)]
        dashboard = Dashboard()

        def follow(until: threading.Event) -> None:
            while not until.is_set():
                # 502 while no server responds.
                with contextlib.suppress(InvalidStatus):
                    dashboard.follow(front, until)

        def during() -> None:
            wait_until(lambda: min(len(s.acknowledged) for s in senders) > 5, "a start", 60)
            database.kill_primary()
            database.promote_standby()
            counts = [len(sender.acknowledged) for sender in senders]
            wait_until(
                lambda: all(
                    len(sender.acknowledged) > count + 10
                    for sender, count in zip(senders, counts, strict=True)
                ),
                "events on the standby",
                60,
            )

        run_all([*(sender.run for sender in senders), follow], during)
        check_stored(url, senders, [one, two])
        assert dashboard.fulls >= 2, "the history of the promoted standby is another one"
        assert PASSWORD not in one.log() + two.log()
