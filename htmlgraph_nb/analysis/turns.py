"""What each prompt led to: its answers, calls, outcome, time and cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..core.agent_state import WORKED
from ..core.reducer import (
    NOT_FIRST_TYPES,
    SESSION_END_TYPES,
    TELEMETRY_LAG,
    TURN_END_TYPES,
    signals_of,
)
from ..errors import InvalidEvent
from ..pricing.prices import Prices
from .agent_labels import (
    agent_order,
    context_columns,
    fill_forward,
    last_labels,
    root_codes,
    time_order,
)
from .agent_rows import agent_signs, last_marked, last_until, ranges_of
from .columns import (
    TOKEN_KINDS,
    BoolArray,
    ColumnNames,
    IntArray,
    as_tuple,
    column_isin,
    encode_column,
    error_mask,
    map_names,
    parse_extra,
    require_columns,
    time_zone,
    timestamp_micros,
    to_datetimes,
    to_timedeltas,
    token_rows,
    tool_mask,
    with_roots,
)
from .costs import compute_spending
from .grouping import Groups, RowIndices
from .totals import Subagents, check_subagents, time_bounds

OUTCOMES = ("done", "error", "cannot_work", "interrupted", "continued", "ended", "open")
_OUTCOME_DTYPE = pd.CategoricalDtype(list(OUTCOMES))
_LAG_US = int(TELEMETRY_LAG.total_seconds() * 1e6)


def turns(
    df: pd.DataFrame,
    prices: Prices | None = None,
    subagents: Subagents = "separate",
    labels: ColumnNames = ("title", "project", "branch"),
) -> pd.DataFrame:
    """Return one row per prompt: what the agent did with it, how it ended and what it cost.

    A turn begins with a prompt and ends with a stop, an interrupt, an error or the end of the
    session. A prompt that comes before that, such as one that was queued, begins the next turn.
    Work after the end of a turn, as of an agent that a schedule or the end of a background task
    wakes, or without any prompt, as of some subagents, is a turn of its own with ``prompted``
    False. An answer that is dated up to a second after the end of its turn counts to it. Another
    session of the agent ends a turn; a compaction does not, nor do timers, so that a silent agent
    is still in its turn. Each call, answer and token belongs to one turn.

    Args:
        df: events; needs agent_id, timestamp and event_type, and uses seq, session_id, source,
            extra, tool_name, status, parent_agent_id, root_agent_id, context_tokens, the columns
            that ``token_costs`` uses, and those of ``labels``.
        prices: as for ``token_costs``.
        subagents: "separate": turns of subagents have rows of their own. "include": their calls,
            answers, tokens and dollars count to the turn of the topmost agent in which they began;
            the other columns are those of the topmost agent. A subagent that began in no turn of
            its topmost agent keeps its rows.
        labels: columns of names of which the last known one in the turn is shown, such as
            ``("model", "user", "host", "pr")``.

    Returns:
        One row per turn, sorted by start: agent_id, session_id (as in ``df``; that of an event
        without one is that of its agent), root_agent_id, the columns of ``labels`` (as in ``df``),
        prompted (bool), start, first_answer (NaT without an answer) and end (datetime64[us]; of a
        turn that no event ended, that of its last event), duration (timedelta64[us]: end minus
        start), outcome (category: done; error; cannot_work: the limit of a plan or another reason
        that needs a person; interrupted; continued: the next prompt came before the end; ended:
        with the session; open), subagents (int64: number that began in the turn), answers (int64:
        events with tokens or dollars), tools, tool_errors (int64: calls, and those that failed),
        tokens (int64), input, cache_read, cache_write_5m, cache_write_1h, output (int64: by kind),
        usd (float64; NaN if nothing has a price), unpriced_tokens (int64: tokens whose price is
        unknown, not in usd), context_tokens (Int64: in the context of the model at the end).
        ``attrs`` as for ``token_costs``.

    Raises:
        InvalidEvent: a column is missing, a label is a column of the result, or ``subagents`` is
            neither of the two.

    >>> turns(example())[["agent_id", "duration", "outcome", "answers", "tools", "usd"]]
       agent_id        duration outcome  answers  tools    usd
    0  claude-1 0 days 00:04:00    done        1      3  0.012
    1   codex-1 0 days 00:03:00    done        1      2    NaN
    """
    labels = as_tuple(labels)
    df = require_columns(df, "turns", "agent_id", "timestamp", "event_type")
    check_subagents(subagents)
    found = _find_turns(df)
    n, zone = len(found.rows), time_zone(df)
    started_in = _starting_turns(df, found)
    kept = np.ones(n, np.bool_)
    spent_ids = found.ids
    if subagents == "include":
        kept = started_in == np.arange(n)
        spent_ids = np.append(started_in, n)[found.ids]
    # The last group holds the events that belong to no turn.
    keys = pd.DataFrame(index=range(n + 1))
    own, spent = Groups(keys, found.ids), Groups(keys, spent_ids)
    order = time_order(df)
    spending = compute_spending(df, prices)
    answers = Groups(keys, spent_ids[spending.rows])
    tools, failed = tool_mask(df), error_mask(df)
    is_answer = column_isin(df, "event_type", "completion")
    is_answer[spending.rows] = True
    first_answers, _ = time_bounds(timestamp_micros(df), own, is_answer)
    kinds = zip(TOKEN_KINDS, spending.tokens.kinds, strict=True)
    agents = encode_column(df, "agent_id").codes
    moved = np.flatnonzero(started_in != np.arange(n))
    helpers = np.unique(np.stack([started_in[moved], agents[found.rows[moved]]]), axis=1)[0]
    sources = {"agent_id": df, "session_id": found.sessions, "root_agent_id": with_roots(df)}
    names = {name: source[name].take(found.rows) for name, source in sources.items()}
    columns = {
        **{name: values.reset_index(drop=True) for name, values in names.items()},
        "prompted": found.prompted,
        "start": to_datetimes(found.start, zone),
        "first_answer": to_datetimes(first_answers[:n], zone),
        "end": to_datetimes(found.end, zone),
        "duration": to_timedeltas(found.end - found.start),
        "outcome": pd.Categorical.from_codes(found.outcomes, dtype=_OUTCOME_DTYPE),
        "subagents": np.bincount(helpers, minlength=n),
        "answers": answers.count()[:n],
        "tools": spent.count(tools)[:n],
        "tool_errors": spent.count(tools & failed)[:n],
        "tokens": answers.total_count(spending.tokens.total)[:n],
        **{kind: answers.total_count(counts)[:n] for kind, counts in kinds},
        **{name: values[:n] for name, values in spending.dollars(answers).items()},
        "context_tokens": context_columns(df, own, order)["context_tokens"][:n],
    }
    shown = last_labels(df, labels, own, order)
    if taken := [name for name in labels if name in columns]:
        raise InvalidEvent(f"labels: {taken[0]} is a column of the result already", "labels")
    table = pd.DataFrame({**columns, **{name: values[:n] for name, values in shown.items()}})
    table = table[[*names, *labels, *(name for name in columns if name not in names)]]
    by_start = np.flatnonzero(kept)
    by_start = by_start[np.argsort(found.start[by_start], kind="stable")]
    table = table.take(by_start).reset_index(drop=True)
    table.attrs.update(spending.attrs())
    return table


@dataclass(frozen=True, slots=True)
class _Turns:
    """The turns of all agents, by agent, session and time.

    Attributes:
        rows: position in the frame of the first row of each turn.
        ids: index of the turn of each row of the frame; the number of turns: it is in none.
        sessions: the frame with the session of each row as ``session_id``.
        prompted: whether a prompt began the turn.
        start, end: microseconds since 1970 UTC.
        outcomes: index into OUTCOMES.
    """

    rows: RowIndices
    ids: IntArray
    sessions: pd.DataFrame
    prompted: BoolArray
    start: IntArray
    end: IntArray
    outcomes: IntArray


def _find_turns(df: pd.DataFrame) -> _Turns:
    sessions, order, parts, current = _session_parts(df)
    at = timestamp_micros(df)[order]
    begins = np.append(True, parts[1:] != parts[:-1])[: len(order)]
    first = last_marked(begins)
    prompts, works, ends = (marks[order] for marks in _marks(df))
    completions = column_isin(df, "event_type", "completion")[order]

    before = _before(prompts | ends, first)
    worked = _before(prompts | works, first) >= 0
    late = (
        completions & ~ends & worked & (before >= 0) & ends[before] & (at - at[before] <= _LAG_US)
    )
    last = _before(prompts | ends | (works & ~late), first)
    closed = (last < 0) | ends[last]
    starts = prompts | (works & ~late & closed)
    inside = starts | ~closed | late

    start = np.flatnonzero(starts)
    n = len(start)
    numbers = np.cumsum(starts) - 1
    ids = np.full(len(df), n)
    ids[order[inside]] = numbers[inside]
    # Of the rows of one turn, numpy keeps the one assigned last.
    end = start.copy()
    own = np.flatnonzero(inside & ~late & agent_signs(df)[order])
    end[numbers[own]] = own
    ending = np.full(n, -1)
    closing = np.flatnonzero(ends & (starts | ~closed))
    ending[numbers[closing]] = closing
    end = np.where(ending >= 0, ending, end)
    outcomes = _unfinished_outcomes(parts[start], current[order[start]])
    has_end = ending >= 0
    outcomes[has_end] = _end_outcomes(df, order[ending[has_end]])
    rows = order[start]
    return _Turns(rows, ids, sessions, prompts[start], at[start], at[end], outcomes)


def _session_parts(df: pd.DataFrame) -> tuple[pd.DataFrame, RowIndices, IntArray, IntArray]:
    """Return the session of each row, and the rows by agent, session and time.

    The events before the first session of an agent belong to that session.

    Returns:
        The frame of sessions, the positions of the ordered rows, a number for the agent and
        session of each of them, and for each row of ``df`` the number of its agent's last session.
    """
    filled = fill_forward(df, "session_id").to_frame("session_id")
    agents, sessions = encode_column(df, "agent_id").codes, encode_column(filled, "session_id")
    order = agent_order(df)
    codes = sessions.codes[order].astype(np.int64)
    leading, named = np.flatnonzero(codes < 0), np.flatnonzero(codes >= 0)
    if len(leading) and len(named):
        following = named[np.minimum(np.searchsorted(named, leading), len(named) - 1)]
        known = agents[order[following]] == agents[order[leading]]
        leading, following = leading[known], following[known]
        source = np.arange(len(df))
        source[order[leading]] = order[following]
        filled = filled.take(source)
        codes[leading] = codes[following]
    parts = agents[order].astype(np.int64) * (len(sessions.values) + 1) + codes + 1
    # A late event that only ends or describes a session does not make it the current one.
    enters = (agent_signs(df) & ~column_isin(df, "event_type", *NOT_FIRST_TYPES))[order]
    last = np.full(int(agents.max(initial=-1)) + 1, -1)
    # Of the rows of one agent, numpy keeps the one assigned last.
    last[agents[order]] = parts
    last[agents[order[enters]]] = parts[enters]
    by_part = np.argsort(parts, kind="stable")
    return filled, order[by_part], parts[by_part], last[agents]


def _marks(df: pd.DataFrame) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Return masks of the rows that are prompts, work of an agent, and ends of turns."""
    types = encode_column(df, "event_type")
    by_timer = column_isin(df, "source", "timer")
    prompts = column_isin(df, "event_type", "prompt") & ~by_timer
    works = map_names(types, lambda name: WORKED in signals_of(name or "activity"), np.bool_)
    works &= ~by_timer
    works |= tool_mask(df)
    works[token_rows(df).rows] = True
    ends = column_isin(df, "event_type", *TURN_END_TYPES, *SESSION_END_TYPES)
    notices = np.flatnonzero(column_isin(df, "event_type", "notification"))
    ends[notices] = [
        (extra or {}).get("notification_type") == "idle_prompt" for extra in _extras(df, notices)
    ]
    return prompts, works & ~prompts, ends & ~by_timer & ~prompts


def _before(marks: BoolArray, first: IntArray) -> IntArray:
    """Return for each row the last marked row before it in its group; -1: none.

    Args:
        first: the first row of the group of each row.
    """
    before = np.append(-1, last_marked(marks)[:-1])[: len(marks)]
    return np.where(before >= first, before, -1)


def _unfinished_outcomes(parts: IntArray, current: IntArray) -> IntArray:
    """Return the outcome of each turn if no event ends it.

    Args:
        parts: number of the agent and session of each turn, in the order of the turns.
        current: that of the agent's last session.
    """
    outcomes = np.where(current == parts, OUTCOMES.index("open"), OUTCOMES.index("ended"))
    outcomes[:-1][parts[1:] == parts[:-1]] = OUTCOMES.index("continued")
    return outcomes


def _end_outcomes(df: pd.DataFrame, rows: RowIndices) -> IntArray:
    """Return the outcome of the turns that these rows end."""
    names = {"error": "error", "interrupt": "interrupted"}
    names.update(dict.fromkeys(SESSION_END_TYPES, "ended"))
    part = df.take(rows)
    outcomes = map_names(
        encode_column(part, "event_type"),
        lambda name: OUTCOMES.index(names.get(name or "", "done")),
        np.int64,
    )
    errors = np.flatnonzero(outcomes == OUTCOMES.index("error"))
    extras = _extras(part, errors)
    blocked = [(extra or {}).get("cannot_work") is not None for extra in extras]
    outcomes[errors[np.array(blocked, np.bool_)]] = OUTCOMES.index("cannot_work")
    # A subagent has one turn, which ends with its session, unless its parent ended first.
    agents = encode_column(df, "agent_id").codes
    is_child = np.zeros(int(agents.max(initial=-1)) + 1, np.bool_)
    is_child[agents[encode_column(df, "parent_agent_id").codes >= 0]] = True
    finished = is_child[agents[rows]] & column_isin(part, "event_type", "session_end")
    outcomes[finished & ~column_isin(part, "source", "family")] = OUTCOMES.index("done")
    return outcomes


def _extras(df: pd.DataFrame, rows: RowIndices) -> list[dict[str, Any] | None]:
    """Return ``extra`` of a few rows."""
    if "extra" not in df.columns:
        return [None] * len(rows)
    return [parse_extra(value) for value in df["extra"].take(rows)]


def _starting_turns(df: pd.DataFrame, found: _Turns) -> IntArray:
    """Return for each turn that of its topmost agent in which it began, else the turn itself."""
    agents, roots = encode_column(df, "agent_id").codes[found.rows], root_codes(df)[found.rows]
    started_in = np.arange(len(found.rows))
    moved = np.flatnonzero(roots != agents)
    if len(moved):
        order = np.lexsort((found.start, agents))
        ranges = ranges_of(agents[order], roots[moved])
        last = last_until(found.start[order], *ranges, found.start[moved])
        started_in[moved] = np.where(last < 0, moved, order[last])
    return started_in
