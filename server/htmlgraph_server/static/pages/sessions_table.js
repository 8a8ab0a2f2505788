// @ts-check
/** The table of sessions. */

import { formatAge, formatCount, formatSpan, formatTokens, h, icon, iconOfKind, kindLabel, nameAgent, shortId, STATE_NAMES, visibleText } from "../agent_grid.js";
import { formatCost } from "./costs_table.js";
import { createSorter } from "./page_parts.js";

/** @typedef {Record<string, any> & {usd: number | null, unpriced_tokens: number}} SessionRow as /api/sessions returns it */

const SESSION_STATES = /** @type {Record<string, string>} */ ({ ...STATE_NAMES, ended: "ended" });
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const timeOfStart = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const fullTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

/** Return a time with date and zone; "—" if unknown. @param {string | null} time RFC 3339 */
export const formatFullTime = (time) => (time === null ? "—" : fullTime.format(new Date(time)));

/** Return a duration in two units: 45 s, 12 min, 3 h 20 min, 2 d 4 h. @param {number | null} ms */
export function formatLength(ms) {
  if (ms === null) return "—";
  if (ms < 2 * MINUTE_MS) return `${Math.round(ms / 1_000)} s`;
  const minutes = Math.round(ms / MINUTE_MS);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(ms / HOUR_MS);
  if (hours < 24) return `${hours} h ${Math.floor((ms % HOUR_MS) / MINUTE_MS)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Return what a session is called, and where it worked. @param {SessionRow} row */
export function nameSession(row) {
  const { name, place } = nameAgent({
    id: row.agent_id, title: row.title ?? "", project: row.project ?? "", branch: row.branch ?? "", parent: row.parent_agent_id ?? "",
  });
  // As the cards of the agents: an id where nothing else tells sessions of a project apart.
  const short = shortId(row.agent_id);
  return { name: visibleText(name, 160), place: visibleText(place || (short === name ? "" : short), 160) };
}

/**
 * Return the state of a session: that of its agent now, as the connected store knows it, else that of the report.
 *
 * @param {SessionRow} row @param {import("../agent_grid.js").Store} store
 */
export function stateOfSession(row, store) {
  const agent = store.agents.get(row.agent_id);
  if (agent === undefined) return row.status;
  return agent.session === (row.session_id ?? "") ? agent.state : "ended";
}

/** Return the text of a state. @param {string} state */
export const describeSessionState = (state) => (Object.hasOwn(SESSION_STATES, state) ? SESSION_STATES[state] : visibleText(state, 40));

/** Return the label of a value of a facet. @param {string} facet @param {string} value @param {string} label */
export function facetLabel(facet, value, label) {
  if (value === "") return `no ${label.toLowerCase()}`;
  if (facet === "status") return describeSessionState(value);
  return visibleText(facet === "agent_kind" ? kindLabel(value) : value, 80);
}

/**
 * Columns: label, title, class, content of the cell. `sort` is the column of the report.
 *
 * @type {{sort: string, label: string, title: string, end?: boolean, draw: (row: SessionRow, doc: Document, now: number) => (Node | string)[]}[]}
 */
const COLUMNS = [
  { sort: "start", label: "Start", title: "First event", draw: (row, doc, now) => [
    row.start === null ? "—" : timeOfStart.format(new Date(row.start)),
    ...(row.start !== null && now - Date.parse(row.start) < HOUR_MS ? [h(doc, "span", { class: "hg-start-age" }, [` (${formatAge(Date.parse(row.start), now)})`])] : [])] },
  { sort: "wall", label: "Length", title: "From the first to the last event", end: true, draw: (row) => [formatLength(row.wall_ms)] },
  { sort: "turns", label: "Turns", title: "Prompts", end: true, draw: (row) => [formatCount(row.turns)] },
  { sort: "tools", label: "Calls", title: "Tool calls, with those of subagents", end: true, draw: (row) => [formatCount(row.tools)] },
  { sort: "errors", label: "Errors", title: "Failed calls and turns", end: true, draw: (row) => [formatCount(row.errors)] },
  { sort: "tokens", label: "Tokens", title: "All tokens, with those of subagents", end: true, draw: (row) => [formatTokens(row.tokens)] },
  { sort: "usd", label: "Cost", title: "US dollars, with those of subagents", end: true, draw: (row) => [row.tokens === 0 && row.usd === null ? "—" : formatCost(row)] },
];

/** Return the icon and label of a kind. @param {Document} doc @param {string | null} kind */
export function kindElement(doc, kind) {
  const label = kind === null ? "—" : visibleText(kindLabel(kind), 40);
  return h(doc, "span", { class: "hg-session-kind", title: label }, [
    icon(doc, iconOfKind(kind)), h(doc, "span", { class: "hg-kind-text" }, [label]),
  ]);
}

/** Return the element of a state. @param {Document} doc @param {string} state */
export function stateElement(doc, state) {
  return h(doc, "span", { class: "hg-session-state", "data-state": state === "ended" ? "offline" : state, "data-field": "status" }, [
    h(doc, "span", { class: "hg-shape", "aria-hidden": "true" }), h(doc, "span", { class: "hg-state-text" }, [describeSessionState(state)]),
  ]);
}

/** Return the key of a session, by which rows are found again. @param {SessionRow} row */
export const keyOfSession = (row) => `${row.agent_id}\n${row.session_id ?? ""}`;

/**
 * Draw the table.
 *
 * @param {HTMLTableElement} table
 * @param {object} options
 * @param {SessionRow[]} options.rows
 * @param {string} options.sort
 * @param {string} options.selected key of the session in the details
 * @param {import("../agent_grid.js").Store} options.store
 * @param {number} options.now ms since 1970
 * @param {(row: SessionRow) => void} options.onSelect
 * @param {(sort: string) => void} options.onSort
 */
export function drawSessionTable(table, { rows, sort, selected, store, now, onSelect, onSort }) {
  const doc = table.ownerDocument;
  const focused = /** @type {HTMLElement | null} */ (table.contains(doc.activeElement) ? doc.activeElement : null);
  const focusKey = focused?.dataset.sort ?? focused?.closest("tr")?.dataset.key;
  /** @param {{sort: string, label: string, title: string, end?: boolean}} column */
  const header = ({ sort: name, label, title, end }) => createSorter(doc, {
    name, label, title, classes: `hg-session-${name}${end ? " hg-end" : ""}${name === "title" ? " hg-first" : ""}`,
    ascending: ["title", "agent_kind", "status"].includes(name),
  }, sort, onSort);
  const body = rows.map((row) => {
    const { name, place } = nameSession(row);
    const key = keyOfSession(row);
    const open = h(doc, "button", { type: "button", class: "hg-open", "aria-haspopup": "dialog" }, [name]);
    const tr = h(doc, "tr", { "data-key": key, "data-session": row.session_id ?? "", "data-agent": row.agent_id, "aria-selected": String(key === selected) }, [
      h(doc, "th", { scope: "row", class: "hg-first" }, [open, ...(place ? [h(doc, "span", { class: "hg-place" }, [place])] : [])]),
      h(doc, "td", { class: "hg-session-status" }, [stateElement(doc, stateOfSession(row, store))]),
      h(doc, "td", { class: "hg-session-agent_kind" }, [kindElement(doc, row.agent_kind)]),
      ...COLUMNS.map(({ sort: column, end, draw }) => h(doc, "td", {
        class: `hg-session-${column}${end ? " hg-end" : ""}`, "data-field": column,
        ...(typeof row[column] === "number" ? { "data-value": String(row[column]) } : {}),
      }, draw(row, doc, now))),
    ]);
    tr.toggleAttribute("data-errors", row.errors > 0);
    tr.addEventListener("click", () => {
      // Selecting text with the mouse must not open the details.
      if (doc.defaultView?.getSelection()?.isCollapsed !== false) onSelect(row);
    });
    return tr;
  });
  table.replaceChildren(
    h(doc, "caption", { class: "hg-hidden" }, ["Sessions"]),
    h(doc, "thead", {}, [h(doc, "tr", {}, [
      header({ sort: "title", label: "Session", title: "Title, project and branch" }),
      header({ sort: "status", label: "Now", title: "What the agent does now" }),
      header({ sort: "agent_kind", label: "Agent", title: "Kind of agent" }),
      ...COLUMNS.map(header),
    ])]),
    h(doc, "tbody", {}, body),
  );
  if (focusKey === undefined) return;
  const target = [...table.querySelectorAll("[data-sort], tr[data-key]")].find((item) =>
    /** @type {HTMLElement} */ (item).dataset.sort === focusKey || /** @type {HTMLElement} */ (item).dataset.key === focusKey);
  /** @type {HTMLElement | null} */ (target?.matches("tr") ? target.querySelector(".hg-open") : target ?? null)?.focus({ preventScroll: true });
}

/** Draw the states again, which change without a new report. @param {HTMLTableElement} table @param {SessionRow[]} rows @param {import("../agent_grid.js").Store} store */
export function drawStates(table, rows, store) {
  for (const [i, tr] of [...(table.tBodies[0]?.rows ?? [])].entries()) {
    const shown = tr.querySelector("[data-field=status]");
    if (shown === null || rows[i] === undefined) continue;
    const state = stateOfSession(rows[i], store);
    if (shown.textContent !== describeSessionState(state)) shown.replaceWith(stateElement(table.ownerDocument, state));
  }
}

/** Return how long ago a session ended. @param {SessionRow} row @param {number} now ms since 1970 */
export const ageOfSession = (row, now) => (row.end === null ? "—" : `${formatSpan(Math.max(0, now - Date.parse(row.end)))} ago`);
