"""Discovery: candidates, tokens and error texts; arguments of PresenceClient."""

from __future__ import annotations

import json

import pytest

from htmlgraph_nb.client.discovery import (
    Address,
    Environment,
    candidates,
    jupyter_server,
    not_found_text,
)
from htmlgraph_nb.client.presence_client import PresenceClient
from htmlgraph_nb.errors import ConfigError, ConnectError, InvalidEvent


def environment(env=None, running=None, jupyter=None, parent=0) -> Environment:
    return Environment(env or {}, [running] if running else [], jupyter or {}, parent)


def pairs(servers) -> list[tuple[str, str | None]]:
    """Return the address and token of each candidate."""
    return [(server.address.url, server.token) for server in servers]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://Example.org/", "http://example.org:80"),
        ("https://hub.example/user/x/htmlgraph/", "https://hub.example:443/user/x/htmlgraph"),
        ("ws://localhost:9/ws/broadcasts", "http://localhost:9"),
        ("wss://h/base/ws/broadcasts", "https://h:443/base"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_address_parse_accepts_all_schemes(url, shown):
    """http, https, ws and wss URLs, with or without base and route."""
    assert Address.parse(url).url == shown


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "localhost", "ftp://h", "http://", "http://h:99999", "http://[::1", ""],
)
def test_client_rejects_malformed_url(url):
    """The error contains the value and an example."""
    with pytest.raises(ConfigError, match="expected http://host:port"):
        PresenceClient(url)


@pytest.mark.parametrize(
    "url", ["http://h:1/?token=hunter2", "http://me:hunter2@h:1", "ws://hunter2@h/ws/broadcasts"]
)
def test_client_rejects_secret_in_url_without_repeating_it(url):
    """URLs are logged and displayed, so a token in one is an error that does not contain it."""
    with pytest.raises(ConfigError, match="token=") as caught:
        PresenceClient(url)
    assert "hunter2" not in str(caught.value)


def test_address_websocket_url_omits_none_parameters():
    """Parameters are escaped, and the token is not among them."""
    address = Address.parse("https://h/base")
    assert address.websocket() == "wss://h:443/base/ws/broadcasts"
    url = address.websocket(since="ab:3", session="a b&c", token=None)
    assert url == "wss://h:443/base/ws/broadcasts?since=ab%3A3&session=a+b%26c"


def test_candidates_are_ordered():
    """The kernel's Jupyter Server, then the user's servers, then the default address."""
    servers = candidates(
        None,
        None,
        environment(
            running={"url": "http://127.0.0.1:9001", "token": "run"},
            jupyter={"url": "http://localhost:8888/user/x/", "token": "jup"},
        ),
    )
    assert pairs(servers) == [
        ("http://localhost:8888/user/x/htmlgraph", "jup"),
        ("http://127.0.0.1:9001", "run"),
        ("http://127.0.0.1:8000", None),
    ]


def test_candidates_begin_with_server_file_of_the_parent():
    """Its server file suffices; Jupyter's own file, which may have no token, is not used."""
    own = {"url": "http://127.0.0.1:8888/x/htmlgraph", "token": "secret", "pid": "7"}
    other = {"url": "http://127.0.0.1:9001", "token": "run", "pid": "8"}
    jupyter = {"url": "http://localhost:8888/x/", "token": ""}
    servers = candidates(None, None, Environment({}, [other, own], jupyter, 7))
    assert pairs(servers) == [
        ("http://127.0.0.1:8888/x/htmlgraph", "secret"),
        ("http://127.0.0.1:9001", "run"),
        ("http://127.0.0.1:8000", None),
    ]


HUB = {
    "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
    "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
    "JUPYTERHUB_API_TOKEN": "of-hub",
}


def test_candidates_use_the_jupyterhub_token():
    """For the single-user server, and for no other server."""
    own = {"url": "http://127.0.0.1:8888/user/ada/htmlgraph", "token": "", "pid": "7"}
    other = {"url": "http://127.0.0.1:9001", "token": "run", "pid": "8"}
    expected = [
        ("http://127.0.0.1:8888/user/ada/htmlgraph", "of-hub"),
        ("http://127.0.0.1:9001", "run"),
        ("http://127.0.0.1:8000", None),
    ]
    assert pairs(candidates(None, None, Environment(HUB, [other, own], {}, 7))) == expected
    assert pairs(candidates(None, None, Environment(HUB, [other], {}))) == expected


def test_candidates_htmlgraph_url_is_exclusive():
    """Another server would show other agents."""
    env = {"HTMLGRAPH_URL": "http://far.example:1", "HTMLGRAPH_TOKEN": "t"}
    servers = candidates(None, None, environment(env, running={"url": "http://127.0.0.1:9001"}))
    assert pairs(servers) == [("http://far.example:1", "t")]


def test_candidates_are_distinct():
    """The last server usually has the default address."""
    servers = candidates(
        None, None, environment(running={"url": "http://127.0.0.1:8000", "token": "run"})
    )
    assert pairs(servers) == [("http://127.0.0.1:8000", "run")]


def test_candidates_given_url_gets_its_known_token():
    """The token in a server file is matched by host and port."""
    known = environment(
        {"HTMLGRAPH_URL": "http://far.example:1", "HTMLGRAPH_TOKEN": "env"},
        running={"url": "http://127.0.0.1:9001", "token": "run"},
    )
    assert pairs(candidates("ws://localhost:9001", None, known)) == [
        ("http://localhost:9001", "run")
    ]
    assert candidates("http://far.example:1", None, known)[0].token == "env"
    assert candidates("http://far.example:1", "mine", known)[0].token == "mine"


def test_candidates_never_send_a_token_to_another_server():
    """Neither another host nor another port nor plain text instead of TLS gets a known token."""
    known = environment(
        {"HTMLGRAPH_URL": "https://far.example", "HTMLGRAPH_TOKEN": "env"},
        running={"url": "http://127.0.0.1:9001", "token": "run"},
        jupyter={"url": "http://127.0.0.1:8888/", "token": "jup"},
    )
    for url in ("http://far.example", "https://other.example", "http://127.0.0.1:9002"):
        assert candidates(url, None, known)[0].token is None
    alone = environment({"HTMLGRAPH_TOKEN": "env"})
    assert candidates("http://far.example:8000", None, alone)[0].token is None
    assert candidates("http://127.0.0.1:8000", None, alone)[0].token == "env"


def test_candidates_malformed_htmlgraph_url_is_named():
    """The error names the variable."""
    with pytest.raises(
        ConfigError, match=r"HTMLGRAPH_URL: url: expected http://host:port, .*got 'nowhere'"
    ):
        candidates(None, None, environment({"HTMLGRAPH_URL": "nowhere"}))


def test_candidates_skip_unsupported_server_urls():
    """A Jupyter Server on a UNIX socket has no host and port."""
    servers = candidates(None, None, environment(jupyter={"url": "http+unix://%2Ftmp%2Fs/"}))
    assert pairs(servers) == [("http://127.0.0.1:8000", None)]


def test_candidate_repr_hides_its_token():
    """It may be logged."""
    servers = candidates("http://127.0.0.1:1", "hunter2", environment())
    assert "hunter2" not in repr(servers)
    assert servers[0].headers == {"Authorization": "Bearer hunter2"}


def test_jupyter_server_reads_the_file_of_the_process(monkeypatch, tmp_path):
    """Only the file of the given process counts; a broken one is ignored."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "jpserver-7.json").write_text(json.dumps({"url": "http://h/", "token": "t"}))
    (tmp_path / "jpserver-8.json").write_text("{")
    assert jupyter_server(7) == {"url": "http://h/", "token": "t"}
    assert jupyter_server(8) == {}
    assert jupyter_server(9) == {}


def test_explain_lists_candidates_reasons_and_help():
    """A person without a server reads what to do."""
    servers = candidates(None, None, environment(running={"url": "http://127.0.0.1:9001"}))
    text = not_found_text([(servers[0], "connection refused"), (servers[1], "HTTP 404")])
    assert "http://127.0.0.1:9001 (a server of this user): connection refused" in text
    assert "http://127.0.0.1:8000 (the default address): HTTP 404" in text
    assert "htmlgraph-nb serve" in text


def test_client_rejects_invalid_filter():
    """An unknown field, and a string instead of a list."""
    with pytest.raises(InvalidEvent, match="did you mean 'agents'"):
        PresenceClient("http://127.0.0.1:1", filter={"agent": ["a"]})
    with pytest.raises(InvalidEvent, match="expected an array"):
        PresenceClient("http://127.0.0.1:1", filter={"agents": "a"})


def test_client_close_before_start_is_final():
    """close() is idempotent, and start() raises afterwards."""
    client = PresenceClient("http://127.0.0.1:1")
    assert client.status == "connecting"
    client.close()
    client.close()
    assert client.status == "closed"
    with pytest.raises(ConnectError, match="was closed"):
        client.start()
