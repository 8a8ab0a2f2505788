"""The documents match the program: routes, messages, settings, limits, commands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from htmlgraph_nb.core import protocol
from htmlgraph_nb.core.model import Event
from htmlgraph_nb.core.reducer import KNOWN_TYPES
from htmlgraph_nb.core.validation import MAX_EXTRA_BYTES, MAX_ID_CHARS
from htmlgraph_nb.forwarding.host_board import MAX_HOSTS_KNOWN
from htmlgraph_server.app import ROUTES
from htmlgraph_server.cli.parser import main
from htmlgraph_server.config import SETTINGS
from htmlgraph_server.decoding.gzip_steps import MAX_MEMBERS
from htmlgraph_server.decoding.json_steps import MAX_OPEN_DEPTH
from htmlgraph_server.handlers.parsing import MAX_NDJSON_LINES, MAX_REQUEST_EVENTS
from htmlgraph_server.handlers.server_handlers import openapi_document as document
from htmlgraph_server.history.worker_pool import MAX_EXPORT_WORKERS, MAX_WAITING_EXPORTS
from htmlgraph_server.otlp.codec import MAX_ATTRIBUTES, MAX_RECORDS, MAX_RESOURCE_GROUPS
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server, running
from tests.helpers.source import PACKAGES
from tests.helpers.wait import wait_until

PROTOCOL = (ROOT / "server" / "PROTOCOL.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS_PAGE = (ROOT / "server" / "SETTINGS.md").read_text(encoding="utf-8")
PAGES = sorted(
    path for folder in (ROOT, ROOT / "notebooks", ROOT / "server") for path in folder.glob("*.md")
)


def blocks(kind: str) -> list[str]:
    """Return the fenced blocks of PROTOCOL.md with this info string, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Return the text of a section of PROTOCOL.md, up to the next heading."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", PROTOCOL, re.M | re.S)
    assert match, title
    return match[1]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the table in a text, without the header."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def shape(value: Any) -> Any:
    """Return the keys of a JSON value, in order, and the types of its leaves."""
    if isinstance(value, dict):
        # The values that occur depend on how fast the examples are sent.
        facets = dict.fromkeys(value.get("facets", ()), "counts")
        return {name: facets if name == "facets" else shape(value[name]) for name in value}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    if isinstance(value, bool) or value is None:
        return value
    return "number" if isinstance(value, int | float) else "text"


def same_shape(seen: Any, documented: Any) -> bool:
    """Return whether two values have the same keys, order and types."""
    return json.dumps(shape(seen)) == json.dumps(shape(documented))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a new server."""
    with running(tmp_path_factory.mktemp("docs") / "home") as server:
        yield server


# PROTOCOL.md


def documented_routes() -> set[tuple[str, str]]:
    """Return (method, path) of each heading with a route."""
    return set(re.findall(r"^#+ .*?`(GET|POST|WS) (/\S*)`$", PROTOCOL, re.MULTILINE))


def test_protocol_documents_every_route() -> None:
    """The headings match the route table, and their methods the OpenAPI document."""
    table = {re.sub(r"\(\[\^/\]\+\)", "{}", pattern).replace("\\", "") for pattern, *_ in ROUTES}
    assert {re.sub(r"\{\w+\}", "{}", path) for _, path in documented_routes()} == table
    http = {(method.upper(), path) for path, item in document()["paths"].items() for method in item}
    assert {route for route in documented_routes() if route[0] != "WS"} == http


def test_protocol_http_examples(server: Server) -> None:
    """Each request, in order, gets a response of the documented shape."""
    examples = re.findall(r"^```http\n(.*?)^```\n(?:\n```json\n(.*?)^```$)?", PROTOCOL, re.M | re.S)
    assert len(examples) == len(blocks("http")) > 10
    wait_until(lambda: server.get("/api/status").json()["prices"], "the prices")
    with connect(server.ws("/ws/events")) as host:
        host.send(next(text for text in blocks("json agent") if '"host"' in text))
        assert json.loads(host.recv(timeout=10))["type"] == "host_ack"
    for text, expected in examples:
        head, _, body = text.partition("\n\n")
        line, *header_lines = head.strip().splitlines()
        method, path = line.split()
        headers = dict(header.split(": ", 1) for header in header_lines)
        response = server.request(method, path, body.strip() or None, headers)
        assert response.status < 500
        if not expected:
            assert (response.status, response.body) == (204, b""), line
            continue
        assert same_shape(response.json(), json.loads(expected)), (line, response.text)
        assert (response.status >= 400) == ("error" in json.loads(expected)), line


def test_protocol_stream_examples(server: Server) -> None:
    """Each frame to /ws/events is acknowledged as documented."""
    frames, acks = blocks("json agent"), blocks("json ack")
    assert len(frames) == len(acks) == 3
    with connect(server.ws("/ws/events")) as stream:
        for text, expected in zip(frames, acks, strict=True):
            stream.send(text)
            ack, documented = json.loads(stream.recv(timeout=10)), json.loads(expected)
            assert same_shape(ack, documented)
            assert (ack.get("n"), ack.get("event_ids")) == (
                documented.get("n"),
                documented.get("event_ids"),
            )


def test_protocol_examples_of_server_messages(tmp_path: Path) -> None:
    """A real session yields each documented message with the same fields."""
    shown = {message["type"]: message for message in map(json.loads, blocks("json server"))}
    seen: dict[str, Any] = {}
    with (
        running(tmp_path / "home", "--forget-after", "2s") as server,
        connect(server.ws("/ws/broadcasts")) as dashboard,
    ):

        def collect(*types: str) -> None:
            while not set(types) <= set(seen):
                message = json.loads(dashboard.recv(timeout=15))
                seen.setdefault(message["type"], message)

        server.send("claude-1", tool_name="Read", session_id="s-1")
        collect("presence_update")
        with connect(server.ws("/ws/broadcasts")) as second:
            state = json.loads(second.recv(timeout=15))
        headers = {"X_Agent_ID": "claude-1", "X_Session_ID": "s-1"}
        server.post("/api/broadcast/tracks/track-1", {"title": "Checkout"}, **headers)
        collect("broadcast_event", "presence_removed")
        dashboard.send("ping")
        dashboard.send('{"type":"hello"}')
        dashboard.send('{"type":"subscribe","agents":["claude-1"],"statuses":["idle"]}')
        collect("pong", "error", "subscribed")
    seen["presence_state"] = state
    assert set(shown) == set(seen)
    for kind, message in shown.items():
        assert same_shape(seen[kind], message), (kind, seen[kind])


def test_protocol_examples_of_dashboard_messages(server: Server) -> None:
    """The server accepts each of them."""
    with connect(server.ws("/ws/broadcasts")) as dashboard:
        for text in [*blocks("json client"), "ping", "subscribe"]:
            dashboard.send(text)
        dashboard.send("the end")
        types = []
        while "error" not in types:
            types.append(json.loads(dashboard.recv(timeout=15))["type"])
    assert types.count("pong") == 2
    assert types.count("subscribed") == 3
    assert types[-1] == "error"
    full = json.loads(blocks("json client")[-1])
    assert set(full) == {"type", *protocol.Filter.__slots__}


def test_protocol_event_fields() -> None:
    """The table lists the fields of Event."""
    assert [row[0] for row in rows(section("Events"))] == [field.name for field in fields(Event)]


def test_protocol_event_types() -> None:
    """The table lists exactly the event types with a meaning."""
    assert {row[0] for row in rows(section("Event types"))} == KNOWN_TYPES


def test_protocol_close_codes() -> None:
    """The table lists the close codes and whether clients reconnect."""
    table = {int(row[0]): row[2].startswith("yes") for row in rows(section("Close codes"))}
    assert table == {int(code): code.reconnect for code in protocol.CloseCode}


def test_protocol_limits() -> None:
    """The limits match the code."""
    defaults = {setting.flag: setting.default for setting in SETTINGS}
    table = rows(section("Limits"))
    for _, bound, flag in table:
        if flag:
            assert int(bound.split()[0]) == defaults[flag]
    fixed = {int(bound.split()[0]) for _, bound, flag in table if not flag}
    assert fixed == {
        MAX_REQUEST_EVENTS,
        MAX_NDJSON_LINES,
        protocol.MAX_CLIENT_FRAME_BYTES,
        protocol.MAX_FILTER_VALUES,
        MAX_HOSTS_KNOWN,
        protocol.MAX_JSON_VALUES,
        MAX_RESOURCE_GROUPS,
        MAX_RECORDS,
        MAX_ATTRIBUTES,
        MAX_MEMBERS,
        MAX_OPEN_DEPTH,
        protocol.STATE_PART_AGENTS,
        MAX_EXPORT_WORKERS,
        MAX_WAITING_EXPORTS,
    }
    assert f"to {MAX_EXTRA_BYTES} bytes" in section("Events")
    assert f"1 to {MAX_ID_CHARS} characters" in section("Events")
    assert f"Version {protocol.PROTOCOL_VERSION}." in PROTOCOL


# README.md, SETTINGS.md and the other pages


def test_settings_table() -> None:
    """The table lists all settings with flag, variable, default and description."""
    table = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", SETTINGS_PAGE, re.DOTALL)
    assert table
    assert rows(table[1]) == [
        [
            setting.flag,
            setting.variable,
            setting.default_text,
            setting.help,
        ]
        for setting in SETTINGS
    ]


def test_serve_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """``serve --help`` lists each flag with its variable."""
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert setting.flag in text
        assert setting.variable in text


def test_readme_commands_exist() -> None:
    """README shows how to start and test, and mentions only existing commands."""
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
    assert "htmlgraph-nb demo" in shell
    assert "python3 -m tests" in shell
    for module in re.findall(r"-m ((?:tests|htmlgraph_\w+)[\w.]*)", README):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for command in set(re.findall(r"(?:^|`)htmlgraph-nb ([a-z]\w*)", README, re.M)):
        with pytest.raises(SystemExit) as exit_info:
            main([command, "--help"])
        assert exit_info.value.code == 0, command


def test_contributing_module_map_is_complete() -> None:
    """The map names every folder of both packages, and every path it mentions exists."""
    module_map = CONTRIBUTING.partition("## Module map")[2].partition("```\n\n")[0]
    for package in PACKAGES.values():
        for folder in package.iterdir():
            if (folder / "__init__.py").exists():
                assert f"{folder.name}/" in module_map, folder.name
    for name in re.findall(
        r"`((?:coding_agents|core|handlers|static|view|model)/[\w./]+)`", CONTRIBUTING
    ):
        matches = [path for package in PACKAGES.values() for path in package.rglob("*")]
        assert any(path.as_posix().endswith(f"/{name.rstrip('/')}") for path in matches), name


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_links_exist(page: Path) -> None:
    """Files and headings that a page links to exist."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), target
