"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

LEVELS = ("ok", "note", "problem")
"""``note``: works, but something is not seen; ``problem``: does not work."""
_SIGNS = {"ok": "ok", "note": "--", "problem": "!!"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        area: what was checked.
        level: one of LEVELS.
        text: what was found.
        remedy: what to type or do; "": nothing.
    """

    area: str
    level: str
    text: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return this finding as a JSON object."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return this finding for people, the remedy in a line of its own."""
        first = f"{_SIGNS[self.level]}  {self.text}"
        return [first, *([f"    → {self.remedy}"] if self.remedy else [])]
