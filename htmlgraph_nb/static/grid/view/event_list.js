// @ts-check
/** The last events of an agent, newest first: changes received since, then stored history. */

import { readText, readTime } from "../model/agent.js";
import { h } from "./elements/dom.js";
import { describeTime } from "./elements/fields.js";
import { formatTokens, visibleText } from "./elements/format.js";

/** @typedef {import("../model/recent_changes.js").RecentChange} Change */

/**
 * @typedef {Record<string, any>} HistoryEvent a row of the server's history
 *
 * @typedef {object} Entry
 * @property {number | null} at ms since 1970
 * @property {string} kind
 * @property {string} text
 * @property {string} more
 * @property {boolean} failed
 * @property {string} call id of the call of a tool; "" if unknown
 * @property {boolean} open whether it is the start of a call
 */

const ENTRIES_MAX = 60;
const EVENT_LABELS = /** @type {Record<string, string>} */ ({
  session_start: "session started", session_end: "session ended", prompt: "prompt", completion: "model response",
  permission_request: "permission requested", answered: "answered", interrupt: "interrupted",
  notification: "notification", idle: "idle", stop: "turn ended", error: "error", subagent_start: "subagent started",
  subagent_stop: "subagent ended", task_start: "task started", task_stop: "task ended",
  process_exit: "process ended", feature_status: "feature changed", offline: "offline",
  tool_start: "started", tool_error: "failed", retry: "retried", viewed: "looked at", session_info: "details changed",
  quota: "quota reported", process_start: "process is running", forget: "removed", process_busy: "process is busy",
  process_idle: "at its prompt", process_lost: "process not visible", resumed: "timers started again",
  host_seen: "host is connected", host_lost: "host is unreachable",
});

/** Reasons of a status and the events that lead to them, so that changes and stored events read alike. */
const EVENTS_OF_REASONS = /** @type {Record<string, string>} */ ({
  "got a prompt": "prompt", "the model answered": "completion", "got an answer": "answered",
  "started a subagent": "subagent_start", "started a background task": "task_start", "the turn is over": "stop",
  "interrupted by the user": "interrupt", "the session began, no prompt yet": "session_start",
  "the turn ended with an error": "error", "the session ended": "session_end", "its process exited": "process_exit",
  "no activity for a while": "idle", "no activity for too long": "offline", "waits at its prompt": "notification",
  "started a tool": "tool_start", "used a tool": "tool_execute", "reported itself idle": "idle",
  "the turn ended with a question": "stop", "marked offline": "offline", "left the roster": "forget",
  "its process is busy": "process_busy", "is at its prompt": "process_idle",
  "is at its prompt, a background shell runs": "process_idle",
  "waits for an answer": "notification", "waits for approval of its plan": "permission_request",
});
/** A reason while the agent repeats a request; the number of the attempt follows. */
const RETRIES = "retries after an error of the API";

/** @param {string} kind type of an event */
const eventLabel = (kind) => (Object.hasOwn(EVENT_LABELS, kind) ? EVENT_LABELS[kind] : kind.replaceAll("_", " "));

/** @param {unknown} ms */
function formatElapsed(ms) {
  if (typeof ms !== "number" || !(ms >= 0)) return "";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1_000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

const CALL_ENDS = new Set(["tool_execute", "tool_call", "tool_result", "tool_error"]);
/** Events after which no call of before is running. */
const TURN_ENDS = new Set(["stop", "error", "interrupt", "session_end", "session_start", "process_exit", "offline", "idle", "process_idle"]);

/** @param {HistoryEvent} event @returns {Entry} */
export function entryOfEvent(event) {
  const kind = readText(event.event_type) || "event";
  const tool = readText(event.tool_name);
  const failed = event.status === "error" || kind === "tool_error" || kind === "error";
  const phrase = eventLabel(kind);
  const open = kind === "tool_start";
  const isCall = (open || CALL_ENDS.has(kind)) && tool !== "";
  const text = tool === "" ? phrase : isCall ? tool : `${tool} ${phrase}`;
  const tokens = typeof event.cost_tokens === "number" && event.cost_tokens > 0 ? `${formatTokens(event.cost_tokens)} tokens` : "";
  const more = [failed && text !== "error" ? "failed" : "", formatElapsed(event.duration_ms), tokens];
  return {
    at: readTime(event.timestamp), kind, text: visibleText(text, 160), more: more.filter(Boolean).join(" · "), failed,
    call: readText(event.tool_use_id), open,
  };
}

/** @param {Change} change @returns {Entry} */
export function entryOfChange({ at, status, detail, tool, reason }) {
  /** @param {string} kind @param {string} text */
  const entry = (kind, text, open = false) => ({
    at: readTime(at), kind: "change", text: visibleText(text, 160), more: "", failed: kind === "error", call: "", open,
  });
  const kind = reason.startsWith(RETRIES) ? "retry" : EVENTS_OF_REASONS[reason];
  if (kind !== undefined) return entry(kind, eventLabel(kind));
  const running = /^(.+) is running(?: and \d+ more)?$/.exec(reason);
  if (running !== null) return entry("tool_start", running[1], true);
  const used = /^used (.+)$/.exec(reason);
  if (used !== null) return entry("tool_execute", tool || used[1]);
  const permission = /^waits for permission to use (.+)$/.exec(reason);
  if (permission !== null) return entry("permission_request", `${permission[1]} permission requested`);
  return entry(detail, reason || detail.replaceAll("_", " ") || status);
}

/**
 * Return the entries to list: newer changes, then the history; the start and the end of a call are one.
 *
 * @param {readonly Change[]} recent newest first
 * @param {readonly HistoryEvent[] | null} history newest first; null until loaded
 * @returns {Entry[]}
 */
export function eventListOf(recent, history) {
  const stored = (history ?? []).map(entryOfEvent);
  const newest = stored.length > 0 ? stored[0].at ?? -Infinity : -Infinity;
  const newer = recent.map(entryOfChange).filter((entry) => (entry.at ?? 0) > newest);
  /** @type {Entry[]} */
  const entries = [];
  /** Calls that have ended, by id, and by the tool if no id is known. */
  const ended = new Set();
  let turnOver = false;
  for (const entry of [...newer, ...stored]) {
    const key = entry.call || `\u0000${entry.text}`;
    if (entry.open) {
      if (ended.has(key) || (entry.call !== "" && ended.delete(`\u0000${entry.text}`))) continue;
      entry.more ||= turnOver ? "" : "running";
    } else if (entry.kind === "change" || entry.call !== "") ended.add(key);
    turnOver ||= TURN_ENDS.has(entry.kind) || entry.text === EVENT_LABELS.stop;
    // Of consecutive changes with the same text keep the newest.
    const last = entries[entries.length - 1];
    if (entry.kind === "change" && last?.kind === "change" && last.text === entry.text) continue;
    entries.push(entry);
  }
  return entries.slice(0, ENTRIES_MAX);
}

const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** @param {Document} doc @param {Entry} entry */
function rowOf(doc, { at, kind, text, more, failed }) {
  const time = h(doc, "span", { class: "hg-event-time" }, [at === null ? "—" : clockTime.format(at)]);
  if (at !== null) time.title = describeTime(new Date(at).toISOString());
  const row = h(doc, "div", { class: "hg-event", role: "listitem", "data-event": kind }, [
    time, h(doc, "span", { class: "hg-event-text", title: text }, [text]), h(doc, "span", { class: "hg-event-more" }, [more]),
  ]);
  row.toggleAttribute("data-failed", failed);
  return row;
}

/**
 * Draw the entries; update only those that differ.
 *
 * @param {HTMLElement} list @param {Entry[]} entries
 */
export function drawEventList(list, entries) {
  const doc = list.ownerDocument;
  const keys = entries.map((entry) => `${entry.at} ${entry.kind} ${entry.text} ${entry.more}`);
  const rows = /** @type {HTMLElement[]} */ ([...list.children]);
  const existing = new Map(rows.map((row) => [row.dataset.key, row]));
  list.replaceChildren(...entries.map((entry, i) => {
    const row = existing.get(keys[i]) ?? rowOf(doc, entry);
    existing.delete(keys[i]);
    row.dataset.key = keys[i];
    return row;
  }));
}
