"""Times and durations of a frame in the form that people read."""

from __future__ import annotations

import pandas as pd

from ..local_zone import Zone, resolve_zone


def local(df: pd.DataFrame, tz: Zone = None) -> pd.DataFrame:
    """Return a copy with times in local time, and times and durations in whole seconds.

    It is meant for display: ``local(hg.summary(events)).T``. Other columns are unchanged.

    Args:
        df: any frame; time zone aware columns and a time zone aware index are converted.
        tz: name of a time zone, such as "Europe/Paris", or a tzinfo; None: the zone of this
            machine.

    Returns:
        A frame with the same columns; times keep their unit, and have ``tz`` as time zone.

    Raises:
        InvalidEvent: there is no such time zone.
    """
    zone = resolve_zone(tz)
    shown = df.copy(deep=False)
    for name in shown.columns:
        column = shown[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            shown[name] = column.dt.tz_convert("UTC").dt.floor("s").dt.tz_convert(zone)
        elif column.dtype.kind == "m":
            shown[name] = column.dt.round("s")
    if isinstance(shown.index, pd.DatetimeIndex) and shown.index.tz is not None:
        shown.index = shown.index.tz_convert(zone)
    return shown
