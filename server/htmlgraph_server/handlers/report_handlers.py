"""Routes of reports on the history: costs and sessions."""

from __future__ import annotations

import zoneinfo
from dataclasses import replace

from htmlgraph_nb.core.timestamps import to_micros
from htmlgraph_nb.core.validation import shorten
from htmlgraph_nb.errors import ApiError
from htmlgraph_nb.reports.report_arguments import (
    SESSION_FILTERS,
    check_cost_keys,
    check_freq,
    check_session_sort,
)
from htmlgraph_nb.storage.file_guard import check_guarded

from ..history.report_process import ReportRequest
from .json_api import JsonHandler

DEFAULT_GROUPS = 100
MAX_GROUPS = 1_000
DEFAULT_SESSION_ROWS = 200
MAX_SESSION_ROWS = 5_000
REPORT_FORMATS = {
    "json": "application/json; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
"""Format → Content-Type."""
MAX_SEARCH_CHARS = 200
DAY = "day"
"""Value of ``by`` that makes ``D`` the default of ``freq``."""


class ReportHandler(JsonHandler):
    """A report that the worker process computes."""

    report = ""
    """Its name, also that of the file if a browser saves it."""

    async def head(self) -> None:
        self.report_request()
        self._set_type()

    async def get(self) -> None:
        request = self.report_request()
        check_guarded(self.service.manager.db_path)
        body = await self.service.reports.answer(request)
        self._set_type()
        self.finish(body)

    def report_request(self) -> ReportRequest:
        """Return the request of the parameters.

        Raises:
            ApiError: a parameter is invalid.
        """
        raise NotImplementedError

    def _set_type(self) -> None:
        format_ = self.format_parameter()
        self.set_header("Content-Type", REPORT_FORMATS[format_])
        if format_ == "csv":
            self.set_header("Content-Disposition", f'attachment; filename="{self.report}.csv"')

    def format_parameter(self) -> str:
        """Return the format: json or csv."""
        return self.choice_parameter("format", tuple(REPORT_FORMATS), "json")

    def zone_parameter(self) -> str:
        """Return the name of a time zone.

        Raises:
            ApiError: there is no such zone.
        """
        name = self.string_parameter("tz")
        if name is None:
            return "UTC"
        try:
            return zoneinfo.ZoneInfo(name).key
        except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
            # A folder of the database, a path and an unknown name.
            raise ApiError(
                400,
                "invalid",
                f"tz: expected a time zone as Europe/Paris, got {shorten(name)}",
                "tz",
            ) from None

    def text_parameter(self, name: str, max_chars: int) -> str | None:
        """Return a text of at most ``max_chars`` characters; None if it is absent."""
        text = self.string_parameter(name)
        if text is not None and len(text) > max_chars:
            raise ApiError(
                400,
                "invalid",
                f"{name}: expected at most {max_chars} characters, got {len(text)}",
                name,
            )
        return text

    def micros_parameter(self, name: str) -> int | None:
        """Return a time in microseconds since 1970; None if it is absent."""
        time = self.time_parameter(name)
        return None if time is None else to_micros(time)

    def common_request(self, n_rows: int, max_rows: int) -> ReportRequest:
        """Return the request of the parameters that all reports have.

        Args:
            n_rows: default of ``limit``.
            max_rows: largest ``limit``.
        """
        return ReportRequest(
            report=self.report,
            path=self.service.history.path,
            cursor=str(self.service.hub.published.cursor),
            since=self.micros_parameter("since"),
            until=self.micros_parameter("until"),
            zone=self.zone_parameter(),
            format=self.format_parameter(),
            limit=self.int_parameter("limit", n_rows, 1, max_rows),
        )


class CostsHandler(ReportHandler):
    """``GET /api/costs``: tokens and dollars of a range of time, by group and period."""

    report = "costs"

    def report_request(self) -> ReportRequest:
        """See ReportHandler."""
        self.allow_parameters("since", "until", "by", "freq", "tz", "limit", "format")
        names = list(dict.fromkeys(self.list_parameter("by") or ["model"]))
        by = [name for name in names if name != DAY]
        freq = self.string_parameter("freq") or ("D" if len(by) < len(names) else None)
        check_cost_keys(by)
        check_freq(freq)
        return replace(self.common_request(DEFAULT_GROUPS, MAX_GROUPS), by=by, freq=freq)


class SessionsHandler(ReportHandler):
    """``GET /api/sessions``: the sessions of a range of time."""

    report = "sessions"

    def report_request(self) -> ReportRequest:
        """See ReportHandler."""
        self.allow_parameters(
            *("since", "until", "search", "session", *SESSION_FILTERS),
            *("sort", "tz", "limit", "format"),
        )
        sort = self.string_parameter("sort") or "-start"
        check_session_sort(sort)
        filters = {name: self._values(name) for name in SESSION_FILTERS}
        return replace(
            self.common_request(DEFAULT_SESSION_ROWS, MAX_SESSION_ROWS),
            search=self.text_parameter("search", MAX_SEARCH_CHARS) or "",
            filters={name: values for name, values in filters.items() if values is not None},
            sessions=self.list_parameter("session"),
            sort=sort,
        )

    def _values(self, name: str) -> list[str] | None:
        """Return the values of a facet, in which an empty text stands for a missing value."""
        values = self.request.query_arguments.get(name)
        if values is not None and b"" in values:
            self.request.query_arguments[name] = [value for value in values if value]
            return ["", *(self.list_parameter(name) or [])]
        return self.list_parameter(name)
