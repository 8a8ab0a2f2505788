"""A real Jupyter Server with the extension; same interface as the standalone server process."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.environ import jupyter_environ
from tests.helpers.server_files import server_file_path
from tests.helpers.server_process import Server

BASE_URL = "/user/ada/"
TOKEN = "jupyter-token"
DISABLED_EXTENSIONS = (
    "jupyterlab",
    "jupyter_lsp",
    "jupyter_server_terminals",
    "notebook",
    "notebook_shim",
)
"""Extensions that the tests do not need."""


class JupyterServer(Server):
    """One Jupyter Server process with base_url ``/user/ada/`` and a token.

    Args:
        home: data folder; Jupyter's own files are in ``jupyter`` below it.
        flags: settings as flags of ``htmlgraph-nb serve``, and additional arguments of Jupyter.
        environ: additional environment variables.
        db: the database; None: a new one in ``home``.

    Attributes:
        secret: the token in the server file.
    """

    faults = re.compile(r"Traceback|^\[E ", re.MULTILINE)

    def __init__(
        self,
        home: Path,
        *flags: str,
        environ: Mapping[str, str] | None = None,
        db: Path | None = None,
    ) -> None:
        super().__init__(home, environ=environ)
        self.token = TOKEN
        self.secret = ""
        self.db = db or self.db
        self.folder = home / "jupyter"
        self.arguments = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.base_url={BASE_URL}"),
            f"--ServerApp.root_dir={self.folder / 'notebooks'}",
            f"--HtmlgraphExtension.db_path={self.db}",
            *_traits(flags),
        ]
        if not any("IdentityProvider" in flag for flag in flags):
            self.arguments.append(f"--IdentityProvider.token={TOKEN}")

    def environment(self) -> dict[str, str]:
        """Return the environment of the process, without the user's own Jupyter files."""
        (self.folder / "notebooks").mkdir(parents=True, exist_ok=True)
        (self.folder / "config").mkdir(exist_ok=True)
        loaded = {**dict.fromkeys(DISABLED_EXTENSIONS, False), "htmlgraph_server": True}
        config = {"ServerApp": {"jpserver_extensions": loaded}}
        (self.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
        own = {"HTMLGRAPH_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        return jupyter_environ(self.folder, {**own, **self.environ})

    def printed_url(self) -> str:
        """Return the URL from the server file; "" while there is none."""
        assert self.process is not None
        assert self.process.poll() is None, f"Jupyter ended: {self.log()}"
        path = server_file_path(self.home, self.process.pid)
        if not path.exists():
            return ""
        record = json.loads(path.read_text())
        self.secret = record["token"]
        return str(record["url"])

    def ws(self, path: str) -> str:
        """Return the WebSocket URL of a path, with the token."""
        return f"{super().ws(path)}{'&' if '?' in path else '?'}token={self.token}"


def _traits(flags: tuple[str, ...]) -> Iterator[str]:
    """Yield flags such as ``--max-clients 2`` as traits of the extension."""
    rest = iter(flags)
    for flag in rest:
        if "=" in flag:
            yield flag
        else:
            name = flag.removeprefix("--").replace("-", "_")
            yield f"--HtmlgraphExtension.{name}={next(rest)}"


@contextmanager
def running_jupyter_server(
    home: Path, *flags: str, environ: Mapping[str, str] | None = None, db: Path | None = None
) -> Iterator[JupyterServer]:
    """Run a Jupyter Server; afterwards stop it and check its log for errors."""
    server = JupyterServer(home, *flags, environ=environ, db=db)
    try:
        yield server.start()
    finally:
        server.stop()
    server.check_log()
