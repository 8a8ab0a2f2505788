"""The answers that one message of Anthropic's API consists of. Pure.

A message can take several requests to models: the server compacts the context first, a second model
answers what the first one declined, or an advisor model is asked. ``usage.iterations`` has the
tokens of each. The counts beside it are those of the last one or, if the server called tools in
between, the sum of the answers; those of a compaction, of a declined attempt and of an advisor are
only in the list. All are billed, except an attempt that was declined before its first output.

Source: the pages on compaction, on refusals and fallback, and on the advisor tool of
https://platform.claude.com/docs/en/build-with-claude.
"""

from __future__ import annotations

from typing import NamedTuple

from ..fields import count, mapping, mappings
from .lines import Record

_ADVISOR = "advisor_message"
_FALLBACK = "fallback_message"
_LIFETIMES = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


class UsagePart(NamedTuple):
    """One billed answer: its position in the list, and its usage object with its model."""

    position: int
    counts: Record


class SplitUsage(NamedTuple):
    """The billed answers of a message.

    Attributes:
        earlier: the answers before the last one.
        last: usage object of the last answer.
        advisors: the answers of advisors.
    """

    earlier: list[UsagePart]
    last: Record
    advisors: list[UsagePart]


def split_usage(usage: Record) -> SplitUsage:
    """Return the answers that a usage object counts; usually it is one."""
    iterations = list(enumerate(mappings(usage.get("iterations"))))
    advisors = [UsagePart(*each) for each in iterations if each[1].get("type") == _ADVISOR]
    answers = [each for each in iterations if each[1].get("type") != _ADVISOR]
    last_fallback = next(
        (index for index, each in reversed(answers) if each.get("type") == _FALLBACK), -1
    )
    billed = [
        UsagePart(index, _with_lifetime(each, usage))
        for index, each in answers
        if index >= last_fallback or count(each.get("output_tokens"))
    ]
    if len(answers) < 2 or not billed:
        model = {"model": answers[0][1].get("model")} if answers else {}
        own = {"cache_creation": answers[0][1]["cache_creation"]} if _has_split(answers) else {}
        return SplitUsage([], {**usage, **model, **own}, advisors)
    return SplitUsage(billed[:-1], billed[-1].counts, advisors)


def _has_split(answers: list[tuple[int, Record]]) -> bool:
    return bool(answers) and bool(mapping(answers[0][1].get("cache_creation")))


def _with_lifetime(iteration: Record, usage: Record) -> Record:
    """Return an iteration with the lifetimes of its cache writes, if those of the message are its.

    They are if they have as many tokens, or if the message names only one lifetime.
    """
    written = count(iteration.get("cache_creation_input_tokens"))
    if mapping(iteration.get("cache_creation")) or not written:
        return iteration
    split = {name: count(mapping(usage.get("cache_creation")).get(name)) for name in _LIFETIMES}
    used = {name: tokens for name, tokens in split.items() if tokens}
    if sum(used.values()) == written:
        return {**iteration, "cache_creation": used}
    if len(used) == 1:
        return {**iteration, "cache_creation": dict.fromkeys(used, written)}
    return iteration
