"""The Jupyter Server extension: the same routes under ``<base_url>/htmlgraph/``, on Jupyter's loop.

Jupyter Server imports this at every start, so it loads next to nothing: the handlers come with the
first request, and the database is opened for the first one that is let in.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from tornado import httputil, web
from tornado.routing import PathMatches, Router, Rule
from traitlets import TraitType

from htmlgraph_nb.paths import spool_path

from ..config import SETTINGS, Config, Setting, config_of
from ..server_file import remove_server_file, write_server_file

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from ..lifecycle import Lifecycle
    from ..service import Service

PATH = "/htmlgraph"
_EVERYWHERE = ("", "0.0.0.0", "::", "localhost")  # noqa: S104
_LISTENERS = frozenset({"host", "port", "token", "allow_origins", "allow_hosts"})
_TRAITS = {
    "db_path" if setting.name == "db" else setting.name: setting
    for setting in SETTINGS
    if setting.name not in _LISTENERS
}
"""The setting of each trait; who may come, and where, is Jupyter Server's business."""


class SettingTrait(TraitType[Any, Any]):
    """A setting of the server as a trait; its value, or the text that means it."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        super().__init__(
            setting.default,
            allow_none=setting.default is None,
            config=True,
            help=f"{setting.help[0].upper()}{setting.help[1:]}. Environment: {setting.variable}.",
        )

    def default(self, obj: Any = None) -> Any:
        """Return the value of the environment variable, else the setting's own default."""
        text = os.environ.get(self._setting.variable)
        return self._setting.default if text is None else self.validate(obj, text)

    def validate(self, obj: Any, value: Any) -> Any:
        """Return what the value means; TraitError where it cannot be used."""
        text = ("on" if value else "off") if isinstance(value, bool) else str(value)
        try:
            return self._setting.parse(text)
        except ValueError as error:
            self.info_text = str(error).removeprefix("expected ")
            self.error(obj, value)

    def default_value_repr(self) -> str:
        """Return the default as one would type it."""
        return self._setting.default_text or "none"

    def from_string(self, s: str) -> Any:
        """Return what the command line says; it is read in ``validate``."""
        return s


class _Routes(Router):
    """Finds the handler of a request; the first one loads them."""

    def __init__(self, application: web.Application, base: str) -> None:
        self._application = application
        self._base = base
        self._mounted: Router | None = None

    def find_handler(
        self, request: httputil.HTTPServerRequest, **kwargs: Any
    ) -> httputil.HTTPMessageDelegate | None:
        """See tornado.routing.Router."""
        if self._mounted is None:
            from .jupyter_handlers import MountedRoutes

            self._mounted = MountedRoutes(self._application, self._base)
        return self._mounted.find_handler(request, **kwargs)


class HtmlgraphExtension(ExtensionApp):
    """Live monitoring of coding agents at <base_url>/htmlgraph/."""

    name = "htmlgraph"
    extension_url = f"{PATH}/"
    load_other_extensions = True
    description = "Jupyter Server with the live page of coding agents as its start page."
    # One trait for each setting, made of the one table of settings.
    vars().update({name: SettingTrait(setting) for name, setting in _TRAITS.items()})

    def initialize_handlers(self) -> None:
        """Put the routes below the server's base_url."""
        # Below the "jupyter" logger its warnings are shown as those of the server.
        logging.getLogger("htmlgraph").parent = self.log
        self._lifecycle: Lifecycle | None = None
        self._opening = asyncio.Lock()
        self._stopped = False
        # Who reads a file that only this user can read may as well read Jupyter's own secrets. On
        # JupyterHub it is the Hub that knows everybody.
        self.secret = "" if os.environ.get("JUPYTERHUB_SERVICE_PREFIX") else secrets.token_urlsafe()
        if self.serverapp is None:
            raise RuntimeError("the extension is not linked to a server")
        application = self.serverapp.web_app
        base = url_path_join(application.settings["base_url"], PATH)
        here = PathMatches(re.escape(base) + r"(?:/.*)?$")
        # Not by Jupyter Server's own method: it looks for decorators of methods, and who is let in
        # is decided before any method here.
        web.Application.add_handlers(application, ".*$", [Rule(here, _Routes(application, base))])

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Tell this user's agents and notebooks where the server is, now that it listens."""
        if serverapp.sock:
            self.log.info("agents cannot report over the UNIX socket %s", serverapp.sock)
            return
        everywhere = serverapp.ip in _EVERYWHERE
        at = urlsplit(serverapp.local_url if everywhere else serverapp.connection_url)
        url = url_path_join(f"{at.scheme}://{at.netloc}", serverapp.base_url, PATH)
        write_server_file(url, self.secret, self.server_config.db)

    @property
    def server_config(self) -> Config:
        """What the traits say."""
        values = {setting.name: setting.default for setting in SETTINGS}
        values.update({setting.name: getattr(self, name) for name, setting in _TRAITS.items()})
        return config_of(values)

    @property
    def service(self) -> Service:
        """The parts of the server, which ``opened`` has put together."""
        if self._lifecycle is None:
            raise RuntimeError("the service is asked for before it is opened")
        return self._lifecycle.service

    async def opened(self) -> Service:
        """Return the parts of the server; the first call opens the database.

        Raises:
            StoreError: the file cannot be used, or the server stops.
        """
        if self._lifecycle is None:
            async with self._opening:
                if self._lifecycle is None:
                    self._lifecycle = await self._open()
        return self._lifecycle.service

    async def _open(self) -> Lifecycle:
        from htmlgraph_nb.errors import StoreClosed

        from ..lifecycle import Lifecycle, open_manager

        if self._stopped:
            raise StoreClosed("the server stops")
        config, loop = self.server_config, asyncio.get_running_loop()
        manager = await loop.run_in_executor(None, open_manager, config)
        try:
            lifecycle = Lifecycle(config, manager, loop, spool_path())
        except BaseException:
            manager.close()
            raise
        lifecycle.start()
        # Jupyter Server has many objects: searched for cycles, they would hold up every frame.
        gc.freeze()
        return lifecycle

    async def stop_extension(self) -> None:
        """Commit, tell the dashboards to go, and close the database."""
        self._stopped = True
        remove_server_file()
        async with self._opening:
            if self._lifecycle is not None:
                await self._lifecycle.stop()
                self._lifecycle.close()


main = HtmlgraphExtension.launch_instance
