// @ts-check
/** The details of a session: what it did and cost, how to resume it, how to replay it. */

import { copyButton, formatCount, formatTokens, h, icon, kindLabel, resumeCommand, visibleText } from "../agent_grid.js";
import { formatCost } from "./costs_table.js";
import { ageOfSession, describeSessionState, formatFullTime, formatLength, nameSession, stateElement, stateOfSession } from "./sessions_table.js";

/** @typedef {import("./sessions_table.js").SessionRow} SessionRow */

/** Return a Python string. @param {string} text */
const quote = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * Return the code of a notebook cell that replays a session.
 *
 * @param {SessionRow} row
 */
export function replayCode(row) {
  const filter = row.session_id === null ? `agents=${quote(row.agent_id)}` : `sessions=${quote(row.session_id)}`;
  return `import htmlgraph_nb as hg\nhg.AgentGrid.replay(hg.load_history(${filter}))`;
}

/** Return the command that resumes a session, in its folder. @param {SessionRow} row */
export function resumeLine(row) {
  const command = resumeCommand({ kind: row.agent_kind ?? "", session: row.session_id ?? "", parent: row.parent_agent_id ?? "" });
  // Claude Code and Gemini CLI find a session only in the folder in which it began.
  const folder = row.cwd ?? "";
  return command === "" || folder === "" || !/^[\w./~@:+-][\w ./~@:+-]*$/.test(folder) || folder.startsWith("-")
    ? command : `cd ${/ /.test(folder) ? `'${folder}'` : folder} && ${command}`;
}

/**
 * Create the panel.
 *
 * @param {Document} doc
 * @param {object} options
 * @param {import("../agent_grid.js").Store} options.store
 * @param {() => void} options.onClose
 * @param {(row: SessionRow) => string} options.liveHref link to the agent in the page of agents
 * @param {((code: string) => void) | null} options.onReplay opens a notebook with this code; null: the code is shown only
 */
export function createSessionDetails(doc, { store, onClose, liveHref, onReplay }) {
  const close = h(doc, "button", { type: "button", class: "hg-copy", "data-control": "close", "aria-label": "Close", title: "Close  Esc" }, [icon(doc, "close")]);
  close.addEventListener("click", onClose);
  const panel = h(doc, "section", { class: "hg-details", "data-panel": "session", "aria-label": "Details of the session" });
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    onClose();
  });

  /** @param {string} label @param {string | null} text @param {boolean} [copies] */
  const line = (label, text, copies = false) => (text === null || text === "" ? [] : [h(doc, "div", { class: "hg-detail" }, [
    h(doc, "span", { class: "hg-label" }, [label]), h(doc, "span", { class: "hg-value" }, [visibleText(text, 400)]),
    ...(copies ? [copyButton(doc, label.toLowerCase(), () => text)] : []),
  ])]);

  return {
    panel,
    /** @param {SessionRow} row @param {number} now ms since 1970 */
    draw(row, now) {
      const { name } = nameSession(row);
      const state = stateOfSession(row, store);
      const command = resumeLine(row);
      const code = replayCode(row);
      const isLive = store.agents.has(row.agent_id);
      const replay = h(doc, "button", { type: "button", class: "hg-button", "data-control": "replay" }, ["Open in a notebook"]);
      replay.addEventListener("click", () => onReplay?.(code));
      const body = h(doc, "div", { class: "hg-details-body", tabindex: "0", role: "group", "aria-label": "Values" }, [
        h(doc, "div", { class: "hg-details-now" }, [
          stateElement(doc, state), h(doc, "span", { class: "hg-age" }, [`last event ${ageOfSession(row, now)}`]),
        ]),
        ...(isLive ? [h(doc, "div", { class: "hg-detail" }, [h(doc, "a", { class: "hg-link", href: liveHref(row), "data-control": "live" }, ["Show the agent"])])] : []),
        ...(command === "" ? [] : [h(doc, "div", { class: "hg-details-title" }, ["Resume"]), codeOf(doc, "resume", command)]),
        ...line("Agent", row.agent_id, true),
        ...line("Session", row.session_id, true),
        ...line("Kind", row.agent_kind === null ? null : kindLabel(row.agent_kind)),
        ...line("Project", row.project), ...line("Branch", row.branch), ...line("Folder", row.cwd, true), ...line("Host", row.host),
        ...line("Model", row.model),
        ...line("Start", formatFullTime(row.start)), ...line("Last event", formatFullTime(row.end)), ...line("Length", formatLength(row.wall_ms)),
        ...line("Active", formatLength(row.active_ms)), ...line("Waiting for you", row.waiting_ms > 0 ? formatLength(row.waiting_ms) : null),
        ...line("Turns", formatCount(row.turns)), ...line("Calls", formatCount(row.tools)), ...line("Errors", formatCount(row.errors)),
        ...line("Subagents", row.subagents > 0 ? formatCount(row.subagents) : null),
        ...line("Tokens", formatTokens(row.tokens)), ...line("Cost", row.tokens === 0 && row.usd === null ? "no tokens were reported" : formatCost(row)),
        ...line("Largest context", row.peak_context_tokens === null ? null : `${formatTokens(row.peak_context_tokens)} tokens`),
        h(doc, "div", { class: "hg-details-title" }, ["Replay in a notebook"]), codeOf(doc, "replay", code), ...(onReplay === null ? [] : [replay]),
      ]);
      panel.setAttribute("data-of", row.session_id ?? "");
      panel.replaceChildren(h(doc, "div", { class: "hg-details-head" }, [
        h(doc, "span", { class: "hg-name" }, [name]), h(doc, "span", { class: "hg-status" }, [describeSessionState(state)]), close,
      ]), body);
    },
  };
}

/** @param {Document} doc @param {string} name @param {string} text */
function codeOf(doc, name, text) {
  return h(doc, "div", { class: "hg-code" }, [h(doc, "pre", { "data-code": name }, [h(doc, "code", {}, [text])]), copyButton(doc, name, () => text)]);
}
