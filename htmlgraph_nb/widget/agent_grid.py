"""AgentGrid: the agents of a server as a live notebook widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .base_grid import BaseGrid
from .server_source import ServerSource

if TYPE_CHECKING:
    from .replay_grid import ReplayGrid


class AgentGrid(BaseGrid):
    """Shows the agents of a server and keeps them up to date, also while a cell runs.

    One thread of the kernel follows the server for all grids of the same address; it never blocks
    a cell. If no server answers, the grid shows what was tried and what to type, and keeps trying.

    Three things end it: ``close()``, leaving ``with AgentGrid() as grid:``, and rerunning the cell
    that created it in front ends that name the cell (JupyterLab, Notebook, VS Code). A page
    reloaded while a cell runs shows the grid again when that cell ends. The server's own page in a
    browser does not depend on the kernel.

    Settings made on the page (search, filters, order, groups, columns, layout, selection) are in
    the traits of the same name, and setting a trait changes the page. ``observe`` any of them;
    observers of changes made on the page run when the kernel is free.

    A saved notebook shows the last state as a table. ``jupyter nbconvert --execute --to html``
    needs ``--ExecutePreprocessor.store_widget_state=False`` for that: with the widget's state in
    the file, a page without a network connection shows neither. ``snapshot()`` shows everywhere.

    Args:
        url: the server; None looks for one, as :class:`PresenceClient` does.
        token: the server's token; None: the token known for that server.
        filter: which agents to show: a string to search for, or a dict of "text" and of lists of
            values of status ("waiting", "cannot_work", "done", "active", "idle", "offline": each
            agent has exactly one), feature, session, project, branch, model, kind, host, agent and
            parent. Values of one key are alternatives; "" matches agents without a value.
        sort: "attention" (the agent that has waited longest for a person first, then those that
            cannot work), "agent", "status", "activity", "since", "feature", "session", "project",
            "branch", "model", "tool", "tools", "tokens", "cost", "errors" or "context"; a leading
            "-" reverses.
        group_by: "status", "feature", "session", "project", "branch", "model", "kind", "host" or
            "parent"; None: no groups.
        columns: columns of the table, in order: status, agent, project, branch, model, context,
            tools, tokens, cost, errors, activity, sparkline, since, reason, tool, feature,
            session, kind, pr, host, user, parent; None: the default columns.
        view: "cards", "table" or "compact".
        max_rate: maximum updates of the page per second, greater than 0, at most 60.
        height: CSS length, or an int as pixels; None: the height of its content.
        **kwargs: traits of every widget, such as ``layout``.

    Attributes:
        url: the server's address; "" before the first connection if none was given.
        status: "connecting", "connected", "reconnecting", "closed", or "error" if the page cannot
            be reached; ``observe`` it. Observers run in a thread and must not block.
        view, filter, sort, group_by, columns: as the arguments. Assign a new value; changes inside
            the dict or list are not detected.
        selected: id of the agent whose details are open; None: none. ``observe`` it to drive other
            widgets.
        state: what the page shows after a reload and in a saved notebook: epoch, seq, agents,
            connection, at, activity. Written every few seconds if anything changed.

    Raises:
        ConfigError: the URL is malformed or contains a secret, or an argument is invalid; the
            message lists the valid values.
    """

    _source: ServerSource

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        filter: str | Mapping[str, Any] | None = None,
        sort: str = "attention",
        group_by: str | None = None,
        columns: Sequence[str] | None = None,
        view: str = "cards",
        max_rate: float = 30.0,
        height: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            lambda: ServerSource(url, token),
            filter=filter,
            sort=sort,
            group_by=group_by,
            columns=columns,
            view=view,
            max_rate=max_rate,
            height=height,
            **kwargs,
        )

    @classmethod
    def replay(
        cls, source: Any = None, *, speed: float = 60.0, token: str | None = None, **kwargs: Any
    ) -> ReplayGrid:
        """Return a grid that replays stored history, positioned at its start and paused.

        Args:
            source: a DataFrame as returned by ``load_history``, or a source that ``load_history``
                accepts: a database file, a server's URL, or None to look for a server.
            speed: seconds of history per second, greater than 0, at most 86400.
            token: the server's token.
            **kwargs: arguments of ReplayGrid: since, until, limits, prices, and those of AgentGrid.

        Raises:
            InvalidEvent: the history is empty or lacks a column.
            ConfigError: an argument is invalid.
            StoreError, ConnectError: as for ``load_history``.
        """
        from .replay_grid import ReplayGrid

        return ReplayGrid(source, speed=speed, token=token, **kwargs)
