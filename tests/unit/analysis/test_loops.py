"""Loops: the same call again, against a search that looks at each call."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htmlgraph_nb import analysis
from htmlgraph_nb.errors import InvalidEvent
from tests.helpers.event_frames import START, event_frame

Call = tuple[str, str, int | None, int, bool]
"""Agent, tool, input_hash, seconds since the call before it, and whether it failed."""

calls = st.tuples(
    st.sampled_from("aaab"),
    st.sampled_from(["Bash", "Bash", "Edit"]),
    st.sampled_from([None, 1, 1, 1, 2, 2]),
    st.sampled_from([1, 1, 1, 60, 61]),
    st.booleans(),
)


def frame_of(drawn: list[Call]) -> pd.DataFrame:
    """Return calls as a frame, each with an answer half a second before it."""
    rows: list[dict[str, Any]] = []
    at = 0
    for number, (agent, tool, input_hash, step, failed) in enumerate(drawn):
        at += step
        answer = {"agent_id": agent, "event_type": "completion", "at": at - 0.5}
        rows.append({**answer, "input_tokens": 2**number, "cost_usd": float(2**number)})
        rows.append(
            {
                "agent_id": agent,
                "event_type": "tool_execute",
                "at": at,
                "tool_name": tool,
                "input_hash": input_hash,
                "status": "error" if failed else "ok",
            }
        )
    return event_frame(rows)


def reference(drawn: list[Call], min_count: int, apart: int) -> set[tuple[Any, ...]]:
    """Return (kind, positions of the first and last call, calls, errors) of all loops."""
    times = [sum(call[3] for call in drawn[: number + 1]) for number in range(len(drawn))]
    found = set()
    for agent in "ab":
        own = [number for number, call in enumerate(drawn) if call[0] == agent]
        runs: dict[Any, list[list[int]]] = {}
        for place, number in enumerate(own):
            _, tool, input_hash, _, _ = drawn[number]
            if input_hash is None:
                continue
            groups = runs.setdefault((tool, input_hash), [])
            last = own.index(groups[-1][-1]) if groups else -99
            near = groups and times[number] - times[groups[-1][-1]] <= 60
            if near and place - last - 1 <= apart:
                groups[-1].append(number)
            else:
                groups.append([number])
        for groups in runs.values():
            for group in groups:
                if len(group) >= min_count:
                    errors = sum(drawn[number][4] for number in group)
                    found.add(("repeat", group[0], group[-1], len(group), errors))
        for begin in range(len(own) - 2):
            if begin and takes_turns(drawn, times, own, begin - 1):
                continue
            end = begin
            while end + 2 < len(own) and takes_turns(drawn, times, own, end):
                end += 1
            group = own[begin : end + 2]
            errors = sum(drawn[number][4] for number in group)
            if end > begin and len(group) >= 2 * min_count - 1 and errors >= min_count:
                found.add(("ping_pong", group[0], group[-1], len(group), errors))
    return found


def takes_turns(drawn: list[Call], times: list[int], own: list[int], place: int) -> bool:
    """Return whether the call two places later is the same, and the one between another."""
    one, other, again = own[place : place + 3]
    same = drawn[one][1:3] == drawn[again][1:3] != drawn[other][1:3]
    known = None not in (drawn[one][2], drawn[other][2])
    return same and known and times[again] - times[one] <= 60


@settings(max_examples=60)
@given(st.lists(calls, max_size=14), st.sampled_from([2, 3]), st.sampled_from([0, 1, 2]))
def test_loops_equal_reference(drawn: list[Call], min_count: int, apart: int) -> None:
    """Each loop has its first and last call, and the tokens and dollars in between."""
    frame = frame_of(drawn)
    table = analysis.loops(frame, min_count, "60s", apart)
    wanted = reference(drawn, min_count, apart)
    positions = {
        START + pd.Timedelta(seconds=sum(call[3] for call in drawn[: number + 1])): number
        for number in range(len(drawn))
    }
    found = [
        (kind, positions[first], positions[last], count, errors)
        for kind, first, last, count, errors in table[
            ["kind", "first", "last", "count", "errors"]
        ].itertuples(index=False)
    ]
    assert set(found) == wanted
    assert len(found) == len(wanted)
    for (_, first, last, _, _), row in zip(found, table.to_dict("records"), strict=True):
        agent, tool, input_hash, _, _ = drawn[first]
        spent = sum(2**n for n in range(first + 1, last + 1) if drawn[n][0] == agent)
        assert (row["agent_id"], row["tool_name"], row["input_hash"]) == (agent, tool, input_hash)
        assert (row["tokens"], row["usd"], row["unpriced_tokens"]) == (spent, spent, 0)


def test_loops_ping_pong_names_both_tools() -> None:
    """Edit and Bash take turns: one fails each time."""
    drawn: list[Call] = [("a", "Edit", 1, 5, False), ("a", "Bash", 2, 5, True)] * 3
    (row,) = analysis.loops(frame_of(drawn)).to_dict("records")
    assert (row["kind"], row["tool_name"], row["other_tool_name"]) == ("ping_pong", "Edit", "Bash")
    assert (row["count"], row["errors"]) == (6, 3)
    fine = analysis.loops(frame_of([(*call[:4], False) for call in drawn]))
    assert fine.empty, "turns without errors are work"


def test_loops_need_hashes() -> None:
    """Without input_hash no call is the same as another; large hashes stay exact."""
    frame = frame_of([("a", "Bash", 2**53 - 1, 5, True)] * 2 + [("a", "Bash", 2**53 - 2, 5, True)])
    table = analysis.loops(frame, 2)
    assert table["input_hash"].tolist() == [2**53 - 1]
    assert table["count"].tolist() == [2]
    assert table["other_tool_name"].isna().all()
    for without in (frame.drop(columns="input_hash"), frame.assign(input_hash=pd.NA)):
        assert analysis.loops(without, 2).empty
    empty = analysis.loops(frame.head(0))
    assert empty.columns.tolist() == table.columns.tolist()


def test_loops_without_answers_cost_nothing_known() -> None:
    """Tokens are 0 and dollars unknown if the agent reported no answer in the loop."""
    frame = frame_of([("a", "Bash", 1, 5, True)] * 3)
    table = analysis.loops(frame[frame["event_type"] == "tool_execute"])
    assert table["tokens"].tolist() == [0]
    assert math.isnan(table["usd"].tolist()[0])


@pytest.mark.parametrize(
    ("argument", "value"), [("min_count", 1), ("min_count", 2.5), ("apart", -1), ("window", 60)]
)
def test_loops_refuse_bad_arguments(argument: str, value: Any) -> None:
    """Errors name the argument."""
    with pytest.raises(InvalidEvent, match=f"{argument}: expected"):
        analysis.loops(frame_of([]), **{argument: value})
