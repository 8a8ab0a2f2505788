"""htmlgraph-statusline as Claude Code starts it: a real process, real files, a real server."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htmlgraph_nb.hook import status_report, statusline
from tests.helpers.paths import ROOT
from tests.helpers.wait import wait_until

FULL = (ROOT / "tests/payloads/claude_statusline/full.json").read_bytes()
SESSION = json.loads(FULL)["session_id"]
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from htmlgraph_nb.hook.statusline import main; sys.exit(main())",
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the data folder."""
    return tmp_path / "home"


def environ(home: Path, **others: str) -> dict[str, str]:
    """Return the environment of the process."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HTMLGRAPH_")}
    return {**clean, "HTMLGRAPH_HOME": str(home), **others}


def run(home: Path, stdin: bytes, *arguments: str, **others: str) -> bytes:
    """Run the status line and return its output; its status is always 0."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        env=environ(home, **others),
        timeout=60,
        check=True,
    )
    return done.stdout


def spooled(home: Path) -> list[dict[str, Any]]:
    """Return the events in the spool file."""
    path = home / "spool.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [json.loads(line)["event"] for line in lines]


pieces = st.sampled_from(
    [b"\x1b[31m", b"\x1b[0m", b"\n", b"\r\n", b"\t", b"\0", b"\xff\xfe", "█ 42% │ ".encode()]
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(pieces | st.binary(max_size=40), max_size=8).map(b"".join))
def test_statusline_prints_the_output_of_the_own_command_unchanged(
    tmp_path_factory: pytest.TempPathFactory, output: bytes
) -> None:
    """Byte for byte: colors, several lines, no line end, bytes that are no text."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "output").write_bytes(output)
    assert run(folder / "home", FULL, statusline.RUN, f"cat '{folder / 'output'}'") == output


def test_own_command_is_ended_if_it_prints_without_end() -> None:
    """Its output is cut, and nobody waits until its time is up."""
    own = statusline._OwnCommand("yes", b"")
    with own._process:
        assert not own.wait(math.inf)
    assert len(own.output) >= statusline.MAX_OUTPUT_BYTES


def test_statusline_passes_input_and_environment_on(home: Path) -> None:
    """The own command reads the same bytes, however many, and sees the same variables."""
    for stdin in (FULL, b"no json \xff", b"x" * 300_000):
        assert run(home, stdin, statusline.RUN, "cat") == stdin
    shown = run(home, FULL, statusline.RUN, "printf %s-%s $COLUMNS $PWD", COLUMNS="81")
    assert shown.decode() == f"81-{os.getcwd()}"


def test_statusline_ignores_the_status_of_the_own_command(home: Path) -> None:
    """What it printed counts; without input being read, nothing blocks."""
    assert run(home, FULL, statusline.RUN, "printf 'my line'; exit 3") == b"my line"
    assert run(home, b"x" * 300_000, statusline.RUN, "true") == b""


@pytest.mark.parametrize("command", ["no-such-program-4711", "exit 3", "sleep 600; echo late"])
def test_statusline_replaces_a_command_that_fails(
    home: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, failed without output or hanging: a line of our own, within a bounded time."""
    program = PROGRAM[2].replace(
        "import sys;", "import sys; import htmlgraph_nb.hook.statusline as s;"
    )
    program = program.replace("from htmlgraph_nb", "s.COMMAND_TIMEOUT_S = 0.5; from htmlgraph_nb")
    monkeypatch.setitem(globals(), "PROGRAM", [*PROGRAM[:2], program])
    assert "42% of 200k" in run(home, FULL, statusline.RUN, command).decode()


def test_statusline_does_not_wait_for_programs_in_the_background(home: Path) -> None:
    """A command that starts one, which keeps its output open, ends all the same."""
    assert run(home, FULL, statusline.RUN, "sleep 600 & echo $!").strip().isdigit()


def test_statusline_ends_its_command_with_itself(home: Path, tmp_path: Path) -> None:
    """Claude Code ends a status line that still runs at the next update."""
    pid_file = tmp_path / "pid"
    with subprocess.Popen(
        [*PROGRAM, statusline.RUN, f"echo $$ > '{pid_file}'; sleep 600; true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environ(home),
    ) as process:
        assert process.stdin is not None
        process.stdin.write(FULL)
        process.stdin.close()
        wait_until(lambda: pid_file.exists() and pid_file.read_text().strip())
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    pid = int(pid_file.read_text())
    wait_until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("stdin", [b"", b"garbage", b"[1]", b'{"session_id": 7}', b"[" * 99_999])
def test_statusline_prints_a_line_for_any_input(home: Path, stdin: bytes) -> None:
    """There is always something to show, and nothing to report."""
    assert run(home, stdin) == b"htmlgraph-nb\n"
    assert spooled(home) == []


def test_statusline_goes_on_without_input(home: Path) -> None:
    """An input that stays open does not keep it waiting."""
    with subprocess.Popen(
        PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ(home)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"htmlgraph-nb\n"
        assert process.wait(timeout=30) == 0


def test_statusline_prints_although_nothing_can_be_written(tmp_path: Path) -> None:
    """A data folder that is a file loses the report, not the line."""
    home = tmp_path / "file"
    home.write_text("")
    assert "42% of 200k" in run(home, FULL).decode()


def test_statusline_reports_only_changes(home: Path) -> None:
    """The spool grows with news, not with calls; titles and contents of files are not in it."""
    assert "42% of 200k" in run(home, FULL).decode()
    info, quota = spooled(home)
    assert (info["event_type"], info["agent_id"]) == ("session_info", "claude-4a9c1ab2")
    assert info["session_id"] == SESSION
    assert info["source"] == "claude-statusline"
    assert quota["event_type"] == "quota"
    assert quota["extra"]["account"] == "claude"
    assert [window["window"] for window in quota["extra"]["windows"]] == ["5h", "weekly"]
    for _ in range(3):
        run(home, FULL)
    assert len(spooled(home)) == 2
    changed = json.loads(FULL)
    changed["rate_limits"]["five_hour"]["used_percentage"] = 25
    run(home, json.dumps(changed).encode(), HTMLGRAPH_AGENT="ada")
    (news,) = spooled(home)[2:]
    assert (news["event_type"], news["agent_id"]) == ("quota", "ada")


def test_statusline_files_are_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old sessions are forgotten, and a spool that nobody reads stops growing."""
    monkeypatch.setenv("HTMLGRAPH_HOME", str(home))
    monkeypatch.setattr(status_report, "MAX_SESSIONS", 3)
    for number in range(6):
        status = {**json.loads(FULL), "session_id": f"../s {number}"}
        assert status_report.report_status(status, {}) == 2
    assert len(os.listdir(home / "statusline")) == 3
    size = (home / "spool.jsonl").stat().st_size
    monkeypatch.setattr(status_report, "MAX_BACKLOG_BYTES", size)
    status = {**json.loads(FULL), "session_id": "late"}
    assert status_report.report_status(status, {}) == 0
    assert (home / "spool.jsonl").stat().st_size == size
    (home / "spool.jsonl").unlink()
    assert status_report.report_status(status, {}) == 2


def test_statusline_shows_who_waits_while_the_server_runs(home: Path) -> None:
    """The list of a server that has ended is outdated."""
    from htmlgraph_nb import paths

    home.mkdir()
    path = home / os.path.basename(paths.waiting_file())
    agents = [{"agent_id": "claude-1", "session_id": "s-1", "title": "checkout-flow"}]
    path.write_text(json.dumps({"pid": os.getpid(), "agents": agents}))
    assert run(home, FULL).decode().endswith(" │ 1 agent waits: checkout-flow\n")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    path.write_text(json.dumps({"pid": ended.pid, "agents": agents}))
    assert "waits" not in run(home, FULL).decode()


def test_statusline_starts_few_modules(home: Path) -> None:
    """Without news it loads what it needs for one line, and no other package."""
    run(home, FULL)
    program = (
        "import os, sys\nimport htmlgraph_nb.hook.statusline as line\n"
        "def report(status):\n    print(*sys.modules, sep='\\n', flush=True)\n    end(status)\n"
        "end, os._exit = os._exit, report\nline.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=FULL,
        capture_output=True,
        env=environ(home),
        timeout=60,
        check=True,
    )
    own = {name for name in done.stdout.decode().split() if name.startswith("htmlgraph_nb")}
    names = ("", ".hook", ".hook.statusline", ".hook.status_input", ".hook.status_report")
    names += (".hook.spool_file", ".paths")
    assert own == {f"htmlgraph_nb{name}" for name in names}
    loaded = set(done.stdout.decode().split())
    assert not loaded & {"subprocess", "socket", "http.client", "asyncio", "tempfile", "uuid"}
