"""Addresses of PostgreSQL databases: ``postgresql://user@host/database?schema=name``.

The tables of one store are in one schema (SCHEMA, or the parameter ``schema``). All else is libpq's
(https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS). A password is
kept apart from the address, so that no log, status or error can show it.
"""

from __future__ import annotations

import os
import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from ...errors import StoreUnavailable

SCHEMES = ("postgresql", "postgres")
SCHEMA = "htmlgraph"
"""The schema of an address that names none."""
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,62}")
_passwords: dict[str, str] = {}


def is_postgres(location: str) -> bool:
    """Return whether a database is one of PostgreSQL, and not a file."""
    return location.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def without_password(location: str) -> str:
    """Return an address without its password, which this process remembers; a path as it is.

    Raises:
        StoreUnavailable: the address is invalid.
    """
    if not is_postgres(location):
        return location
    parts, parameters = _split(location)
    user, at, hosts = parts.netloc.rpartition("@")
    user, _, password = user.partition(":")
    password = parameters.pop("password", "") or unquote(password)
    schema = parameters.get("schema", SCHEMA)
    if not _SCHEMA_NAME.fullmatch(schema) or schema.startswith("pg_"):
        raise StoreUnavailable(
            "schema: expected a name of lower-case letters, digits, _ and -, got "
            f"{schema[:80]!r} in the address of the database"
        )
    netloc = f"{user}{at}{hosts}" if user else hosts
    shown = urlunsplit(
        ("postgresql", netloc, parts.path, urlencode(parameters, quote_via=quote), "")
    )
    if "://" not in shown:
        # Without a host, urlunsplit drops the slashes.
        shown = shown.replace("postgresql:", "postgresql://", 1)
    if password:
        _passwords[_without_schema(shown)] = password
    return shown


def _without_schema(shown: str) -> str:
    return re.sub(r"[?&]schema=[^&]*", "", shown)


def in_schema(location: str, schema: str) -> str:
    """Return the address of another schema of the same database."""
    shown = _without_schema(without_password(location))
    mark = "&" if "?" in shown else "?"
    return without_password(f"{shown}{mark}schema={schema}")


def _split(location: str) -> tuple[SplitResult, dict[str, str]]:
    try:
        parts = urlsplit(location)
        pairs = parse_qsl(parts.query, True, True) if parts.query else []
        return parts, dict(pairs)
    except ValueError as error:
        # The message must not repeat the address.
        raise StoreUnavailable(
            "the address of the database is invalid; expected "
            "postgresql://USER@HOST:PORT/DATABASE?PARAMETER=VALUE"
        ) from error


def schema_of(location: str) -> str:
    """Return the schema with the tables of the store."""
    return _split(location)[1].get("schema", SCHEMA)


def connection_string(location: str) -> str:
    """Return what libpq opens: the address with its password, the tables' schema first."""
    location = without_password(location)
    parts, parameters = _split(location)
    schema = parameters.pop("schema", SCHEMA)
    options = f'{parameters.get("options", "")} -csearch_path="{schema}"'.strip()
    parameters["options"] = options
    if (password := _passwords.get(_without_schema(location))) is not None:
        parameters["password"] = password
    return f"postgresql://{parts.netloc}{parts.path}?{urlencode(parameters, quote_via=quote)}"


def child_environ(location: str) -> dict[str, str]:
    """Return the environment of a child process that opens this database.

    Its password, if known, is in libpq's variable: other users can read the arguments of a process.
    """
    environ = dict(os.environ)
    if (password := _passwords.get(_without_schema(location))) is not None:
        environ["PGPASSWORD"] = password
    return environ
