"""Opens the page of a server in a browser, without showing its token to other users."""

from __future__ import annotations

import os
import sys
import webbrowser
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from htmlgraph_nb.paths import data_dir, write_private_text


def sign_in_path() -> str:
    """Return the file that signs a browser in; it may not exist."""
    return os.path.join(data_dir(), "sign-in.html")


def has_display() -> bool:
    """Return whether a browser can show a window."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def page_address(url: str, token: str, fragment: str = "") -> str:
    """Return the address of a server's page, which signs in with the token.

    Args:
        url: the server's address, without a slash at its end.
        token: "" if the server has none.
        fragment: settings of the page, such as ``selected=claude-1``.
    """
    query = f"?{urlencode({'token': token})}" if token else ""
    return f"{url}/{query}{f'#{fragment}' if fragment else ''}"


def open_page(url: str, token: str, fragment: str = "") -> bool:
    """Open the page in a browser and return whether one was started; arguments as page_address.

    Other users of the machine see the arguments of processes. So the browser opens a file that only
    this user can read, if there is a token.

    Raises:
        OSError: the file cannot be written.
    """
    page = page_address(url, token, fragment)
    if token:
        path = sign_in_path()
        target = escape(page, quote=True)
        write_private_text(
            path,
            '<!DOCTYPE html><meta charset="utf-8"><title>htmlgraph-nb</title>'
            f'<meta http-equiv="refresh" content="0;url={target}"><a href="{target}">Sign in</a>\n',
        )
        page = Path(path).absolute().as_uri()
    return webbrowser.open(page)
