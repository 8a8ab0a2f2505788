"""Notes about an old price table, and about models that it does not know."""

from __future__ import annotations

from datetime import date

from htmlgraph_nb.pricing.price_age import age_note, guess_note


def test_age_note_needs_sixty_days() -> None:
    """Completions of the same weeks as the table need no note."""
    assert age_note("0.2.3", date(2026, 9, 1), date(2026, 10, 31)) is None
    note = age_note("0.1.4", date(2026, 9, 1), date(2026, 11, 1))
    assert note == (
        "the latest price in genai-prices 0.1.4 is of 2026-09-01, and there are completions of "
        "2026-11-01; prices may have changed since. To get the current ones: pip install --upgrade "
        "genai-prices"
    )


def test_age_note_ignores_older_completions() -> None:
    """The table has the prices of earlier times."""
    assert age_note("0.2.3", date(2026, 9, 1), date(2020, 1, 1)) is None


def test_guess_note_names_a_few_models() -> None:
    """A stranger can send any number of names."""
    assert guess_note([]) is None
    assert "does not know a, b;" in (guess_note(["a", "b"]) or "")
    assert "does not know m0, m1, m2, m3, m4 and 95 more;" in (
        guess_note([f"m{n}" for n in range(100)]) or ""
    )
