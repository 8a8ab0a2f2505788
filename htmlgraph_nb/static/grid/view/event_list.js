// @ts-check
/** The last events of an agent, newest first: changes received since, then stored history. */

import { readTime } from "../model/agent.js";
import { h } from "./elements/dom.js";
import { describeTime } from "./elements/fields.js";
import { describeAgent, formatTokens, visibleText } from "./elements/format.js";

/**
 * @typedef {Record<string, any>} HistoryEvent a row of the server's history
 *
 * @typedef {object} Change One change of an agent received by this client.
 * @property {string | number} at
 * @property {string} status
 * @property {string} detail
 * @property {string} tool
 * @property {string} reason
 * @property {number} tools
 * @property {number} tokens
 *
 * @typedef {object} Entry
 * @property {number | null} at ms since 1970
 * @property {string} kind
 * @property {string} text
 * @property {string} more
 * @property {boolean} failed
 */

const ENTRIES_MAX = 60;
const EVENT_LABELS = /** @type {Record<string, string>} */ ({
  session_start: "session started", session_end: "session ended", prompt: "prompt", completion: "model response",
  permission_request: "permission requested", answered: "answered", interrupt: "interrupted",
  notification: "notification", idle: "idle", stop: "turn ended", error: "error", subagent_start: "subagent started",
  subagent_stop: "subagent ended", task_start: "task started", task_stop: "task ended",
  process_exit: "process ended", feature_status: "feature changed", offline: "offline", tool_start: "started", tool_error: "failed",
});

/** @param {unknown} value */
const textOf = (value) => (typeof value === "string" ? value : "");

/** @param {unknown} ms */
function formatElapsed(ms) {
  if (typeof ms !== "number" || !(ms >= 0)) return "";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1_000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

/** @param {HistoryEvent} event @returns {Entry} */
export function entryOfEvent(event) {
  const kind = textOf(event.event_type) || "event";
  const tool = textOf(event.tool_name);
  const failed = event.status === "error" || kind === "tool_error" || kind === "error";
  const phrase = EVENT_LABELS[kind] ?? kind.replaceAll("_", " ");
  const toolOnly = kind === "tool_execute" || kind === "tool_call" || kind === "tool_result";
  const text = tool === "" ? phrase : toolOnly ? tool : `${tool} ${phrase}`;
  const tokens = typeof event.cost_tokens === "number" && event.cost_tokens > 0 ? `${formatTokens(event.cost_tokens)} tokens` : "";
  const more = [failed && !text.includes("fail") && text !== "error" ? "error" : "", formatElapsed(event.duration_ms), tokens];
  return { at: readTime(event.timestamp), kind, text: visibleText(text, 160), more: more.filter(Boolean).join(" · "), failed };
}

/** @param {Change} change @returns {Entry} */
export function entryOfChange(change) {
  const text = describeAgent(/** @type {any} */ (change)) || change.status;
  return {
    at: readTime(change.at), kind: "change", text: visibleText(text, 160), more: "", failed: change.detail === "error",
  };
}

/**
 * Return the entries to list: newer changes, then the history.
 *
 * @param {readonly Change[]} recent newest first
 * @param {readonly HistoryEvent[] | null} history newest first; null until loaded
 * @returns {Entry[]}
 */
export function eventListOf(recent, history) {
  const stored = (history ?? []).map(entryOfEvent);
  const newest = stored.length > 0 ? stored[0].at ?? -Infinity : -Infinity;
  /** @type {Entry[]} */
  const newer = [];
  for (const change of recent) {
    const entry = entryOfChange(change);
    if ((entry.at ?? 0) <= newest) continue;
    // Of consecutive changes with the same text keep the newest.
    if (newer.length > 0 && newer[newer.length - 1].text === entry.text) continue;
    newer.push(entry);
  }
  return [...newer, ...stored].slice(0, ENTRIES_MAX);
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
