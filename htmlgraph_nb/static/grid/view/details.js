// @ts-check
/** The details panel of the selected agent: all values and its last events. */

import { copyText, h, icon, setAttribute, setIcon, setText } from "./elements/dom.js";
import { fieldOf, itemOf, shapeOf, writeAges, writeAgent, writeSparkline } from "./elements/fields.js";
import { visibleText } from "./elements/format.js";
import { createSparkline } from "./elements/sparkline.js";
import { drawEventList, eventListOf } from "./event_list.js";

/** @typedef {(agentId: string, options: {limit: number}) => Promise<Record<string, any>[]>} LoadHistory */

const HISTORY_LIMIT = 50;
/** Show the hint if loading takes longer than this. */
const SLOW_MS = 1_500;
const COPIED_MS = 1_500;
/** Fields with a copy button. */
const COPIES = new Set(["feature", "session", "model", "project", "parent"]);
const FIELDS = /** @type {const} */ ([
  ["feature", "Feature"], ["tool", "Last tool"], ["session", "Session"], ["activity", "Last activity"],
  ["since", "In this state"], ["tools", "Tools executed"], ["errors", "Errors"], ["tokens", "Tokens"],
  ["cost", "Cost"], ["model", "Model"], ["project", "Project"], ["host", "Host"], ["parent", "Parent"],
]);

/** @param {Document} doc @param {string} name @param {() => string} text returns the text to copy */
function copyButton(doc, name, text) {
  const label = `Copy ${name}`;
  const button = h(doc, "button", { type: "button", class: "hg-copy", "data-copy": name, "aria-label": label, title: label },
    [icon(doc, "copy")]);
  button.addEventListener("click", async () => {
    if (!(await copyText(doc, text()))) return;
    setIcon(button, "check");
    setAttribute(button, "aria-label", "Copied");
    setTimeout(() => {
      setIcon(button, "copy");
      setAttribute(button, "aria-label", label);
    }, COPIED_MS);
  });
  return button;
}

/**
 * @param {HTMLElement} host parent of the panel while an agent is selected
 * @param {object} options
 * @param {import("../model/store.js").Store} options.store
 * @param {() => number} options.clock ms since 1970, the server's clock
 * @param {LoadHistory} [options.loadHistory]
 * @param {string} [options.slowHint] why loading may take long
 * @param {() => void} options.onClose
 * @param {(id: string) => void} options.onSelect
 */
export function createDetails(host, { store, clock, loadHistory, slowHint, onClose, onSelect }) {
  const doc = host.ownerDocument;
  let id = "";
  /** @type {Record<string, any>[] | null} */
  let history = null;
  let request = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let slow;
  let drawn = "";

  const close = h(doc, "button", { type: "button", class: "hg-copy hg-close", "aria-label": "Close the details", title: "Close  Esc" },
    [icon(doc, "close")]);
  close.addEventListener("click", onClose);
  const rows = FIELDS.map(([name, label]) => {
    const field = fieldOf(doc, name);
    const parts = [h(doc, "span", { class: "hg-label" }, [label]), field];
    if (COPIES.has(name)) {
      parts.push(copyButton(doc, name, () => String(/** @type {any} */ (store.agents.get(id))?.[name] ?? "")));
    }
    return h(doc, "div", { class: `hg-detail hg-detail-${name}` }, parts);
  });
  const parentLink = h(doc, "button", { type: "button", class: "hg-more", "data-control": "parent" }, ["show"]);
  parentLink.addEventListener("click", () => {
    const parent = store.agents.get(id)?.parent;
    if (parent) onSelect(parent);
  });
  rows[rows.length - 1].append(parentLink);
  const note = h(doc, "div", { class: "hg-note", role: "status" }, [""]);
  const retry = h(doc, "button", { type: "button", class: "hg-more", "data-control": "retry", hidden: "" }, ["Try again"]);
  const events = h(doc, "div", { class: "hg-events", role: "list", "aria-label": "Last events" });
  const removedNote = h(doc, "div", { class: "hg-note hg-removed" }, ["The server no longer lists this agent."]);
  const body = h(doc, "div", { class: "hg-details-body", tabindex: "0", role: "group", "aria-label": "Values and events" }, [
    fieldOf(doc, "reason", "div"), createSparkline(doc), h(doc, "div", { class: "hg-details-fields" }, rows),
    h(doc, "div", { class: "hg-details-title" }, ["Last events", retry]), note, events,
  ]);
  const panel = h(doc, "section", { class: "hg-details", "data-panel": "details", "aria-label": "Details" }, [
    h(doc, "div", { class: "hg-details-head" }, [
      shapeOf(doc), fieldOf(doc, "id"), copyButton(doc, "agent", () => id), fieldOf(doc, "status"), close,
    ]),
    removedNote, body,
  ]);
  let item = itemOf(panel);

  const drawEvents = () => {
    const recent = store.recent(id);
    const signature = `${history === null} ${history?.length} ${recent.length} ${recent[0]?.at}`;
    if (signature === drawn) return;
    drawn = signature;
    const entries = eventListOf(recent, history);
    drawEventList(events, entries);
    if (history !== null) setText(note, entries.length === 0 ? "No stored events." : "");
  };

  const load = async () => {
    retry.hidden = true;
    clearTimeout(slow);
    if (loadHistory === undefined) return setText(note, "");
    request += 1;
    const current = request;
    setText(note, "Loading stored events…");
    slow = setTimeout(() => { if (current === request && slowHint) setText(note, slowHint); }, SLOW_MS);
    try {
      const loaded = await loadHistory(id, { limit: HISTORY_LIMIT });
      if (current !== request) return;
      history = loaded;
      setText(note, "");
      drawEvents();
    } catch (error) {
      if (current !== request) return;
      const message = error instanceof Error ? error.message : String(error);
      setText(note, `The stored events could not be loaded: ${visibleText(message)}`);
      retry.hidden = false;
    } finally {
      if (current === request) clearTimeout(slow);
    }
  };
  retry.addEventListener("click", load);

  /** @param {string} next */
  const open = (next) => {
    id = next;
    history = null;
    drawn = "";
    item = { ...itemOf(panel) };
    events.replaceChildren();
    body.scrollTop = 0;
    setAttribute(panel, "data-of", id);
    setText(item.fields.id, visibleText(id));
    host.append(panel);
    load();
  };

  return {
    panel,
    get id() { return id; },

    /** Show an agent; null closes the panel. @param {string | null} next */
    show(next) {
      if ((next ?? "") === id) return;
      if (next !== null) return open(next);
      id = "";
      request += 1;
      clearTimeout(slow);
      panel.remove();
    },

    /** Draw the current values. */
    draw() {
      if (id === "") return;
      const agent = store.agents.get(id);
      panel.toggleAttribute("data-removed", agent === undefined);
      if (agent !== undefined) {
        writeAgent(item, agent);
        writeAges(item, agent, clock());
        writeSparkline(item, store.activity.counts(id, clock()));
        for (const row of rows) {
          const name = /** @type {keyof typeof agent} */ (/** @type {HTMLElement} */ (row.children[1]).dataset.field);
          row.toggleAttribute("data-missing", agent[name] === "" || agent[name] === null);
        }
        parentLink.hidden = !store.agents.has(agent.parent);
      }
      drawEvents();
    },

    stop() {
      request += 1;
      clearTimeout(slow);
    },
  };
}
