"""A real PostgreSQL server of the tests: its own folder, port and user; fsync is on."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from tests.helpers.ports import free_port
from tests.helpers.postgres_folder import PostgresMissing, find_postgres
from tests.helpers.wait import wait_until

_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
max_connections = 200
shared_buffers = 32MB
fsync = on
log_min_messages = warning
wal_level = replica
max_wal_senders = 4
hot_standby = on
"""
_SET_DEATH_SIGNAL = 1
PASSWORD = "not-a-secret-7"


class PostgresServer:
    """A server of PostgreSQL; start it with ``start``, end it with ``stop``.

    Args:
        folder: an existing folder that its user can write; a database is created in it.
        copy_of: the server of which it is a standby; None: it is none.
        durable: see ``make_server``.
    """

    def __init__(
        self, folder: Path, copy_of: PostgresServer | None = None, *, durable: bool = True
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = None if os.geteuid() else unprivileged_user()
        if self._user is not None:
            os.chown(folder, self._user, -1)
        if copy_of is None:
            password = folder / "password"
            password.write_text(PASSWORD)
            if self._user is not None:
                os.chown(password, self._user, -1)
            options = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}", "-N"]
            self._run("initdb", "-D", str(self._data), "-E", "UTF8", "--locale=C.UTF-8", *options)
        else:
            url = copy_of.admin_url
            self._run("pg_basebackup", "-D", str(self._data), "-R", "-X", "stream", "-d", url)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS.format(port=self.port, folder=folder))
            file.write(f"synchronous_commit = {'on' if durable else 'off'}\n")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(find_postgres() / program), *arguments],
            user=self._user,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    @property
    def admin_url(self) -> str:
        """Address of the database of the administrator, with the password."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers."""
        deadline = time.monotonic() + 30
        while True:
            self._process = self._start()
            while self._process.poll() is None:
                if self.is_ready():
                    return
                assert time.monotonic() < deadline
                time.sleep(0.05)
            # After kill -9 it can refuse as long as the shared memory is in use.
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2_000:]

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(find_postgres() / "postgres"), "-D", str(self._data)],
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def is_ready(self) -> bool:
        """Return whether it accepts connections."""
        try:
            psycopg.connect(self.admin_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Kill all its processes, as if the machine had failed."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        wait_until(lambda: not self.is_ready())

    def pause(self) -> None:
        """Stop all its processes, as if the machine hung."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue after ``pause``."""
        self._signal(signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby the primary server."""
        with psycopg.connect(self.admin_url, autocommit=True) as db:
            db.execute("SELECT pg_promote()")

    def _signal(self, number: int) -> None:
        for pid in [*_children(self.pid), self.pid]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def stop_process(self) -> None:
        """End the server at once."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            os.kill(self.pid, signal.SIGQUIT)
            self._process.wait()

    def stop(self) -> None:
        """End the server and remove its folder."""
        self.stop_process()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_url(self) -> str:
        """Return the address of a new, empty store, with the password."""
        return f"{self.admin_url}?schema=t_{secrets.token_hex(6)}"


def _end_with_parent() -> None:
    """Have Linux end the server with the tests that started it, however these end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGQUIT)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def unprivileged_user() -> int:
    """Return the id of a user that may run PostgreSQL, which refuses root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise PostgresMissing("initdb refuses root, and there is no user nobody")


def make_server(*, durable: bool = True) -> PostgresServer:
    """Return a running server in a temporary folder.

    Args:
        durable: whether a commit waits for the disk; False is for tests in which nothing fails.
    """
    # Below /tmp: the folders of pytest are open to its own user only.
    folder = Path(tempfile.mkdtemp(prefix="htmlgraph-postgres-"))
    server = PostgresServer(folder, durable=durable)
    server.start()
    return server
