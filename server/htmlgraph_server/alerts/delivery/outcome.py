"""The outcome of an attempt to send an alert."""

from __future__ import annotations

from dataclasses import dataclass

ERROR_MAX = 300
"""Longest error text that is stored, in characters."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt.

    Attributes:
        error: why it failed, without secrets; "" if the alert was sent.
        final: whether a later attempt would fail, too.
        retry_after_s: seconds that the receiver asks to wait; None: it did not ask.
    """

    error: str = ""
    final: bool = False
    retry_after_s: float | None = None
