"""Names of Jupyter AI's personas."""

from __future__ import annotations

import pytest

from htmlgraph_nb.coding_agents.registry import AGENTS
from htmlgraph_server.jupyter.persona_names import name_persona, persona_class

SESSION = "0b9d6f4e-6d3c-4a51-9f2e-0c6a1d2b3e4f"
CLAUDE = "jupyter-ai-personas::jupyter_ai_acp_client::ClaudeAcpPersona"
JUPYTERNAUT = "jupyter-ai-personas::jupyter_ai_jupyternaut::JupyternautPersona"


def test_name_persona_is_that_of_the_agents_own_sources() -> None:
    """The id of a session is shared with hooks and session files, so the agent is the same."""
    assert name_persona("chat-1", CLAUDE, SESSION) == ("claude-0b9d6f4e", SESSION, "claude")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CodexAcpPersona", "codex"),
        ("GeminiAcpPersona", "gemini"),
        ("OpenCodeAcpPersona", "opencode"),
        ("KiroAcpPersona", "kiro"),
        ("MistralVibeAcpPersona", "vibe"),
    ],
)
def test_name_persona_knows_the_kinds_of_agents(name: str, kind: str) -> None:
    """The name of the class says which agent it runs."""
    named = name_persona("chat-1", f"jupyter-ai-personas::package::{name}", SESSION)
    assert (named.agent_id, named.kind) == (f"{kind}-0b9d6f4e", kind)
    assert set(AGENTS) >= {"claude", "codex", "gemini"}


def test_name_persona_without_a_session_depends_on_chat_and_persona() -> None:
    """It is the same after a restart, and differs between chats and personas."""
    first = name_persona("chat-1", JUPYTERNAUT, None)
    assert first == name_persona("chat-1", JUPYTERNAUT, None)
    assert first.agent_id.startswith("jupyternaut-")
    assert len(first.agent_id) == len("jupyternaut-0b9d6f4e")
    assert first.kind == "jupyter-ai"
    assert first.session_id != name_persona("chat-2", JUPYTERNAUT, None).session_id
    assert first.session_id != name_persona("chat-1", "a::b::Other", None).session_id


@pytest.mark.parametrize("persona_id", ["", "::", "x::y::not a class", "x::Persona", "\ud800"])
def test_name_persona_accepts_any_id(persona_id: str) -> None:
    """Ids of another form belong to an agent of the kind jupyter-ai."""
    named = name_persona("chat-1", persona_id, 7)
    assert named.agent_id.startswith("jupyter-ai-")
    assert named.kind == "jupyter-ai"


def test_persona_class_is_the_last_part() -> None:
    """An id of another form has none."""
    assert persona_class(CLAUDE) == "ClaudeAcpPersona"
    assert persona_class("x::y::rm -rf") == ""
