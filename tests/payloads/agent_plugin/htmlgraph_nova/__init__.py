"""Nova: an agent that stores each session as ~/.nova/sessions/ID.jsonl."""

import os

from htmlgraph_nb.coding_agents import CodingAgent


class Nova(CodingAgent):
    """Nova."""

    name = "nova"
    label = "Nova"
    folder = ".nova"
    home_variable = "NOVA_HOME"
    has_hooks = True
    session_pattern = r"\.nova/sessions/[^/]+\.jsonl"
    commands = ("nova",)
    packages = ("@nova/cli",)

    def roots_in(self, home):
        from htmlgraph_nb.coding_agents import SessionRoot

        return [SessionRoot(self.name, os.path.join(home, "sessions"))]

    def is_session_record(self, record):
        return record.get("type") == "nova_session"

    def session_place(self, record):
        return record.get("id"), record.get("cwd")

    def session_reader(self, path, hash_input=lambda tool_input: None):
        from .session import NovaSession

        return NovaSession(hash_input)
