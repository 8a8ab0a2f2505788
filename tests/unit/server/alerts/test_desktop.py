"""The command that shows an alert on the desktop."""

from __future__ import annotations

from htmlgraph_nb.alerts.fired_alert import Delivery
from htmlgraph_server.alerts.delivery.desktop import desktop_command
from tests.helpers.alert_receiver import NOW, fired_alert

HOSTILE = "--help $(touch /tmp/x) `id` <b>bold</b>; end run"


def command(platform: str, *, found: bool = True, **values: str) -> list[str] | str:
    """Return the command of an alert on a platform."""
    delivery = Delivery(1, fired_alert(**values), "desk", 0, NOW)
    return desktop_command(delivery, platform, lambda name: f"/bin/{name}" if found else None)


def test_desktop_command_of_linux() -> None:
    """Texts are arguments after the options; markup in the body is text."""
    arguments = command("linux", message=HOSTILE, project="<i>p</i>", severity="critical")
    assert arguments == [
        "/bin/notify-send",
        "--app-name=htmlgraph-nb",
        "--urgency=critical",
        "--",
        HOSTILE,
        "Critical · claude · &lt;i&gt;p&lt;/i&gt; · main · box",
    ]


def test_desktop_command_of_macos() -> None:
    """The script is fixed; texts are its arguments."""
    arguments = command("darwin", message=HOSTILE)
    assert isinstance(arguments, list)
    assert arguments[0] == "/bin/osascript"
    assert arguments[-2:] == [f"htmlgraph-nb: {HOSTILE}", " Warning · claude · shop · main · box"]
    assert not any(HOSTILE in part for part in arguments[:-2])


def test_desktop_command_without_a_program() -> None:
    """The error says what to install."""
    assert "apt install libnotify-bin" in command("linux", found=False)
    assert "osascript was not found" in command("darwin", found=False)
    assert "apprise" in command("win32")
