"""The screen of ``htmlgraph-nb top``. Loaded only by that command."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import ClassVar, Protocol

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.widgets import DataTable, Footer, Input, Static

from htmlgraph_nb.client.agent_view import visible_text
from htmlgraph_nb.client.connection_state import ConnectionState
from htmlgraph_nb.core.model import AgentPresence
from htmlgraph_nb.core.timestamps import utc_now

from ..text_table import fit
from .top_rows import (
    TopRow,
    TopSettings,
    detail_text,
    head_lines,
    is_number_column,
    top_agents,
    top_columns,
    top_rows,
)

_REFRESH_S = 0.5
_STYLES = {
    "waiting": "bold yellow",
    "cannot_work": "red",
    "done": "cyan",
    "active": "green",
    "idle": "",
    "offline": "dim",
}
_GROUP_STYLE = "bold"


class AgentSource(Protocol):
    """A live copy of the agents, such as PresenceClient."""

    def snapshot(self) -> tuple[dict[str, AgentPresence], object, ConnectionState]:
        """Return agents, position and connection."""


class TopApp(App[None]):
    """The agents of a server, live.

    Args:
        source: where the agents come from; read twice a second.
        settings: order, groups and filter at the start.
    """

    TITLE = "htmlgraph-nb top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 2; text-wrap: nowrap; text-overflow: ellipsis; }
    #detail {
        height: 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis;
    }
    #filter { display: none; height: 1; border: none; padding: 0; }
    #filter.open { display: block; }
    DataTable { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse"),
        Binding("g", "group", "Group"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("a", "offline", "Offline"),
        Binding("w", "waiting", "Next waiting"),
        Binding("escape", "clear", "Clear", show=False),
    ]

    def __init__(self, source: AgentSource, settings: TopSettings) -> None:
        super().__init__()
        self._source = source
        self.settings = settings
        self._agents: dict[str, AgentPresence] = {}
        self._rows: list[TopRow] = []
        self._widths: dict[str, int] = {}

    def compose(self) -> ComposeResult:
        """Yield the widgets, from the top."""
        yield Static(id="head")
        yield DataTable(id="agents", cursor_type="row", zebra_stripes=False, cell_padding=0)
        yield Static(id="detail")
        yield Input(id="filter", placeholder="words that an agent must have; Enter, Esc")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show the agents, and again twice a second."""
        self.theme = "ansi-dark" if "ansi-dark" in self.available_themes else self.theme
        self._table.focus()
        self.update_screen()
        self.set_interval(_REFRESH_S, self.update_screen)

    def on_resize(self, _: Resize) -> None:
        """Fit the columns to the terminal."""
        self.call_after_refresh(self.update_screen)

    @property
    def _table(self) -> DataTable[Text]:
        table: DataTable[Text] = self.query_one("#agents", DataTable)
        return table

    def update_screen(self) -> None:
        """Show the current agents with the current settings."""
        if not self.query("#head"):
            # The timer can fire while the app closes, after its widgets were removed.
            return
        agents, _, connection = self._source.snapshot()
        self._agents = agents
        now = utc_now()
        found = top_agents(agents.values(), self.settings)
        lines = head_lines(list(agents.values()), len(found), self.settings, connection)
        self.query_one("#head", Static).update(Text("\n".join(lines)))
        self._update_table(found, now)
        self._update_detail()

    def _update_table(self, found: list[AgentPresence], now: datetime) -> None:
        # The last cell is that of the scroll bar.
        widths = top_columns(self.size.width - 1)
        rows = top_rows(found, self.settings, list(widths), now)
        table = self._table
        same_rows = [row.key for row in rows] == [row.key for row in self._rows]
        if same_rows and widths == self._widths:
            self._update_cells(rows)
        else:
            self._fill(table, rows, widths)
        self._rows = rows

    def _update_cells(self, rows: list[TopRow]) -> None:
        for old, new in zip(self._rows, rows, strict=True):
            if old != new:
                for name, cell in zip(self._widths, self._texts(new), strict=True):
                    self._table.update_cell(new.key, name, cell)

    def _fill(self, table: DataTable[Text], rows: list[TopRow], widths: dict[str, int]) -> None:
        """Replace all rows; the selected agent stays selected, and the position as it is."""
        selected, scroll = self._selected_key(), table.scroll_y
        if widths != self._widths:
            table.clear(columns=True)
            for name, width in widths.items():
                head = fit(name, width, is_number_column(name))
                # The gap belongs to the column, so that a selected row has no holes.
                table.add_column(Text(f"{head} "), key=name, width=width + 1)
            self._widths = widths
        else:
            table.clear()
        for row in rows:
            table.add_row(*self._texts(row), key=row.key)
        keys = [row.key for row in rows]
        if selected in keys:
            table.move_cursor(row=keys.index(selected), animate=False, scroll=False)
            table.scroll_to(y=scroll, animate=False)

    def _texts(self, row: TopRow) -> list[Text]:
        """Return the cells of a row. ``Text`` is shown as it is, without markup."""
        if not row.state:
            return self._group_texts(row)
        style = _STYLES.get(row.state, "")
        return [
            Text(
                fit(visible_text(cell), width, is_number_column(name)) + " ",
                style=style if name in ("State", "Why") or row.state == "offline" else "",
            )
            for (name, width), cell in zip(self._widths.items(), row.cells, strict=True)
        ]

    def _group_texts(self, row: TopRow) -> list[Text]:
        """Return the text of a group, spread over the cells of its row."""
        line = fit(row.cells[0], sum(self._widths.values()) + len(self._widths))
        texts, start = [], 0
        for width in self._widths.values():
            texts.append(Text(line[start : start + width + 1], style=_GROUP_STYLE))
            start += width + 1
        return texts

    def _selected_key(self) -> str | None:
        row = self._table.cursor_row
        return self._rows[row].key if 0 <= row < len(self._rows) else None

    def _update_detail(self) -> None:
        agent = self._agents.get(self._selected_key() or "")
        text = "" if agent is None else detail_text(agent)
        self.query_one("#detail", Static).update(Text(text))

    def on_data_table_row_highlighted(self, _: DataTable.RowHighlighted) -> None:
        """Show the details of the selected agent."""
        self._update_detail()

    def _choose(self, settings: TopSettings) -> None:
        self.settings = settings
        self.update_screen()

    def action_sort(self) -> None:
        """Sort by the next key."""
        self._choose(self.settings.next_sort())

    def action_reverse(self) -> None:
        """Reverse the order."""
        self._choose(replace(self.settings, descending=not self.settings.descending))

    def action_group(self) -> None:
        """Group by the next key."""
        self._choose(self.settings.next_group())

    def action_offline(self) -> None:
        """Show or hide agents that are offline."""
        self._choose(replace(self.settings, show_offline=not self.settings.show_offline))

    def action_waiting(self) -> None:
        """Select the next agent that waits for a person."""
        table = self._table
        start = table.cursor_row + 1
        order = [*range(start, len(self._rows)), *range(min(start, len(self._rows)))]
        waiting = next((row for row in order if self._rows[row].state == "waiting"), None)
        if waiting is not None:
            table.move_cursor(row=waiting)

    def action_filter(self) -> None:
        """Open the line for a filter."""
        line = self.query_one("#filter", Input)
        line.value = self.settings.text
        line.add_class("open")
        line.focus()

    def action_clear(self) -> None:
        """Close the line for a filter, and remove the filter."""
        self._close_filter()
        self._choose(replace(self.settings, text=""))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while a person types."""
        if event.input.has_class("open"):
            self._choose(replace(self.settings, text=event.value))

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Keep the filter and return to the table."""
        self._close_filter()

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).remove_class("open")
        self._table.focus()
