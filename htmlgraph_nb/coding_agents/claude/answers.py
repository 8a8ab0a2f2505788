"""Which lines of one of Claude Code's session files belong to the same answer of a model.

The lines of an answer share ``message.id``, and copies of them in resumed and forked sessions, in
files of subagents and after a compaction keep it. But relays and gateways repeat one id for all
answers (``msg_proxy_stream``), often without a ``requestId``. So an id that comes again is another
answer if the user or a tool has written in between and the line is no copy: a copy has the time of
the original, and lines of one answer have the same input.

The key of an answer with an id that Anthropic's API issued is its id; ``dedup`` recognizes answers
of other sessions that repeat it by their time and input. All others, and answers that repeat an id
within a file, also have the time and the ``uuid`` of their first line in their key; ``dedup`` finds
their copies in other files by either.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from ...core.ids import is_issued_id, shorten_id
from ...core.timestamps import to_micros
from ..fields import identifier, mapping, safe_keyword
from .constants import AGENT
from .lines import LineContext, Record, context_tokens_of, line_uuid, uuid_key

_MAX_ANSWERS = 1_000
"""Maximum number of answers of a file that are remembered; copies follow within fewer."""
_DIGEST_CHARS = 12


@dataclass(slots=True)
class Answer:
    """An answer, of which a line was read.

    Attributes:
        key: the event id of its completion.
        line_key: the key of its first line; None if that has no id.
        first_at, last_at: times of its first and last line.
        request: id of its request; None: unknown.
        used: its input tokens, cached or not; None: unknown.
        origin_at: time of the first line of the first answer with this id.
        breaks: number of messages and of results before its last line; see ``Answers``.
        stop_reason: why it ended; None: unknown.
    """

    key: str | None
    line_key: str | None
    first_at: datetime
    last_at: datetime
    request: str | None
    used: int | None
    origin_at: datetime
    breaks: tuple[int, int]
    stop_reason: str | None = None

    def has_line(self, line: Answer, is_issued: bool, repeats_call: bool) -> bool:
        """Return whether a line with the same id belongs to this answer.

        Args:
            line: the line, as if it were an answer of its own.
            is_issued: whether the id is globally unique.
            repeats_call: whether the line calls a tool with the id of a call that has ended.
        """
        same_input = self.used is not None and self.used == line.used
        # The placeholder at the start of a streamed answer has no counts.
        may_be_same = same_input or self.used is None or line.used is None
        if may_be_same and self.first_at <= line.first_at <= self.last_at:
            return True
        if self.request is not None and line.request is not None:
            same_request = self.request == line.request
            if not same_request:
                return is_issued and same_input
        else:
            same_request = False
        messages, results = self.breaks
        if line.breaks[0] != messages:
            return is_issued and (same_request or same_input)
        if line.breaks[1] != results:
            ends = {self.stop_reason, line.stop_reason}
            if repeats_call or (None not in ends and len(ends) > 1):
                return False
            return may_be_same or (is_issued and same_request)
        return True


class Answers:
    """The answers of a file.

    An answer that continues after the user's message is another one; after the result of a tool
    it can be the same, because tools run while the rest of the answer is being written.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        # Agent → number of messages to it, and of results and notes.
        self._breaks: dict[str, tuple[int, int]] = {}

    def on_user_line(self, agent: str, is_message: bool) -> None:
        """Record a line between answers of an agent; ``is_message``: the user wrote it."""
        messages, results = self._breaks.get(agent, (0, 0))
        self._breaks[agent] = (messages + 1, results) if is_message else (messages, results + 1)
        if len(self._breaks) > _MAX_ANSWERS:
            del self._breaks[next(iter(self._breaks))]

    def answer_of(
        self, record: Record, message: Record, context: LineContext, repeats_call: bool = False
    ) -> Answer:
        """Return the answer that a line belongs to; ``repeats_call``: see ``Answer.has_line``."""
        request = identifier(record.get("requestId"))
        name = identifier(message.get("id")) or request
        agent, at = context.agent_id, context.at
        line_key = uuid_key(record)
        used = context_tokens_of(mapping(message.get("usage")))
        breaks = self._breaks.get(agent, (0, 0))
        stop_reason = safe_keyword(message.get("stop_reason"))
        line = Answer(line_key, line_key, at, at, request, used, at, breaks, stop_reason)
        if name is None:
            return line
        known, is_issued = self._answers.get((agent, name)), is_issued_id(name)
        if known is not None and known.has_line(line, is_issued, repeats_call):
            known.last_at, known.breaks = max(known.last_at, at), breaks
            known.used, known.request = used or known.used, request or known.request
            known.stop_reason = stop_reason or known.stop_reason
            return known
        if known is not None:
            line.origin_at = known.origin_at
        line.key = shorten_id(f"{AGENT}:{name}")
        if not is_issued or at != line.origin_at:
            line.key = shorten_id(f"{AGENT}:{name}@{to_micros(at)}:{_line_name(record)}")
        self._answers[agent, name] = line
        if len(self._answers) > _MAX_ANSWERS:
            self._answers.popitem(last=False)
        return line


def _line_name(record: Record) -> str:
    """Return a short name of a line; "" if it has no id."""
    uuid = line_uuid(record)
    return "" if uuid is None else sha256(uuid.encode()).hexdigest()[:_DIGEST_CHARS]
