"""Find the Chromium for the browser tests; standard library only."""

from __future__ import annotations

import os
import shutil

VARIABLE = "CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DEFAULT_PATHS = (
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
    """Chromium was not found; the message says what to do."""


def find_chromium() -> str:
    """Return the path of Chromium, from ``$CHROMIUM``, PATH or the default paths.

    Raises:
        ChromiumMissing: Chromium was not found.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = shutil.which(named)
        if path is None:
            raise ChromiumMissing(f"{VARIABLE}: expected an executable file, got {named!r}")
        return path
    for candidate in (*NAMES, *DEFAULT_PATHS):
        path = shutil.which(candidate)
        if path is not None:
            return path
    raise ChromiumMissing(ADVICE)
