"""local_zone_name: the zone of TZ, else of the system, as pandas and browsers name it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from htmlgraph_nb import local_zone
from htmlgraph_nb.errors import InvalidEvent
from htmlgraph_nb.local_zone import local_zone_name, resolve_zone

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sets the zone as POSIX systems do")


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    """Let the clock of this process follow the environment again."""
    yield
    time.tzset()


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder that stands for /etc, without TZ."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(local_zone, "_LINK", str(tmp_path / "localtime"))
    monkeypatch.setattr(local_zone, "_NAME_FILE", str(tmp_path / "timezone"))
    return tmp_path


def set_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Set TZ, and the clock of this process."""
    monkeypatch.setenv("TZ", value)
    time.tzset()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Europe/Paris", "Europe/Paris"),
        (":America/New_York", "America/New_York"),
        ("/usr/share/zoneinfo/Asia/Kathmandu", "Asia/Kathmandu"),
        (":/usr/share/zoneinfo/posix/Asia/Tokyo", "Asia/Tokyo"),
        ("", "UTC"),
        ("UTC", "UTC"),
        ("Etc/Zulu", "UTC"),
        ("EST5EDT", "EST5EDT"),
        ("XYZ-5:45", "UTC+05:45"),
        ("XYZ3", "UTC-03:00"),
        ("Mars/Base", "UTC"),
        ("/etc/hostname", "UTC"),
    ],
)
def test_local_zone_name_of_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, name: str
) -> None:
    """All forms of POSIX; pandas takes each result."""
    set_variable(monkeypatch, value)
    assert local_zone_name() == name
    times = pd.Series(pd.to_datetime(["2026-01-15T12:00Z"])).dt.tz_convert(local_zone_name())
    assert str(times.dt.tz) == name


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("../usr/share/zoneinfo/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
        ("/var/db/timezone/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("/usr/share/zoneinfo.default/Asia/Tokyo", "Asia/Tokyo"),
        ("/usr/share/zoneinfo/Etc/UTC", "UTC"),
    ],
)
def test_local_zone_name_of_link(system: Path, target: str, name: str) -> None:
    """The links of Linux distributions and macOS."""
    (system / "localtime").symlink_to(target)
    assert local_zone_name() == name


def test_local_zone_name_of_copied_file(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy has no name: /etc/timezone has it, unless the clock contradicts it."""
    (system / "localtime").write_bytes(b"TZif")
    (system / "timezone").write_text("Asia/Kolkata\n", encoding="utf-8")
    set_variable(monkeypatch, "Asia/Kolkata")
    monkeypatch.delenv("TZ")
    assert local_zone_name() == "Asia/Kolkata"
    set_variable(monkeypatch, "Asia/Tokyo")
    monkeypatch.delenv("TZ")
    assert local_zone_name() == "UTC+09:00"
    (system / "timezone").unlink()
    assert local_zone_name() == "UTC+09:00"


def test_local_zone_name_without_files(system: Path) -> None:
    """A system without /etc/localtime uses UTC."""
    assert local_zone_name() == "UTC"


@pytest.mark.parametrize(
    "tz",
    [
        "Europe/Paris",
        "+02:00",
        "UTC-03:30",
        ZoneInfo("Asia/Tokyo"),
        timezone(timedelta(hours=1)),
        UTC,
    ],
)
def test_resolve_zone_accepts_what_pandas_accepts(tz: object) -> None:
    """Names, fixed offsets and tzinfo objects."""
    zone = resolve_zone(tz)  # type: ignore[arg-type]
    assert zone == tz
    pd.Timestamp("2026-01-15T12:00Z").tz_convert(zone)


def test_resolve_zone_of_any_case_of_utc() -> None:
    """pandas keeps the spelling, which would be another dtype."""
    assert resolve_zone("utc") == "UTC"


@pytest.mark.parametrize(
    ("tz", "message"),
    [
        ("Mars/Base", "got 'Mars/Base'$"),
        ("europe/pari", "did you mean 'Europe/Paris'"),
        ("+25:00", "got '\\+25:00'"),
        ("", "got ''"),
        ("../etc/passwd", "expected a time zone such as"),
        (5, "got 5"),
    ],
)
def test_resolve_zone_rejects_unknown_zones(tz: object, message: str) -> None:
    """The error names the parameter, and a similar zone."""
    with pytest.raises(InvalidEvent, match=f"^tz: .*{message}"):
        resolve_zone(tz)  # type: ignore[arg-type]
