"""The plugin that ``htmlgraph-nb connect opencode`` installs.

OpenCode loads each file in ``plugins`` of its configuration folder, and calls ``event`` for each
event of its bus (https://opencode.ai/docs/plugins). A permission that it waits for is in no file or
table. Names and properties of the events are those of version 1.18.33.
"""

from __future__ import annotations

import json

_TEXT = """\
// Reports to htmlgraph-nb when OpenCode waits for you, works, retries, or is at its prompt.
// Written by `htmlgraph-nb connect opencode`; `htmlgraph-nb connect opencode --undo` deletes it.
// It only observes: it sends names, ids, times and counts, never what is asked or answered, and
// OpenCode never waits for it.
// @ts-check
import { spawn } from "node:child_process";

const COMMAND = @COMMAND@;
const MAX_SESSIONS = 1000;

/**
 * @typedef {object} Session
 * @property {string} [parent] Session whose subagent it is.
 * @property {string} [folder] Its working folder.
 * @property {string} [prompt] Its last prompt.
 * @property {boolean} [busy] Whether its turn is running.
 * @property {boolean} [failed] Whether the end of the turn was reported as an error.
 */

/** @type {Map<string, Session>} */
const sessions = new Map();

/** @param {string} id */
function session(id) {
  let known = sessions.get(id);
  if (!known) {
    known = {};
    sessions.set(id, known);
    if (sessions.size > MAX_SESSIONS) sessions.delete(sessions.keys().next().value ?? "");
  }
  return known;
}

/**
 * Return why the agent repeats a request.
 * @param {unknown} text
 */
function reason(text) {
  const message = String(text);
  if (/quota|usage limit|credit/i.test(message)) return "usage_limited";
  return /rate.?limit|too many|429/i.test(message) ? "rate_limited" : "overloaded";
}

/**
 * Start the hook and forget it. The input is a variable, as a pipe may be cut off when OpenCode
 * exits.
 * @param {string} name
 * @param {string} id
 * @param {Record<string, unknown>} [fields]
 */
function report(name, id, fields) {
  let main = id;
  for (let depth = 0; depth < 16 && sessions.get(main)?.parent; depth += 1) {
    main = sessions.get(main)?.parent ?? main;
  }
  const child = main === id ? {} : { agent_id: id };
  const cwd = sessions.get(id)?.folder ?? process.cwd();
  const place = { session_id: main, cwd, ...child };
  const input = JSON.stringify({ hook_event_name: name, ...place, ...fields });
  const windows = process.platform === "win32";
  const started = windows
    ? spawn(COMMAND, { shell: true, stdio: ["pipe", "ignore", "ignore"], windowsHide: true })
    : spawn("/bin/sh", ["-c", `printf %s "$HTMLGRAPH_INPUT" | ${COMMAND}`], {
        detached: true,
        env: { ...process.env, HTMLGRAPH_INPUT: input },
        stdio: "ignore",
      });
  started.on("error", () => {});
  if (started.stdin) {
    started.stdin.on("error", () => {});
    started.stdin.end(input);
  }
  started.unref();
}

/**
 * @param {string} type
 * @param {any} properties
 */
function observe(type, properties) {
  const info = properties?.info;
  const id = properties?.sessionID ?? info?.sessionID ?? info?.id;
  if (typeof id !== "string" || !id) return;
  switch (type) {
    case "session.created":
    case "session.updated":
      Object.assign(session(id), { parent: info?.parentID, folder: info?.directory });
      if (type === "session.created" && !info?.parentID) report(type, id);
      break;
    case "session.deleted":
      report(type, id);
      sessions.delete(id);
      break;
    case "session.status": {
      const { type: status, attempt, message, next } = properties.status ?? {};
      if (status === "retry") {
        const until = Number.isFinite(next) ? new Date(next).toISOString() : undefined;
        report("session.retry", id, { cannot_work: reason(message), attempt, until });
      }
      break;
    }
    case "message.updated":
      // It is updated again later in its turn.
      if (info?.role === "user" && session(id).prompt !== info.id) {
        Object.assign(session(id), { prompt: info.id, busy: true, failed: false });
        report("session.prompt", id);
      }
      break;
    case "session.error": {
      const { name, data } = properties.error ?? {};
      session(id).failed = true;
      report(type, id, { error: name, status: data?.statusCode });
      break;
    }
    case "session.idle":
      // The end of a turn that failed or was aborted was reported as such.
      if (session(id).busy && !session(id).failed) report(type, id);
      session(id).busy = false;
      break;
    case "permission.asked":
      report(type, id, { tool_name: properties.permission });
      break;
    case "permission.replied":
      report(type, id, { reply: properties.reply });
      break;
    case "question.asked":
    case "question.replied":
    case "question.rejected":
      report(type, id);
      break;
  }
}

export const HtmlgraphPlugin = async () => ({
  /** @param {{event: {type: string, properties: any}}} input */
  event: async ({ event }) => {
    try {
      observe(event.type, event.properties);
    } catch {
      // OpenCode must not notice that reporting failed.
    }
  },
});
"""


def plugin_text(command: str) -> str:
    """Return the text of the plugin.

    Args:
        command: the shell command of the hook.
    """
    return _TEXT.replace("@COMMAND@", json.dumps(command))
