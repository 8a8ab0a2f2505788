// @ts-check
/** The details panel of the selected agent: all values and its last events. */

import { createContextBar } from "./elements/context_bar.js";
import { copyButton, h, icon, setAttribute, setText } from "./elements/dom.js";
import { fieldOf, filesOnlyOf, itemOf, kindOf, shapeOf, writeAges, writeAgent, writeSparkline } from "./elements/fields.js";
import { visibleText } from "./elements/format.js";
import { createSparkline } from "./elements/sparkline.js";
import { drawEventList, eventListOf } from "./event_list.js";

/** @typedef {(agentId: string, options: {limit: number}) => Promise<Record<string, any>[]>} LoadHistory */

const HISTORY_LIMIT = 50;
/** Show the hint if loading takes longer than this. */
const SLOW_MS = 1_500;
/** Fields with a copy button, and the property that is copied. @type {Record<string, string>} */
const COPIES = {
  name: "name", id: "id", branch: "branch", cwd: "cwd", worktree: "worktree", pr: "pr", feature: "feature",
  session: "session", model: "model", project: "project",
};
const FIELDS = /** @type {const} */ ([
  ["id", "Agent"], ["kindName", "Kind"], ["project", "Project"], ["branch", "Branch"], ["worktree", "Worktree"],
  ["cwd", "Folder"], ["pr", "Pull request"], ["feature", "Feature"], ["model", "Model"], ["context", "Context"],
  ["tool", "Last tool"], ["activity", "Last activity"], ["since", "In this status"], ["session", "Session"],
  ["host", "Host"], ["user", "User"],
]);
/** Fields that are listed even if they are empty. */
const ALWAYS = new Set(["id", "activity", "since"]);
/** Columns of the table of use, and its rows: name of the field for this session, and for all sessions. */
const USES = /** @type {const} */ ([
  ["Calls", "tools", ""], ["Errors", "errors", ""], ["Tokens", "tokens", "totalTokens"], ["Cost", "cost", "totalCost"],
]);
const MAX_CHILDREN = 50;
/** Kinds of agents whose sessions can be resumed, and the command. */
const RESUME = /** @type {Record<string, string>} */ ({ claude: "claude --resume", codex: "codex resume", gemini: "gemini --resume" });

/**
 * Return the command that resumes an agent's session; "" if there is none.
 *
 * @param {{kind: string, session: string, parent: string}} agent
 */
export function resumeCommand({ kind, session, parent }) {
  // The id comes from the agent: anything but a plain word could be another command.
  const command = Object.hasOwn(RESUME, kind) && parent === "" && /^\w[\w-]*$/.test(session);
  return command ? `${RESUME[kind]} ${session}` : "";
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
  let drawnFamily = "";

  const close = h(doc, "button", { type: "button", class: "hg-copy", "aria-label": "Close the details", title: "Close  Esc" },
    [icon(doc, "close")]);
  close.addEventListener("click", onClose);
  /** @param {string} name */
  const valueOf = (name) => String(/** @type {any} */ (store.agents.get(id))?.[name] ?? "");
  const rows = FIELDS.map(([name, label]) => {
    const field = name === "context" ? createContextBar(doc) : fieldOf(doc, name);
    const parts = [h(doc, "span", { class: "hg-label" }, [label]), field];
    if (COPIES[name] !== undefined) parts.push(copyButton(doc, name === "id" ? "agent" : name, () => valueOf(COPIES[name])));
    return h(doc, "div", { class: `hg-detail hg-detail-${name}` }, parts);
  });
  const family = h(doc, "div", { class: "hg-family" });
  const resumeText = h(doc, "code", {}, [""]);
  const resume = h(doc, "div", { class: "hg-detail hg-resume" }, [
    h(doc, "span", { class: "hg-label" }, ["Resume"]), resumeText, copyButton(doc, "resume", () => resumeText.textContent ?? ""),
  ]);
  const uses = h(doc, "div", { class: "hg-uses" }, [
    ...["", "This session", "All sessions"].map((text) => h(doc, "span", { class: "hg-label" }, [text])),
    ...USES.flatMap(([label, session, total]) => [
      h(doc, "span", { class: "hg-label" }, [label]), fieldOf(doc, session), total ? fieldOf(doc, total) : h(doc, "span", {}, [""]),
    ]),
  ]);
  const note = h(doc, "div", { class: "hg-note", role: "status" }, [""]);
  const retry = h(doc, "button", { type: "button", class: "hg-more", "data-control": "retry", hidden: "" }, ["Try again"]);
  const events = h(doc, "div", { class: "hg-events", role: "list", "aria-label": "Last events" });
  const removedNote = h(doc, "div", { class: "hg-note hg-removed" }, ["The server no longer lists this agent."]);
  const body = h(doc, "div", { class: "hg-details-body", tabindex: "0", role: "group", "aria-label": "Values and events" }, [
    h(doc, "div", { class: "hg-details-now" }, [fieldOf(doc, "reason"), fieldOf(doc, "age"), filesOnlyOf(doc)]),
    createSparkline(doc), uses, ...rows, resume, family,
    h(doc, "div", { class: "hg-details-title" }, ["Last events", retry]), note, events,
  ]);
  const panel = h(doc, "section", { class: "hg-details", "data-panel": "details", "aria-label": "Details" }, [
    h(doc, "div", { class: "hg-details-head" }, [
      shapeOf(doc), kindOf(doc), fieldOf(doc, "name"), fieldOf(doc, "status"), close,
    ]),
    removedNote, body,
  ]);
  let item = itemOf(panel);

  /** @param {string} label @param {string} agentId */
  const link = (label, agentId) => {
    const button = h(doc, "button", { type: "button", class: "hg-more", "data-link": agentId }, [
      visibleText(store.agents.get(agentId)?.name ?? agentId, 80),
    ]);
    button.addEventListener("click", () => onSelect(agentId));
    return h(doc, "div", { class: "hg-detail" }, [h(doc, "span", { class: "hg-label" }, [label]), button]);
  };

  /** Draw links to the parent and the subagents. @param {import("../model/agent.js").Agent} agent */
  const drawFamily = ({ parent }) => {
    const children = [];
    for (const other of store.agents.values()) {
      if (other.parent === id && children.push(other.id) === MAX_CHILDREN) break;
    }
    const parents = store.agents.has(parent) ? [parent] : [];
    const signature = [...parents, "", ...children].join("\n");
    if (signature === drawnFamily) return;
    drawnFamily = signature;
    family.replaceChildren(...parents.map((other) => link("Parent", other)),
      ...children.map((other, i) => link(i === 0 ? "Subagents" : "", other)));
  };

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
    setText(item.fields.name, visibleText(id));
    drawnFamily = "";
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
        for (const [i, [name]] of FIELDS.entries()) {
          const value = name === "kindName" ? agent.kind : name === "context" ? agent.contextTokens : agent[name];
          rows[i].hidden = !ALWAYS.has(name) && (value === "" || value === null);
        }
        const command = resumeCommand(agent);
        resume.hidden = command === "";
        setText(resumeText, command);
        drawFamily(agent);
      }
      drawEvents();
    },

    stop() {
      request += 1;
      clearTimeout(slow);
    },
  };
}
