"""Addresses of PostgreSQL databases."""

from __future__ import annotations

import pytest

from htmlgraph_nb.errors import StoreUnavailable
from htmlgraph_nb.storage.postgres.location import (
    child_environ,
    connection_string,
    in_schema,
    is_postgres,
    schema_of,
    without_password,
)

URL = "postgresql://ann:p%40ss@db.example:5433/agents?schema=team_a&sslmode=require"


def test_is_postgres_tells_addresses_from_paths() -> None:
    """A file may have any name that is no address."""
    assert is_postgres(URL)
    assert is_postgres("postgres://host/db")
    assert not is_postgres("/data/postgresql.db")
    assert without_password("/data/h.db") == "/data/h.db"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (URL, "postgresql://ann@db.example:5433/agents?schema=team_a&sslmode=require"),
        ("postgres://host/db", "postgresql://host/db"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=%2Frun%2Fpg"),
        ("postgresql://u@h1:1,h2:2/db?password=x%20y", "postgresql://u@h1:1,h2:2/db"),
    ],
)
def test_location_shows_all_but_the_password(location: str, shown: str) -> None:
    """The address without its password is the same address from then on."""
    assert without_password(location) == shown
    assert without_password(shown) == shown


def test_connection_string_has_password_and_schema() -> None:
    """libpq gets the password again, and the schema as the path of all names."""
    shown = without_password(URL)
    for location in (URL, shown):
        text = connection_string(location)
        assert text.startswith("postgresql://ann@db.example:5433/agents?")
        assert "password=p%40ss" in text
        assert "options=-csearch_path%3D%22team_a%22" in text
        assert "schema=" not in text
    assert schema_of(shown) == "team_a"
    assert schema_of("postgresql://host/db") == "htmlgraph"


def test_in_schema_has_the_same_password() -> None:
    """The spaces of a server are schemas of its database."""
    shown = without_password(URL)
    other = in_schema(shown, "team-b")
    assert schema_of(other) == "team-b"
    assert "password=p%40ss" in connection_string(other)
    assert in_schema("postgresql://h/db", "x") == "postgresql://h/db?schema=x"


def test_child_environ_passes_the_password_apart() -> None:
    """A child process gets it in libpq's variable; an address without one adds nothing."""
    assert child_environ(without_password(URL))["PGPASSWORD"] == "p@ss"
    assert "PGPASSWORD" not in child_environ("postgresql://nobody@host/other")


@pytest.mark.parametrize("name", ["Team", "a.b", "1a", "", "pg_catalog", 'x"; DROP'])
def test_location_refuses_other_schemas(name: str) -> None:
    """Names are put into statements."""
    with pytest.raises(StoreUnavailable, match="schema: expected a name"):
        without_password(f"postgresql://host/db?a=b&schema={name}")


def test_location_does_not_repeat_an_invalid_address() -> None:
    """It may have a password."""
    with pytest.raises(StoreUnavailable, match="invalid") as caught:
        without_password("postgresql://ann:secret@host/db?x")
    assert "secret" not in str(caught.value)
