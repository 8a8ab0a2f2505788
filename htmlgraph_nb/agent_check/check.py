"""Check the reader of an agent with recorded sessions."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..coding_agents.agent import CodingAgent
from ..coding_agents.registry import AGENTS
from ..coding_agents.session import parse_record
from ..core.model import Event
from ..errors import InvalidEvent
from ..ingest.event_buffer import final_events
from ..ingest.session_files import coding_agent
from .phases import Scorer, describe, read_phases
from .playback import Replay
from .reader_properties import reader_problems
from .recording_folder import FolderRecording, find_recordings, read_recording

if TYPE_CHECKING:
    import pandas as pd

_SNIFFED_LINES = 20
_TOKENS = {
    "input_tokens": ("input_tokens",),
    "cache_read_tokens": ("cache_read_tokens",),
    "cache_creation_tokens": ("cache_write_5m_tokens", "cache_write_1h_tokens"),
    "output_tokens": ("output_tokens",),
}
"""Total in tokens.json → the fields of completions that it sums up."""


@dataclass(frozen=True, slots=True)
class RecordingCheck:
    """The result of one recording.

    Attributes:
        name: name of its folder.
        events: number of events.
        phases, met: number of phases that could be judged, and of those that were as expected.
        flips: number of states that were shown and that no phase expects.
        tokens: whether the totals are those of tokens.json; None: there is none.
        problems: what is wrong, as sentences.
    """

    name: str
    events: int
    phases: int = 0
    met: int = 0
    flips: int = 0
    tokens: bool | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentCheck:
    """The result of ``check_agent``.

    Attributes:
        agent: name of the agent.
        recordings: the result of each recording.
    """

    agent: str
    recordings: tuple[RecordingCheck, ...] = field(default=())

    @property
    def problems(self) -> list[str]:
        """What is wrong, as sentences that begin with the recording."""
        return [f"{each.name}: {text}" for each in self.recordings for text in each.problems]

    @property
    def frame(self) -> pd.DataFrame:
        """A row for each recording, with the fields of RecordingCheck."""
        import pandas as pd

        names = ("name", "events", "phases", "met", "flips", "tokens", "problems")
        rows = [[getattr(each, name) for name in names] for each in self.recordings]
        return pd.DataFrame(rows, columns=list(names))

    def __str__(self) -> str:
        met, phases = (sum(getattr(each, name) for each in self.recordings) for name in _SUMS)
        equal = [each.tokens for each in self.recordings if each.tokens is not None]
        head = (
            f"{self.agent}: {len(self.recordings)} recordings, {met} of {phases} phases as "
            f"expected, tokens equal in {sum(equal)} of {len(equal)}"
        )
        return "\n".join([head, *(self.problems or ["no problems"])])


_SUMS = ("met", "phases")


def check_agent(agent: str, folder: str | os.PathLike[str]) -> AgentCheck:
    """Check the reader of a coding agent with recorded sessions.

    It checks that the first lines are recognized; that reading the file in parts, up to the middle
    of a line and twice gives the same events; that no line raises an error, whatever it contains;
    that the events are valid; and, if the recording says so, that the shown states and the token
    totals are as expected.

    Args:
        agent: name of an agent that is built in or that an installed package adds.
        folder: folder with recordings at any depth. Each is a folder with ``transcript.jsonl``, the
            session file, and optionally ``events.jsonl``, ``expected.jsonl``, ``tokens.json`` and
            sidecars; notebooks/ADD_AGENT.md describes them.

    Returns:
        A result with ``problems``, a list of sentences that is empty if all is well, and ``frame``
        with a row for each recording.

    Raises:
        InvalidEvent: the agent is unknown, the folder has no recordings, or a file of a recording
            has another form.
        OSError: a file cannot be read.

    Example:
        >>> import htmlgraph_nb as hg
        >>> hg.check_agent("nova", "recordings").problems  # doctest: +SKIP
        []
    """
    # Not the guarded one, which hides its errors.
    checked = type(coding_agent(agent))()
    root = Path(os.path.expanduser(os.fspath(folder)))
    results = [
        _check(checked, read_recording(checked, path), path) for path in find_recordings(root)
    ]
    return AgentCheck(agent, tuple(results))


def _check(agent: CodingAgent, recording: FolderRecording, folder: Path) -> RecordingCheck:
    session = recording.session
    content = session.content or b""
    problems = _recognition_problems(agent, content)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, session.path.lstrip("/"))
        path.parent.mkdir(parents=True)
        for name, data in recording.sidecars.items():
            path.with_name(name).write_bytes(data)
        # A reader may look at its file, or beside it.
        path.write_bytes(content)
        problems += reader_problems(
            lambda: agent.session_reader(str(path)), content, agent.session_source
        )
        path.unlink()
        replay = Replay(recording, Path(temporary))
        replay.run()
    events = final_events(event for _, event in replay.fed if event.source == agent.session_source)
    n_phases = n_met = n_flips = 0
    expected = folder / "expected.jsonl"
    if expected.exists():
        score = Scorer(recording, replay.seen, replay.end).score(read_phases(expected))
        n_phases, n_met, n_flips = score.n_judged, score.n_met, len(score.flips)
        problems += [f"{each.phase}: {each.why}" for each in score.results if each.why]
        problems += [f"unexpected: {describe(each)}" for each in score.flips]
    tokens, differences = _compare_tokens(folder / "tokens.json", events)
    return RecordingCheck(
        name=folder.name,
        events=len(events),
        phases=n_phases,
        met=n_met,
        flips=n_flips,
        tokens=tokens,
        problems=(*problems, *differences),
    )


def _recognition_problems(agent: CodingAgent, content: bytes) -> list[str]:
    """Return whether another agent, or none, recognizes the first lines."""
    for line in content.splitlines()[:_SNIFFED_LINES]:
        try:
            record = parse_record(line)
        except InvalidEvent:
            continue
        for name, other in AGENTS.items():
            if name != agent.name and other.is_session_record(record):
                return [f"the agent {name} recognizes the file as its own"]
        if agent.is_session_record(record):
            return []
    return [f"is_session_record recognizes none of the first {_SNIFFED_LINES} lines"]


def _compare_tokens(path: Path, events: Sequence[Event]) -> tuple[bool | None, list[str]]:
    if not path.exists():
        return None, []
    expected: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(expected, dict) or set(expected) - set(_TOKENS):
        raise InvalidEvent(f"{path}: expected an object with some of {', '.join(_TOKENS)}")
    sums = {
        name: sum(getattr(event, part) or 0 for event in events for part in _TOKENS[name])
        for name in expected
    }
    differences = [
        f"{name}: expected {expected[name]:,}, got {sums[name]:,}"
        for name in expected
        if sums[name] != expected[name]
    ]
    return not differences, differences
