"""Load the alerts that fired as a typed pandas DataFrame."""

from __future__ import annotations

import os
from contextlib import closing
from urllib.parse import urlencode

import pandas as pd

from ..alerts.alert_table import MAX_ALERTS, read_alerts
from ..alerts.fired_alert import FiredAlert
from ..client.discovery import candidates
from ..client.rest import Rest
from ..core.timestamps import to_rfc3339
from ..local_zone import Zone, resolve_zone
from ..storage.database import open_reader, sqlite_errors
from .frame_builder import TIMESTAMP_DTYPE
from .load import typed_frame
from .sources import URL_SCHEMES, resolve_source

ALERT_DTYPES: dict[str, str] = {
    "fired_at": TIMESTAMP_DTYPE,
    "resolved_at": TIMESTAMP_DTYPE,
    "acknowledged_at": TIMESTAMP_DTYPE,
    "since": TIMESTAMP_DTYPE,
    "rule": "category",
    "kind": "category",
    "severity": "category",
    "state": "category",
    "subject": "string",
    "label": "string",
    "message": "string",
    "value": "float64",
    "threshold": "float64",
    "count": "int64",
    "agent_id": "category",
    "agent_kind": "category",
    "project": "category",
    "branch": "category",
    "host": "category",
    "silenced": "bool",
    "acknowledged_by": "string",
    "alert_id": "string",
}
"""dtype of each column of ``load_alerts``."""
_PAGE = 1_000


def load_alerts(
    source: str | os.PathLike[str] | None = None, *, token: str | None = None, tz: Zone = None
) -> pd.DataFrame:
    """Return the stored alerts, one row per alert, the oldest first.

    Servers keep alerts for 90 days, at most 5000.

    Args:
        source, token, tz: as for ``load_history``; one source.

    Returns:
        The columns of ALERT_DTYPES: when an alert fired, ended (NaT while it fires) and was
        acknowledged, its rule, what it is about and its sentence. ``attrs["source"]`` is the path
        or URL.

    Raises:
        InvalidEvent: an invalid time zone. Other errors as for ``load_history``.
    """
    zone, location = resolve_zone(tz), resolve_source(source)
    alerts = _of_server(location, token) if location.startswith(URL_SCHEMES) else _of_file(location)
    alerts.sort(key=lambda alert: (alert.fired_at, alert.alert_id))
    rows = [tuple(getattr(alert, name) for name in ALERT_DTYPES) for alert in alerts]
    frame = typed_frame(rows, tuple(ALERT_DTYPES), ALERT_DTYPES, zone)
    frame.attrs["source"] = location
    return frame


def _of_file(path: str) -> list[FiredAlert]:
    with closing(open_reader(path)) as db, sqlite_errors(path):
        return read_alerts(db, "all", MAX_ALERTS)


def _of_server(url: str, token: str | None) -> list[FiredAlert]:
    rest = Rest(lambda: candidates(url, token))
    alerts: dict[str, FiredAlert] = {}
    parameters = {"state": "all", "limit": str(_PAGE)}
    while len(alerts) < MAX_ALERTS:
        page = rest.call("GET", f"/api/alerts?{urlencode(parameters)}")["alerts"]
        before = len(alerts)
        alerts.update({row["alert_id"]: FiredAlert.from_dict(row) for row in page})
        if len(page) < _PAGE or len(alerts) == before:
            break
        parameters["before"] = to_rfc3339(min(alert.fired_at for alert in alerts.values()))
    return list(alerts.values())
