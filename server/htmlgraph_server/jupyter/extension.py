"""The Jupyter Server extension: the same routes below ``<base_url>/htmlgraph/``, on Jupyter's loop.

Jupyter Server imports this at every start, so it imports little: the handlers are imported by the
first request, and the first authorized request opens the database.
"""

from __future__ import annotations

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
from traitlets import Bool, TraitType

from htmlgraph_nb.paths import EXTENSION_PATH

from ..config import SETTINGS, Config, Setting, config_from_values
from ..server_file import remove_server_file, write_server_file
from .service_provider import PROVIDER_SETTING, ServiceProvider

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from .chat_listener import ChatListener

_WILDCARDS = ("", "0.0.0.0", "::", "localhost")  # noqa: S104
_JUPYTER_SETTINGS = frozenset(
    {
        *("host", "port", "token", "allow_origins", "allow_hosts", "max_spaces", "jupyterhub"),
        *("token_file", "local_token", "log_format"),
        *("identity_header", "groups_header", "trusted_proxies"),
    }
)
"""Settings that Jupyter Server has itself or, being the space of one user, does not need."""
_JUPYTER_AI = "jupyter_ai_persona_manager"
"""The server extension of Jupyter AI that runs its personas."""
_TRAITS = {
    {"db": "db_path", "alerts": "alerts_file"}.get(setting.name, setting.name): setting
    for setting in SETTINGS
    if setting.name not in _JUPYTER_SETTINGS
}
"""Trait name → its setting."""


class SettingTrait(TraitType[Any, Any]):
    """A setting of the server as a trait. It accepts a value or its text form."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        super().__init__(
            setting.default,
            allow_none=setting.default is None,
            config=True,
            help=f"{setting.help[0].upper()}{setting.help[1:]}. Environment: {setting.variable}.",
        )

    def default(self, obj: Any = None) -> Any:
        """Return the value of the environment variable, or else the setting's default."""
        text = os.environ.get(self._setting.variable)
        return self._setting.default if text is None else self.validate(obj, text)

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the parsed value; raise TraitError if it is invalid."""
        text = ("on" if value else "off") if isinstance(value, bool) else str(value)
        if isinstance(value, list | tuple):
            # A parsed value is validated again.
            text = ",".join("=".join(v) if isinstance(v, tuple) else str(v) for v in value)
        try:
            return self._setting.parse(text)
        except ValueError as error:
            self.info_text = str(error).removeprefix("expected ")
            self.error(obj, value)

    def default_value_repr(self) -> str:
        """Return the default in its text form."""
        return self._setting.default_text or "none"

    def from_string(self, s: str) -> Any:
        """Return the text from the command line; ``validate`` parses it."""
        return s


class _LazyRouter(Router):
    """Imports the handlers on the first request, then routes to them."""

    def __init__(self, application: web.Application, base: str) -> None:
        self._application = application
        self._base = base
        self._routes: Router | None = None

    def find_handler(
        self, request: httputil.HTTPServerRequest, **kwargs: Any
    ) -> httputil.HTTPMessageDelegate | None:
        """See tornado.routing.Router."""
        if self._routes is None:
            from .jupyter_handlers import JupyterRoutes

            self._routes = JupyterRoutes(self._application, self._base)
        return self._routes.find_handler(request, **kwargs)


class HtmlgraphExtension(ExtensionApp):
    """Live monitoring of coding agents at <base_url>/htmlgraph/."""

    name = "htmlgraph"
    extension_url = f"{EXTENSION_PATH}/"
    load_other_extensions = True
    description = "Jupyter Server with the live page of coding agents as its start page."
    # One trait for each setting of the server.
    vars().update({name: SettingTrait(setting) for name, setting in _TRAITS.items()})
    jupyter_ai = Bool(
        True, config=True, help="Show the personas of Jupyter AI that work in the chats of Jupyter."
    )
    _chat_listener: ChatListener | None = None

    def initialize_handlers(self) -> None:
        """Add the routes below the server's base_url."""
        # Children of the "jupyter" logger are shown in the server's log.
        for package in ("htmlgraph_nb", "htmlgraph_server"):
            logging.getLogger(package).parent = self.log
        # A user who can read this user's files can read Jupyter's own secrets, too. On JupyterHub
        # only the Hub may authenticate users.
        on_hub = bool(os.environ.get("JUPYTERHUB_SERVICE_PREFIX"))
        self._provider = ServiceProvider(
            lambda: self.server_config, "" if on_hub else secrets.token_urlsafe()
        )
        if self.serverapp is None:
            raise RuntimeError("the extension is not linked to a server")
        application = self.serverapp.web_app
        application.settings[PROVIDER_SETTING] = self._provider
        base = url_path_join(application.settings["base_url"], EXTENSION_PATH)
        below_base = PathMatches(re.escape(base) + r"(?:/.*)?$")
        # Not Jupyter Server's own method: it requires decorators on the handlers' methods, but
        # these handlers authenticate in ``prepare``, before any of them is called.
        web.Application.add_handlers(
            application, ".*$", [Rule(below_base, _LazyRouter(application, base))]
        )

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Write the server file, and follow Jupyter AI, now that the server listens."""
        self._follow_jupyter_ai(serverapp)
        if serverapp.sock:
            self.log.info("agents cannot report over the UNIX socket %s", serverapp.sock)
            return
        is_local = serverapp.ip in _WILDCARDS
        address = urlsplit(serverapp.local_url if is_local else serverapp.connection_url)
        origin = f"{address.scheme}://{address.netloc}"
        url = url_path_join(origin, serverapp.base_url, EXTENSION_PATH)
        write_server_file(url, self._provider.secret, self.server_config.db)

    def _follow_jupyter_ai(self, serverapp: ServerApp) -> None:
        """Follow the personas of Jupyter AI, if its server extension is loaded."""
        package = serverapp.extension_manager.extensions.get(_JUPYTER_AI)
        if not self.jupyter_ai or package is None or not package.enabled:
            return
        try:
            from .chat_listener import follow_personas

            self._chat_listener = follow_personas(
                serverapp, self._provider, titles=self.server_config.titles
            )
        except Exception as error:  # noqa: BLE001
            # Another version of Jupyter AI must not keep this extension from starting.
            self.log.warning("the personas of Jupyter AI are not shown: %r", error)

    @property
    def server_config(self) -> Config:
        """The configuration from the traits."""
        values = {setting.name: setting.default for setting in SETTINGS}
        values.update({setting.name: getattr(self, name) for name, setting in _TRAITS.items()})
        return config_from_values(values)

    async def stop_extension(self) -> None:
        """Stop the service and remove the server file."""
        remove_server_file()
        if self._chat_listener is not None:
            await self._chat_listener.stop()
        await self._provider.close()


main = HtmlgraphExtension.launch_instance
