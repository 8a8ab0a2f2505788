"""Statements in PostgreSQL's dialect."""

from __future__ import annotations

from htmlgraph_nb.storage.postgres.dialect import translate


def test_translate_marks_names_and_texts() -> None:
    """Texts are kept, reserved names are quoted, and % is no mark of a parameter."""
    text = "SELECT e.user, n_user.x AS user FROM t WHERE a LIKE 'user?%' AND b = ? AND c % 2"
    assert translate(text).text == (
        'SELECT e."user", n_user.x AS "user" FROM t WHERE a LIKE \'user?%%\' AND b = %s AND c %% 2'
    )


def test_translate_makes_arrays_of_lists() -> None:
    """A statement is the same for any number of values; queries in IN stay."""
    statement = translate("x IN (?, ?, ?) AND y = ? AND z IN (SELECT id FROM t) AND w IN (?)")
    assert statement.text == "x = ANY(%s) AND y = %s AND z IN (SELECT id FROM t) AND w = ANY(%s)"
    assert statement.parameters([1, 2, 3, "y", 5]) == [[1, 2, 3], "y", [5]]


def test_parameters_replace_what_postgresql_cannot_store() -> None:
    """SQLite has texts with U+0000."""
    assert translate("a = ?").parameters(["x\0y"]) == ["x\ufffdy"]
