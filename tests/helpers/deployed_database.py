"""PostgreSQL with a standby as the compose file starts them, but without containers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.helpers.paths import ROOT
from tests.helpers.ports import free_port
from tests.helpers.postgres import PASSWORD, unprivileged_user
from tests.helpers.postgres_folder import find_postgres
from tests.helpers.wait import wait_until

COMPOSE = ROOT / "server/deploy/compose"


class DeployedDatabase:
    """Primary and standby with the scripts and arguments of the compose file.

    Args:
        services: the services of the compose file.
    """

    def __init__(self, services: dict[str, Any]) -> None:
        # Below /tmp: the folders of pytest are open to its own user only.
        self.folder = Path(tempfile.mkdtemp(prefix="htmlgraph-deployed-"))
        self._user = None if os.geteuid() else unprivileged_user()
        for name in ("primary.sh", "standby.sh"):
            shutil.copy(COMPOSE / name, self.folder)
        if self._user is not None:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, self._user, -1)
        self.ports = {"primary": free_port(), "standby": free_port()}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environ = {
            "PATH": f"{find_postgres()}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "POSTGRES_USER": services["primary"]["environment"]["POSTGRES_USER"],
            "POSTGRES_DB": services["primary"]["environment"]["POSTGRES_DB"],
            "POSTGRES_PASSWORD": PASSWORD,
            "PGHOST": str(self.folder),
        }
        self._create()
        self._start("primary", services["primary"]["command"])
        self._start("standby", [self._script(part) for part in services["standby"]["command"]])

    def _script(self, part: str) -> str:
        return str(self.folder / part[1:]) if part.startswith("/") else part

    def _variables(self, name: str) -> dict[str, str]:
        return self._environ | {
            "PGDATA": str(self.folder / name),
            "PGPORT": str(self.ports[name]),
            "PRIMARY_HOST": "127.0.0.1",
            "PRIMARY_PORT": str(self.ports["primary"]),
        }

    def _create(self) -> None:
        """Create the database as the image does: trust on the socket, a password elsewhere."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self._user is not None:
            os.chown(password, self._user, -1)
        auth = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}"]
        self._run("initdb", f"--username={self._environ['POSTGRES_USER']}", *auth)
        socket_only = f"-c listen_addresses='' -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "start", "--wait", "--silent", f"--options={socket_only}")
        try:
            user, name = self._environ["POSTGRES_USER"], self._environ["POSTGRES_DB"]
            self._run("createdb", f"--username={user}", name)
            self._run("sh", str(self.folder / "primary.sh"))
        finally:
            self._run("pg_ctl", "stop", "--wait", "--silent")

    def _run(self, *command: str) -> None:
        with (self.folder / "log").open("ab+") as log:
            done = subprocess.run(
                command,
                user=self._user,
                cwd=self.folder,
                env=self._variables("primary"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
            log.seek(0)
            assert done.returncode == 0, (command, log.read().decode(errors="replace"))

    def _start(self, name: str, command: Sequence[str]) -> None:
        local = {
            "port": str(self.ports[name]),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
        }
        words = [word for key, value in local.items() for word in ("-c", f"{key}={value}")]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*command, *words],
                user=self._user,
                cwd=self.folder,
                env=self._variables(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self.is_ready(name), f"{name}: {self.log(name)}", 60)

    def log(self, name: str) -> str:
        """Return the last lines of the log of one of them."""
        return (self.folder / f"{name}.log").read_text()[-2_000:]

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.ports[name],
            user=self._environ["POSTGRES_USER"],
            dbname=self._environ["POSTGRES_DB"],
            password=PASSWORD,
            connect_timeout=2,
            autocommit=True,
        )

    def is_ready(self, name: str) -> bool:
        """Return whether one of them accepts connections."""
        try:
            self._connect(name).close()
        except psycopg.OperationalError:
            return False
        return True

    def is_synchronous(self) -> bool:
        """Return whether commits of the primary wait for the standby."""
        with self._connect("primary") as db:
            rows = db.execute("SELECT application_name, sync_state FROM pg_stat_replication")
            return ("standby", "sync") in rows.fetchall()

    def kill_primary(self) -> None:
        """Kill the primary, as if its machine had failed."""
        os.killpg(self._processes["primary"].pid, signal.SIGKILL)
        self._processes["primary"].wait()

    def promote_standby(self) -> None:
        """Make the standby the primary, by the command in the compose file."""
        done = subprocess.run(
            ["pg_ctl", "promote"],
            user=self._user,
            cwd=self.folder,
            env=self._variables("standby"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        """End both and remove their folder."""
        for process in self._processes.values():
            if process.poll() is None:
                os.kill(process.pid, signal.SIGQUIT)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
