"""Pi's extension, which reports what no session file shows; source: docs/extensions.md, Pi 1.6.0.

Pi loads each file in ``~/.pi/agent/extensions`` and in ``.pi/extensions`` of a trusted project. It
awaits handlers, so these only start htmlgraph-hook, detached, and return; none is for an event that
can change what Pi does. Prompts, responses, and inputs and results of tools are not passed on.
"""

from __future__ import annotations

import json

from ..hook_settings import HookSettings

_EXTENSION = """\
// Written by htmlgraph-nb connect pi; htmlgraph-nb connect pi --undo deletes it.
// Reports when runs and tools start, wait and end: no prompts, responses, tool inputs or results.
import { spawn } from "node:child_process";

const COMMAND = __COMMAND__;
const ERRORS = [
  ["usage_limit", /usage.?limit|quota|billing|out of budget/i],
  ["rate_limit", /rate.?limit|too many requests|\\b429\\b/i],
  ["authentication", /\\b40[13]\\b|api.?key|unauthori|credential/i],
  ["overloaded", /\\b5\\d\\d\\b|overload|capacity|fetch failed|network|connection|timed? ?out/i],
];

export default function (pi) {
  let last = {};
  const report = (name, ctx, fields) => {
    try {
      const session = ctx.sessionManager;
      const input = {
        hook_event_name: name,
        session_id: session.getSessionId(),
        transcript_path: session.getSessionFile(),
        cwd: ctx.cwd,
        model: ctx.model?.id,
        ...fields,
      };
      const options = { shell: true, detached: true, windowsHide: true };
      const child = spawn(COMMAND, { ...options, stdio: ["pipe", "ignore", "ignore"] });
      child.on("error", () => {});
      child.stdin.on("error", () => {});
      child.stdin.end(JSON.stringify(input));
      child.unref();
    } catch {
      // Reporting must never disturb the agent.
    }
  };
  const on = (event, handler) => {
    try {
      pi.on(event, (...values) => void handler(...values));
    } catch {
      // Older versions of Pi do not know every event.
    }
  };
  on("session_start", (event, ctx) => {
    if (event.reason !== "reload") report("SessionStart", ctx, { source: event.reason });
  });
  on("before_agent_start", (event, ctx) => {
    last = {};
    if (event.messageType !== "custom") report("UserPromptSubmit", ctx);
  });
  on("message_end", (event) => {
    if (event.message?.role === "assistant") last = event.message;
  });
  on("agent_settled", (event, ctx) => {
    if (last.stopReason === "error" && !event.aborted) {
      const kind = ERRORS.find(([, pattern]) => pattern.test(last.errorMessage ?? ""));
      report("StopFailure", ctx, { error: kind?.[0] });
    } else {
      report("Stop", ctx, { stop_reason: event.aborted ? "aborted" : last.stopReason });
    }
    last = {};
  });
  on("tool_execution_start", (event, ctx) => {
    report("PreToolUse", ctx, { tool_name: event.toolName, tool_use_id: event.toolCallId });
  });
  on("tool_execution_end", (event, ctx) => {
    report(event.isError ? "PostToolUseFailure" : "PostToolUse", ctx, {
      tool_name: event.toolName,
      tool_use_id: event.toolCallId,
      duration_ms: event.durationMs,
    });
  });
  on("ui_prompt_start", (_event, ctx) => {
    report("Notification", ctx, { notification_type: "agent_needs_input" });
  });
  on("ui_prompt_end", (_event, ctx) => report("ElicitationResult", ctx));
  on("session_shutdown", (event, ctx) => {
    if (event.reason !== "reload") report("SessionEnd", ctx, { reason: event.reason });
  });
}
"""


def _program(command: str) -> str:
    return _EXTENSION.replace("__COMMAND__", json.dumps(command))


SETTINGS = HookSettings(
    file="extensions/htmlgraph.js",
    events=dict.fromkeys(
        "SessionStart UserPromptSubmit PreToolUse PostToolUse PostToolUseFailure Notification "
        "ElicitationResult Stop StopFailure SessionEnd".split(),
        False,
    ),
    project_folder=".pi",
    program=_program,
)
