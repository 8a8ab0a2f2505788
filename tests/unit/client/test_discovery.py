"""Where a client looks for a server, which token goes where, and when it comes back."""

from __future__ import annotations

import json

import pytest

from htmlgraph_nb.client.connection_state import ConnectionState, Disconnect, reconnect_delay
from htmlgraph_nb.client.discovery import (
    Address,
    Environment,
    candidates,
    explain,
    jupyter_server,
)
from htmlgraph_nb.client.presence_client import PresenceClient
from htmlgraph_nb.core.validation import parse_time
from htmlgraph_nb.errors import ConfigError, ConnectError, InvalidEvent


def around(env=None, running=None, jupyter=None, parent=0) -> Environment:
    return Environment(env or {}, [running] if running else [], jupyter or {}, parent)


def listed(found) -> list[tuple[str, str | None]]:
    return [(one.address.url, one.token) for one in found]


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
def test_an_address_is_read_from_every_form(url, shown):
    """http, https, ws and wss URLs, with or without base and route, name one server."""
    assert Address.parse(url).url == shown


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "localhost", "ftp://h", "http://", "http://h:99999", "http://[::1", ""],
)
def test_a_url_of_another_form_is_refused_with_an_example(url):
    """The error shows what was given and what to type."""
    with pytest.raises(ConfigError, match="expected http://host:port"):
        PresenceClient(url)


@pytest.mark.parametrize(
    "url", ["http://h:1/?token=hunter2", "http://me:hunter2@h:1", "ws://hunter2@h/ws/broadcasts"]
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url):
    """URLs are logged and shown, so a token in one is an error whose text does not hold it."""
    with pytest.raises(ConfigError, match="token=") as caught:
        PresenceClient(url)
    assert "hunter2" not in str(caught.value)


def test_the_websocket_url_holds_cursor_and_session_but_no_token():
    """Parameters that are None are left out; texts are escaped."""
    address = Address.parse("https://h/base")
    assert address.websocket() == "wss://h:443/base/ws/broadcasts"
    url = address.websocket(since="ab:3", session="a b&c", token=None)
    assert url == "wss://h:443/base/ws/broadcasts?since=ab%3A3&session=a+b%26c"


def test_the_places_are_tried_in_order():
    """The Jupyter Server of the kernel, then the user's servers, then the default address."""
    found = candidates(
        None,
        None,
        around(
            running={"url": "http://127.0.0.1:9001", "token": "run"},
            jupyter={"url": "http://localhost:8888/user/x/", "token": "jup"},
        ),
    )
    assert listed(found) == [
        ("http://localhost:8888/user/x/htmlgraph", "jup"),
        ("http://127.0.0.1:9001", "run"),
        ("http://127.0.0.1:8000", None),
    ]


def test_the_server_of_the_kernel_comes_first_with_the_secret_that_it_left():
    """Its own announcement counts, and Jupyter's file, which may know no token, is not needed."""
    own = {"url": "http://127.0.0.1:8888/x/htmlgraph", "token": "secret", "pid": "7"}
    other = {"url": "http://127.0.0.1:9001", "token": "run", "pid": "8"}
    jupyter = {"url": "http://localhost:8888/x/", "token": ""}
    found = candidates(None, None, Environment({}, [other, own], jupyter, 7))
    assert listed(found) == [
        ("http://127.0.0.1:8888/x/htmlgraph", "secret"),
        ("http://127.0.0.1:9001", "run"),
        ("http://127.0.0.1:8000", None),
    ]


HUB = {
    "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
    "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
    "JUPYTERHUB_API_TOKEN": "of-hub",
}


def test_on_jupyterhub_the_token_of_the_hub_counts():
    """For the single-user server, and for no other server."""
    own = {"url": "http://127.0.0.1:8888/user/ada/htmlgraph", "token": "", "pid": "7"}
    other = {"url": "http://127.0.0.1:9001", "token": "run", "pid": "8"}
    expected = [
        ("http://127.0.0.1:8888/user/ada/htmlgraph", "of-hub"),
        ("http://127.0.0.1:9001", "run"),
        ("http://127.0.0.1:8000", None),
    ]
    assert listed(candidates(None, None, Environment(HUB, [other, own], {}, 7))) == expected
    assert listed(candidates(None, None, Environment(HUB, [other], {}))) == expected


def test_htmlgraph_url_is_the_only_place():
    """A named server is not replaced by another one, which would show other agents."""
    env = {"HTMLGRAPH_URL": "http://far.example:1", "HTMLGRAPH_TOKEN": "t"}
    found = candidates(None, None, around(env, running={"url": "http://127.0.0.1:9001"}))
    assert listed(found) == [("http://far.example:1", "t")]


def test_a_place_is_listed_once():
    """The last server is usually the one at the default address."""
    found = candidates(None, None, around(running={"url": "http://127.0.0.1:8000", "token": "run"}))
    assert listed(found) == [("http://127.0.0.1:8000", "run")]


def test_a_given_url_gets_the_token_that_is_known_for_its_server():
    """The token that a server left for its user is found by host and port."""
    known = around(
        {"HTMLGRAPH_URL": "http://far.example:1", "HTMLGRAPH_TOKEN": "env"},
        running={"url": "http://127.0.0.1:9001", "token": "run"},
    )
    assert listed(candidates("ws://localhost:9001", None, known)) == [
        ("http://localhost:9001", "run")
    ]
    assert candidates("http://far.example:1", None, known)[0].token == "env"
    assert candidates("http://far.example:1", "mine", known)[0].token == "mine"


def test_no_token_goes_to_a_server_that_it_was_not_given_for():
    """Neither another host nor another port nor plain text instead of TLS gets a known token."""
    known = around(
        {"HTMLGRAPH_URL": "https://far.example", "HTMLGRAPH_TOKEN": "env"},
        running={"url": "http://127.0.0.1:9001", "token": "run"},
        jupyter={"url": "http://127.0.0.1:8888/", "token": "jup"},
    )
    for url in ("http://far.example", "https://other.example", "http://127.0.0.1:9002"):
        assert candidates(url, None, known)[0].token is None
    alone = around({"HTMLGRAPH_TOKEN": "env"})
    assert candidates("http://far.example:8000", None, alone)[0].token is None
    assert candidates("http://127.0.0.1:8000", None, alone)[0].token == "env"


def test_a_broken_htmlgraph_url_is_named():
    """The error says which setting is wrong."""
    with pytest.raises(ConfigError, match="HTMLGRAPH_URL: the url is 'nowhere'"):
        candidates(None, None, around({"HTMLGRAPH_URL": "nowhere"}))


def test_an_announced_address_that_cannot_be_used_is_passed_over():
    """A Jupyter Server on a UNIX socket has no host and port."""
    found = candidates(None, None, around(jupyter={"url": "http+unix://%2Ftmp%2Fs/"}))
    assert listed(found) == [("http://127.0.0.1:8000", None)]


def test_a_candidate_does_not_show_its_token():
    """The text form of a candidate may land in a log."""
    found = candidates("http://127.0.0.1:1", "hunter2", around())
    assert "hunter2" not in repr(found)
    assert found[0].headers == {"Authorization": "Bearer hunter2"}


def test_the_jupyter_server_of_the_parent_is_read_from_its_file(monkeypatch, tmp_path):
    """Only the file of the given process counts; a broken one is no server."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "jpserver-7.json").write_text(json.dumps({"url": "http://h/", "token": "t"}))
    (tmp_path / "jpserver-8.json").write_text("{")
    assert jupyter_server(7) == {"url": "http://h/", "token": "t"}
    assert jupyter_server(8) == {}
    assert jupyter_server(9) == {}


def test_the_explanation_names_each_place_its_reason_and_what_to_type():
    """A person without a server reads what to do."""
    found = candidates(None, None, around(running={"url": "http://127.0.0.1:9001"}))
    text = explain([(found[0], "connection refused"), (found[1], "HTTP 404")])
    assert "http://127.0.0.1:9001 (a server of this user): connection refused" in text
    assert "http://127.0.0.1:8000 (the default address): HTTP 404" in text
    assert "htmlgraph-nb serve" in text


def test_the_first_pause_is_three_seconds_and_the_next_ones_grow():
    """After a close 3 s; then between the bounds of each attempt, and never above 30 s."""
    lost = Disconnect("connection lost", established=True)
    assert reconnect_delay(lost, 0, 0.0) == reconnect_delay(lost, 0, 0.999) == 3.0
    least = [reconnect_delay(lost, attempt, 0.0) for attempt in range(6)]
    most = [reconnect_delay(lost, attempt, 1.0) for attempt in range(6)]
    assert least == [3.0, 4.5, 7.5, 13.5, 16.5, 16.5]
    assert most == [3.0, 6.0, 12.0, 24.0, 30.0, 30.0]
    assert reconnect_delay(lost, 10**6, 1.0) == 30.0


@pytest.mark.parametrize(
    ("ending", "pause"),
    [
        (Disconnect("limit", code=1008), 30.0),
        (Disconnect("limit", established=True, code=1008), 30.0),
        (Disconnect("token", status=401), 30.0),
        (Disconnect("token", status=403), 30.0),
        (Disconnect("bad cursor", code=4400), None),
        (Disconnect("bye", established=True, code=1001), 3.0),
        (Disconnect("stalled", established=True, code=4408), 3.0),
        (Disconnect("other program", status=404), 3.0),
    ],
)
def test_the_close_code_decides_on_the_pause(ending, pause):
    """A refusal waits long, a wrong parameter ends it, everything else comes back soon."""
    assert reconnect_delay(ending, 0, 0.5) == pause


def test_a_connection_is_shown_with_its_age():
    """The front end gets state, the time since when the data are old, and the explanation."""
    since = parse_time("2025-01-14T14:50:30Z")
    assert ConnectionState("reconnecting", since, "lost").to_dict() == {
        "state": "reconnecting",
        "staleSince": "2025-01-14T14:50:30.000000Z",
        "detail": "lost",
    }
    assert ConnectionState().to_dict() == {"state": "connecting", "staleSince": None, "detail": ""}


def test_a_filter_is_checked_before_anything_is_sent():
    """An unknown field and a text in place of a list are errors of the constructor."""
    with pytest.raises(InvalidEvent, match="did you mean 'agents'"):
        PresenceClient("http://127.0.0.1:1", filter={"agent": ["a"]})
    with pytest.raises(InvalidEvent, match="expected an array"):
        PresenceClient("http://127.0.0.1:1", filter={"agents": "a"})


def test_a_client_that_was_never_started_closes_and_stays_closed():
    """close() is idempotent, and afterwards nothing starts again."""
    client = PresenceClient("http://127.0.0.1:1")
    assert client.status == "connecting"
    client.close()
    client.close()
    assert client.status == "closed"
    with pytest.raises(ConnectError, match="was closed"):
        client.start()
