"""The integrations work with a real server, each in a program such as a user would write."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.helpers.environ import clean_environ
from tests.helpers.paths import ROOT
from tests.helpers.server_process import Server
from tests.helpers.wait import wait_until

LANGGRAPH = """
from langchain.agents import create_agent
from htmlgraph_nb.integrations.langchain import HtmlgraphCallbackHandler
from tests.unit.integrations.test_langchain import HELLO, add, completion, fake_model

two = completion("", ("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}))
agent = create_agent(fake_model(two, completion()), [add], name="researcher")
agent.invoke(HELLO, {"callbacks": [HtmlgraphCallbackHandler()]})
"""

OPENAI = """
import asyncio
from agents import Agent, Runner, set_trace_processors
from htmlgraph_nb.integrations.openai_agents import HtmlgraphTracingProcessor
from tests.unit.integrations.test_openai_agents import FakeModel, add, call_output, text_output

set_trace_processors([HtmlgraphTracingProcessor()])
two = call_output(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}))
agent = Agent("researcher", model=FakeModel(two, text_output()), tools=[add])
asyncio.run(Runner.run(agent, "hello"))
"""

CLAUDE = """
import asyncio
from claude_agent_sdk import ClaudeAgentOptions, query
from htmlgraph_nb.integrations.claude_agent_sdk import htmlgraph_hooks, htmlgraph_messages
from tests.helpers.fake_claude_cli import (
    FakeClaudeCLI, assistant_message, hook_input, init_message, result_message, usage
)

script = [hook_input("UserPromptSubmit"), init_message()]
script += [assistant_message("msg_1", usage(60, 40, 0, 1))]
for number in (1, 2):
    call = {"tool_name": "add", "tool_use_id": f"toolu_{number}"}
    script += [hook_input("PreToolUse", **call), hook_input("PostToolUse", duration_ms=1, **call)]
script += [assistant_message("msg_2", usage(60, 40, 0, 1)), hook_input("Stop")]
script += [result_message(usage(120, 80, 0, 14))]

async def main():
    options = ClaudeAgentOptions(hooks=htmlgraph_hooks("researcher"))
    messages = query(prompt="hello", options=options, transport=FakeClaudeCLI(script))
    async for message in htmlgraph_messages(messages, "researcher"):
        pass

asyncio.run(main())
"""

PLAIN = """
from htmlgraph_nb import SDK, tool

@tool
def add(a, b):
    return a + b

with SDK("researcher") as sdk, sdk.session():
    for _ in range(2):
        add(1, 2)
        sdk.completion({"input_tokens": 60, "cache_read_tokens": 40, "output_tokens": 7})
assert sdk.flush(60)
"""

FLUSH = """
from htmlgraph_nb.integrations.default_sdk import default_sdk
assert default_sdk("HANDLE").flush(60)
"""


@pytest.mark.parametrize(
    ("program", "handle"),
    [
        (LANGGRAPH, "langchain"),
        (OPENAI, "openai-agents"),
        (CLAUDE, "claude-agent-sdk"),
        (PLAIN, "x"),
    ],
    ids=["langgraph", "openai", "claude", "plain"],
)
def test_integration_reports_agent_to_server(program: str, handle: str, server: Server) -> None:
    """With one or two added lines, the server has the agent, its tools, tokens and end."""
    environ = {"HTMLGRAPH_DB": str(server.db), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program + FLUSH.replace("HANDLE", handle)],
        env=clean_environ(server.home, environ),
        cwd=server.home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    response: Any = server.get("/api/history?agent=researcher").json()
    kinds = [event["event_type"] for event in response["events"]]
    assert kinds.count("tool_execute") == kinds.count("completion") == 2
    assert (kinds.count("session_start"), kinds[-1]) == (1, "session_end")

    def offline() -> dict[str, Any]:
        presence = server.presence().get("researcher", {})
        return presence if presence.get("status") == "offline" else {}

    # Events that were written to the file appear at the server with a delay.
    presence = wait_until(offline, "the end of the agent's session", 30)
    assert presence["total_tools_executed"] == 2
    assert presence["total_cost_tokens"] == 2 * 107


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("langchain", "langchain-core"),
        ("openai_agents", "openai-agents"),
        ("claude_agent_sdk", "claude-agent-sdk"),
    ],
)
def test_integration_without_framework_names_package(module: str, package: str) -> None:
    """The import error says what to install; htmlgraph_nb itself needs no framework."""
    program = f"""
import sys
for name in ("langchain_core", "agents", "claude_agent_sdk"):
    sys.modules[name] = None
import htmlgraph_nb
try:
    from htmlgraph_nb.integrations.{module} import *
    htmlgraph_hooks()
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.rstrip().endswith(f"pip install {package}"), done.stderr
