"""Hosts that connect, are lost and return."""

from __future__ import annotations

import pytest

from htmlgraph_nb.errors import CapacityError, InvalidEvent
from htmlgraph_nb.forwarding.host_board import (
    CAUGHT_UP_EVENTS,
    MAX_HOSTS_KNOWN,
    HostBoard,
    HostReport,
    agents_to_mark,
    stored_host,
)
from tests.helpers.strategies import at

LAPTOP = HostReport("1", "laptop", "ada", clock=at(0))


def checked(board: HostBoard, start: float, end: float) -> tuple[list[str], list[str]]:
    """Return the ids of the hosts that were lost and that returned during checks each second."""
    lost, returned = [], []
    for second in range(int(start), int(end) + 1):
        gone, back = board.check(at(second))
        lost += [each.report.id for each in gone]
        returned += [each.report.id for each in back]
    return lost, returned


def test_check_returns_a_silent_host_once_and_its_return_once() -> None:
    """A host is lost after the timeout, and is back once it has sent what it stored."""
    board = HostBoard(30, at(0))
    board.connect(LAPTOP, at(0))
    assert checked(board, 0, 30) == ([], ["1"])
    board.disconnect("1")
    assert checked(board, 31, 90) == (["1"], [])
    behind = HostReport("1", "laptop", pending=CAUGHT_UP_EVENTS)
    board.connect(behind, at(90))
    assert checked(board, 90, 95) == ([], [])
    board.report(LAPTOP, at(95))
    assert checked(board, 96, 99) == ([], ["1"])


def test_check_takes_a_silent_connection_for_lost() -> None:
    """A host that vanished without closing its connection is lost as well; events keep it."""
    board = HostBoard(30, at(0))
    board.connect(LAPTOP, at(0))
    checked(board, 0, 29)
    board.contact("1", at(29))
    assert checked(board, 30, 59) == ([], [])
    assert checked(board, 60, 60) == (["1"], [])


def test_check_waits_after_a_pause_of_this_server() -> None:
    """While this machine slept nothing could arrive, and after a start hosts must reconnect."""
    stored = stored_host(board_of_laptop().hosts["1"].to_json())
    assert stored is not None
    board = HostBoard(30, at(1_000))
    board.absorb([stored])
    assert checked(board, 1_000, 1_030) == ([], [])
    assert checked(board, 1_031, 1_031) == (["1"], [])
    board.connect(LAPTOP, at(1_032))
    checked(board, 1_032, 1_034)
    assert board.check(at(5_000)) == ([], [])


def board_of_laptop() -> HostBoard:
    """Return a board with one connected host."""
    board = HostBoard(30, at(0))
    board.connect(LAPTOP, at(0))
    return board


def test_rows_name_two_hosts_of_one_label() -> None:
    """The id distinguishes hosts."""
    board = board_of_laptop()
    board.connect(HostReport("2", "laptop", pending=7, lag_ms=2_500, clock=at(63)), at(3))
    board.disconnect("1")
    rows = board.rows(at(10))
    assert [(row["id"], row["label"], row["connected"]) for row in rows] == [
        ("2", "laptop", True),
        ("1", "laptop", False),
    ]
    assert [row["lag_s"] for row in rows] == [2.5, 10.0]
    assert [row["lag_events"] for row in rows] == [7, 0]
    assert rows[0]["clock_ahead_s"] == 60.0


def test_connect_drops_the_host_lost_first_and_refuses_beyond_the_limit() -> None:
    """The number of hosts is bounded."""
    board = HostBoard(30, at(0))
    for n in range(MAX_HOSTS_KNOWN):
        board.connect(HostReport(str(n), "laptop"), at(n))
    with pytest.raises(CapacityError, match="at most 1000"):
        board.connect(HostReport("new", "laptop"), at(2_000))
    board.disconnect("3")
    board.connect(HostReport("new", "laptop"), at(2_000))
    assert "3" not in board.hosts
    assert len(board.hosts) == MAX_HOSTS_KNOWN


def test_absorb_keeps_what_is_newer() -> None:
    """Another server may know a host for longer, or not know that it is connected here."""
    board, other = board_of_laptop(), board_of_laptop()
    other.contact("1", at(9))
    board.absorb(other.hosts.values())
    assert board.hosts["1"].seen_at == at(0)
    board.disconnect("1")
    board.absorb(other.hosts.values())
    assert board.hosts["1"].seen_at == at(9)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"label": "x"}, "id"),
        ({"id": "x"}, "label"),
        ({"id": "x", "label": "y", "seq": -1}, "seq"),
        ({"id": "x", "label": "y", "clock": "noon"}, "clock"),
        ({"id": "x", "label": "y", "color": "red"}, "color"),
        ({"id": "x" * 300, "label": "y"}, "id"),
    ],
)
def test_from_dict_names_the_invalid_field(data: dict[str, object], field: str) -> None:
    """A report is validated like an event."""
    with pytest.raises(InvalidEvent) as caught:
        HostReport.from_dict({"type": "host", **data})
    assert caught.value.field == field


def test_agents_to_mark_are_those_that_change() -> None:
    """Agents that are offline anyway are not lost, and only unreachable ones return."""
    details = {"a": (False, False), "b": (True, False), "c": (True, True)}
    assert agents_to_mark(["a", "b", "c", "gone"], details, lost=True) == ["a"]
    assert agents_to_mark(["a", "b", "c", "gone"], details, lost=False) == ["c"]
