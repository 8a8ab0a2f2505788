"""Finds the Chromium that the browser tests drive; standard library only."""

from __future__ import annotations

import os
import shutil

VARIABLE = "CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)
ADVICE = (
    "the browser tests need Chromium or Google Chrome: install it (Debian: apt-get install "
    "chromium; Fedora: dnf install chromium; macOS: brew install --cask chromium), or name its "
    f"executable with {VARIABLE}=/path/to/chromium"
)


class ChromiumMissing(Exception):
    """There is no Chromium; the text says what to do."""


def find_chromium() -> str:
    """Return the path of a Chromium: ``$CHROMIUM``, then PATH, then the usual places.

    Raises:
        ChromiumMissing: there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = shutil.which(named)
        if path is None:
            raise ChromiumMissing(f"{VARIABLE} is {named!r}, which is no executable file")
        return path
    for candidate in (*NAMES, *PLACES):
        path = shutil.which(candidate)
        if path is not None:
            return path
    raise ChromiumMissing(ADVICE)
