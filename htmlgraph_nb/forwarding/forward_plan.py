"""Which events of a database another server has, and which are sent next. Pure functions.

The newest events are sent first. Where more than MAX_LIVE of them wait, as after a day without a
network or while past sessions are imported, they become a gap, which is sent in between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import NamedTuple

MAX_LIVE = 1_000
"""Most events that are sent in their order before the newest ones."""
BATCH_EVENTS = 500
"""Most events of one message."""
MAX_GAPS = 16
"""Most gaps; with more, the two oldest become one, and what is between them is sent again."""

SeqRange = tuple[int, int]
"""First and last seq, both included."""


class ForwardStep(NamedTuple):
    """What to send next.

    Attributes:
        first, last: range of seq.
        is_live: whether these are the newest events.
    """

    first: int
    last: int
    is_live: bool


@dataclass(frozen=True, slots=True)
class ForwardOffsets:
    """How far a database was forwarded.

    Attributes:
        epoch: id of the database.
        receiver: id of the receiving database; "" if it is unknown.
        received_seq: last known seq of the receiving database.
        live: the newest events are sent up to this seq.
        gaps: older ranges that are not sent, in order.
    """

    epoch: str
    receiver: str = ""
    received_seq: int = 0
    live: int = 0
    gaps: tuple[SeqRange, ...] = ()

    def connected(self, epoch: str, newest: int, receiver: str, received: int) -> ForwardOffsets:
        """Return the offsets to start with at a connection.

        They begin again for another database at either end, and for one that has lost its last
        changes, as one from a backup: the ids of the events make repetitions harmless.

        Args:
            epoch, newest: id and newest seq of this database.
            receiver, received: those of the receiving one.
        """
        same_ends = (self.epoch, self.receiver) == (epoch, receiver)
        if not same_ends or newest < self.live or received < self.received_seq:
            return ForwardOffsets(epoch, receiver, received)
        return replace(self, received_seq=received)

    def split(self, newest: int) -> ForwardOffsets:
        """Return the offsets with the newest events as a gap if more than MAX_LIVE wait."""
        if newest - self.live <= MAX_LIVE:
            return self
        gaps = (*self.gaps, (self.live + 1, newest))
        if len(gaps) > MAX_GAPS:
            gaps = ((gaps[0][0], gaps[1][1]), *gaps[2:])
        return replace(self, live=newest, gaps=gaps)

    def next_step(self, newest: int, *, live_only: bool = False) -> ForwardStep | None:
        """Return what to send next: the newest events, then the newest gap; None: nothing.

        Args:
            newest: newest seq of the database.
            live_only: leave out the gaps.
        """
        if newest > self.live:
            return ForwardStep(self.live + 1, newest, True)
        if self.gaps and not live_only:
            return ForwardStep(*self.gaps[-1], False)
        return None

    def sent(self, step: ForwardStep, last: int, received: int) -> ForwardOffsets:
        """Return the offsets after a part of a step was acknowledged.

        Args:
            last: last seq of the part.
            received: seq of the receiving database after it.
        """
        received = max(received, self.received_seq)
        if step.is_live:
            return replace(self, live=max(self.live, last), received_seq=received)
        gaps = [
            (max(first, last + 1) if first <= step.first <= end else first, end)
            for first, end in self.gaps
        ]
        left = tuple((first, end) for first, end in gaps if first <= end)
        return replace(self, gaps=left, received_seq=received)

    def n_pending(self, newest: int) -> int:
        """Return how many numbers up to the newest seq are not sent."""
        return max(0, newest - self.live) + sum(end - first + 1 for first, end in self.gaps)

    @property
    def first_pending(self) -> int:
        """The oldest seq that is not sent."""
        return min([self.live + 1, *(first for first, _ in self.gaps)])

    def to_json(self) -> str:
        """Return the offsets as they are stored."""
        values = [self.epoch, self.receiver, self.received_seq, self.live, self.gaps]
        return json.dumps(values, separators=(",", ":"))


def stored_offsets(text: object) -> ForwardOffsets:
    """Return the offsets in a result of ``to_json``; the first ones for any other text."""
    try:
        epoch, receiver, received, live, gaps = json.loads(str(text))
        pairs = tuple((int(first), int(last)) for first, last in gaps)
        return ForwardOffsets(str(epoch), str(receiver), int(received), int(live), pairs)
    except (ValueError, TypeError):
        return ForwardOffsets("")
