"""The time zone of this machine, and the parameter ``tz`` of the functions that take one."""

from __future__ import annotations

import difflib
import os
import sys
import time
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from .core.validation import format_value
from .errors import InvalidEvent

Zone = str | tzinfo | None
"""A time zone as functions take it: its IANA name, a tzinfo, or None."""

_LINK = "/etc/localtime"
_NAME_FILE = "/etc/timezone"
_UTC_NAMES = {"UTC", "UCT", "Universal", "Zulu"}


def local_zone_name() -> str:
    """Return the time zone of this machine as pandas, zoneinfo and browsers name it.

    It is the zone of the environment variable ``TZ``, else that of the system: the target of
    ``/etc/localtime``, ``/etc/timezone`` where that is a copy, ICU on Windows.

    Returns:
        An IANA name such as ``"Europe/Paris"``; ``"UTC"`` for UTC and its aliases. If no name is
        known, the current distance from UTC as ``"UTC+02:00"``.
    """
    name = _name_of_variable(os.environ["TZ"]) if "TZ" in os.environ else _name_of_system()
    if name.removeprefix("Etc/") in _UTC_NAMES:
        return "UTC"
    return name if name and _zone_of(name) is not None else _fixed_offset()


def resolve_zone(tz: Zone) -> str | tzinfo:
    """Return a time zone as pandas takes it.

    Args:
        tz: an IANA name such as ``"Europe/Paris"``, a fixed offset such as ``"+02:00"``, or a
            tzinfo. None: ``local_zone_name()``.

    Raises:
        InvalidEvent: there is no such time zone.
    """
    if tz is None:
        return local_zone_name()
    if isinstance(tz, tzinfo):
        return tz
    if isinstance(tz, str):
        if tz.upper() == "UTC":
            return "UTC"
        if _zone_of(tz) is not None or _is_fixed(tz):
            return tz
    known = {name.lower(): name for name in available_timezones()} if isinstance(tz, str) else {}
    similar = difflib.get_close_matches(str(tz)[:60].lower(), [*known], n=1)
    hint = f"; did you mean {known[similar[0]]!r}?" if similar else ""
    raise InvalidEvent(
        f'tz: expected a time zone such as "Europe/Paris", got {format_value(tz)}{hint}', "tz"
    )


def _name_of_variable(value: str) -> str:
    """Return the zone of ``TZ``: POSIX allows a colon and a path, and an empty value is UTC."""
    name = value.removeprefix(":")
    return _below_zoneinfo(name) if os.path.isabs(name) else name or "UTC"


def _name_of_system() -> str:
    if sys.platform == "win32":
        return _name_of_icu()
    try:
        return _below_zoneinfo(os.path.join(os.path.dirname(_LINK), os.readlink(_LINK)))
    except FileNotFoundError:
        return "UTC"
    except OSError:
        return _name_of_file()


def _name_of_file() -> str:
    """Return the name in /etc/timezone, if the clock of the process agrees."""
    try:
        with open(_NAME_FILE, encoding="utf-8") as file:
            name = file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    zone, now = _zone_of(name), datetime.now(UTC)
    return name if zone and now.astimezone(zone).utcoffset() == now.astimezone().utcoffset() else ""


def _below_zoneinfo(path: str) -> str:
    """Return the part of a path behind ``zoneinfo/``: the name of the zone; "" if it has none."""
    folders = os.path.normpath(path).split(os.sep)
    for number, folder in enumerate(folders):
        # macOS has a folder zoneinfo.default beside zoneinfo.
        if folder.partition(".")[0] == "zoneinfo":
            below = folders[number + 1 :]
            return "/".join(below[1:] if below[:1] in (["posix"], ["right"]) else below)
    return ""


def _name_of_icu() -> str:
    """Return the default time zone of ICU, which Windows has had since 2017."""
    import ctypes

    size = 128
    name, error = ctypes.create_unicode_buffer(size), ctypes.c_int(0)
    try:
        ctypes.CDLL("icu").ucal_getDefaultTimeZone(name, size, ctypes.byref(error))
    except (OSError, AttributeError):
        return ""
    return name.value if error.value <= 0 else ""


def _zone_of(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # ZoneInfo raises these for unknown and invalid names, and for damaged files.
        return None


def _is_fixed(name: str) -> bool:
    """Return whether a name is a distance from UTC in a form that pandas takes."""
    sign, hours, colon, minutes = name[-6:-5], name[-5:-3], name[-3:-2], name[-2:]
    return (
        name[:-6] in ("", "UTC")
        and sign in ("+", "-")
        and colon == ":"
        and (hours + minutes).isdecimal()
        and int(hours) < 24
        and int(minutes) < 60
    )


def _fixed_offset() -> str:
    seconds = time.localtime().tm_gmtoff
    sign, minutes = "-" if seconds < 0 else "+", abs(seconds) // 60
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}" if minutes else "UTC"
