"""Stores what the benchmarks measured in htmlgraph_nb/agent_check/accuracy.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from htmlgraph_nb.agent_check.coverage_table import ACCURACY_FILE
from htmlgraph_nb.coding_agents.registry import AGENTS
from tests.helpers.paths import ROOT

PATH = ROOT / "htmlgraph_nb/agent_check" / ACCURACY_FILE
FOLDER_NAMES = {
    "claudecode": "claude",
    "codex": "codex",
    "copilot": "copilot",
    "gemini-cli": "gemini",
    "kiro-cli": "kiro",
    "mistral-vibe": "vibe",
    "pi": "pi",
}
"""Folder of an agent's recordings → its name in the registry.

OpenCode is missing: its recordings are another program's rendering of its database.
"""


def has_reader(recording: Path) -> bool:
    """Return whether the recordings of an agent are its own files; others are left out."""
    return FOLDER_NAMES.get(recording.parent.name) in AGENTS


def write_accuracy(folder: str, numbers: Mapping[str, int]) -> None:
    """Replace numbers of the agent with this folder of recordings; see Accuracy for their names."""
    stored = json.loads(PATH.read_text()) if PATH.exists() else {}
    agent = FOLDER_NAMES[folder]
    stored[agent] = {**stored.get(agent, {}), **numbers}
    PATH.write_text(json.dumps(dict(sorted(stored.items())), indent=2) + "\n")
