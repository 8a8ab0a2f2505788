// @ts-check
/**
 * Renders the values of an agent into elements, the same way in every view.
 *
 * A view creates elements marked with `data-field`; this module fills them. It changes the document
 * only where a value differs.
 */

import { readTime } from "../../model/agent.js";
import { lacksHooks } from "../../model/facets.js";
import { kindLabel, shortId } from "../../model/names.js";
import { drawContext, markCompaction } from "./context_bar.js";
import { h, icon, setAttribute, setIcon, setText } from "./dom.js";
import {
  describeAge, describeAgent, describeState, formatAge, formatCount, formatDuration, formatTokens, formatUsd, visibleText,
} from "./format.js";
import { drawSparkline } from "./sparkline.js";

/** @typedef {import("../../model/agent.js").Agent} Agent */

/**
 * @typedef {object} Item An agent's element.
 * @property {HTMLElement} el
 * @property {Record<string, HTMLElement>} fields
 * @property {Agent | null} agent the rendered agent; null before the first rendering
 * @property {number} flashedAt ms
 */

/** Fields that flash when they change. */
const FLASHING_FIELDS = new Set(["status", "tool", "tools"]);
/** Fields that are empty if they have no value; the others show a dash. */
const WITHOUT_DASH = new Set(["reason", "place", "pr"]);
const EXACT_UP_TO = 100_000;

const exactTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Return the full date and time. @param {string} text RFC 3339 */
export function describeTime(text) {
  const at = readTime(text);
  return at === null ? "" : `${exactTime.format(at)} (${visibleText(text, 40)})`;
}

/** @param {string} text */
const plain = (text) => {
  const shown = visibleText(text);
  return { text: shown, title: shown };
};

/** @param {Agent} agent */
function titleOf(agent) {
  return [
    visibleText(agent.name),
    agent.place && visibleText(agent.place),
    agent.name !== agent.id && visibleText(agent.id),
    agent.parent && `subagent of ${visibleText(agent.parent)}`,
    agent.host && `on ${visibleText(agent.host)}`,
  ].filter(Boolean).join("\n");
}

/** @param {number | null} cost @param {number} unpriced tokens without a price @param {string} scope */
function costOf(cost, unpriced, scope) {
  const title = cost === null ? "the model's price is unknown" : `${cost} USD ${scope}`;
  const more = unpriced > 0 ? `; the price of ${formatCount(unpriced)} tokens is unknown` : "";
  const text = formatUsd(cost);
  return { text: text && unpriced > 0 ? `${text}+` : text, title: cost === null ? title : `${title}${more}`, value: cost };
}

/** @param {number} tokens @param {string} scope */
const tokensOf = (tokens, scope) => (
  { text: formatTokens(tokens), title: `${formatCount(tokens)} tokens ${scope}`, value: tokens }
);
const IN_SESSION = "in this session";
const IN_TOTAL = "in all sessions";

/** @param {number} n */
const shortCount = (n) => (n < EXACT_UP_TO ? formatCount(n) : formatTokens(n));

/**
 * The text of each field, and the agent properties it depends on.
 *
 * @type {Record<string, {of: (keyof Agent)[],
 *   render: (agent: Agent) => {text: string, title: string, value?: number | null}}>}
 */
const FIELD_RENDERERS = {
  name: {
    of: ["name", "place", "parent", "host"],
    render: (agent) => ({ text: visibleText(agent.name), title: titleOf(agent) }),
  },
  place: {
    of: ["place", "name"],
    render: ({ id, name, place }) => plain(place || (shortId(id) === name ? "" : shortId(id))),
  },
  id: { of: ["id"], render: ({ id }) => ({ text: visibleText(shortId(id)), title: visibleText(id) }) },
  status: {
    of: ["state", "detail", "detailSince", "since"],
    render: (agent) => ({
      text: describeState(agent),
      title: agent.detailSince || agent.since ? `since ${describeTime(agent.detailSince || agent.since)}` : "",
    }),
  },
  reason: {
    of: ["reason", "detail", "state"],
    render: (agent) => ({ text: visibleText(describeAgent(agent)), title: visibleText(agent.reason) }),
  },
  feature: { of: ["feature"], render: (agent) => plain(agent.feature) },
  tool: { of: ["tool"], render: (agent) => plain(agent.tool) },
  session: { of: ["session"], render: (agent) => plain(agent.session) },
  model: { of: ["model"], render: (agent) => plain(agent.model) },
  project: { of: ["project"], render: (agent) => plain(agent.project) },
  branch: { of: ["branch"], render: (agent) => plain(agent.branch) },
  cwd: { of: ["cwd"], render: (agent) => plain(agent.cwd) },
  worktree: { of: ["worktree"], render: (agent) => plain(agent.worktree) },
  user: { of: ["user"], render: (agent) => plain(agent.user) },
  pr: {
    of: ["pr"],
    render: ({ pr }) => ({ text: visibleText(pr.replace(/^https?:\/\/.*\/pull\/(\d+)$/, "#$1")), title: visibleText(pr) }),
  },
  kindName: { of: ["kind"], render: (agent) => plain(kindLabel(agent.kind)) },
  host: { of: ["host"], render: (agent) => plain(agent.host) },
  parent: { of: ["parent"], render: (agent) => plain(agent.parent) },
  tools: {
    of: ["tools"],
    render: ({ tools }) => ({
      text: shortCount(tools), title: `${formatCount(tools)} calls of tools ${IN_SESSION}`, value: tools,
    }),
  },
  tokens: { of: ["tokens"], render: ({ tokens }) => tokensOf(tokens, IN_SESSION) },
  cost: { of: ["cost", "unpriced"], render: ({ cost, unpriced }) => costOf(cost, unpriced, IN_SESSION) },
  totalTokens: { of: ["totalTokens"], render: ({ totalTokens }) => tokensOf(totalTokens, IN_TOTAL) },
  totalCost: {
    of: ["totalCost", "unpriced"],
    render: ({ totalCost, unpriced }) => costOf(totalCost, unpriced, IN_TOTAL),
  },
  errors: {
    of: ["errors"],
    render: ({ errors }) => ({
      text: shortCount(errors), title: `${formatCount(errors)} errors in this session`, value: errors,
    }),
  },
};
const WRITTEN = Object.entries(FIELD_RENDERERS);

/** @param {Document} doc @param {string} name @param {string} [tag] */
export function fieldOf(doc, name, tag = "span") {
  return h(doc, tag, { "data-field": name, class: `hg-${name}` }, [""]);
}

/** @param {Document} doc @returns {HTMLElement} the sign of the kind of agent, drawn by writeAgent */
export function kindOf(doc) {
  return h(doc, "span", { class: "hg-kind", "data-field": "kind", role: "img" }, [icon(doc, "agent")]);
}

/** @param {Document} doc @returns {HTMLElement} the button that lists ended subagents; drawn by writeChildren */
export function childrenOf(doc) {
  return h(doc, "button", { type: "button", class: "hg-children", "data-field": "children", tabindex: "-1", hidden: "" }, [""]);
}

/**
 * Render the number of subagents.
 *
 * @param {Item} item @param {{children: number, ended: number, open: boolean}} row
 */
export function writeChildren({ fields: { children: field } }, { children, ended, open }) {
  if (field === undefined) return;
  const listed = open ? children - ended : children;
  const parts = [listed > 0 ? `+${listed}` : "", ended > 0 ? `${listed > 0 ? "" : "+"}${ended} done` : ""].filter(Boolean);
  setText(field, parts.join(" · "));
  field.hidden = parts.length === 0;
  field.toggleAttribute("data-folds", ended > 0);
  if (ended > 0) setAttribute(field, "aria-expanded", String(open));
  else field.removeAttribute("aria-expanded");
  const noun = (/** @type {number} */ n) => (n === 1 ? "subagent" : "subagents");
  const title = [
    listed > 0 ? `${listed} ${noun(listed)}` : "", ended > 0 ? `${open ? "hide" : "show"} ${ended} ended ${noun(ended)}  o` : "",
  ].filter(Boolean).join("; ");
  setAttribute(field, "title", title);
  setAttribute(field, "aria-label", title.replace(/ {2}o$/, ""));
}

/** @param {Document} doc @returns {HTMLElement} the sign of agents that only files report */
export function filesOnlyOf(doc) {
  return h(doc, "span", { class: "hg-files-only", title: "No hooks: waits for permission are not seen." }, ["no hooks"]);
}

/** @param {Document} doc @returns {HTMLElement} the shape that shows the status */
export function shapeOf(doc) {
  return h(doc, "span", { class: "hg-shape", "aria-hidden": "true" });
}

/** @param {HTMLElement} el @returns {Item} */
export function itemOf(el) {
  /** @type {Record<string, HTMLElement>} */
  const fields = {};
  for (const node of el.querySelectorAll("[data-field]")) {
    const field = /** @type {HTMLElement} */ (node);
    fields[/** @type {string} */ (field.dataset.field)] = field;
  }
  return { el, fields, agent: null, flashedAt: -Infinity };
}

/** @param {Agent | null} a @param {Agent} b @param {(keyof Agent)[]} keys */
function sameIn(a, b, keys) {
  if (a === null) return false;
  for (const key of keys) if (a[key] !== b[key]) return false;
  return true;
}

/**
 * Render an agent into its element.
 *
 * @param {Item} item @param {Agent} agent
 * @returns {HTMLElement[]} the fields that should flash
 */
export function writeAgent(item, agent) {
  /** @type {HTMLElement[]} */
  const changed = [];
  const before = item.agent;
  if (before === agent) return changed;
  for (const [name, { of, render }] of WRITTEN) {
    const field = item.fields[name];
    if (field === undefined || sameIn(before, agent, of)) continue;
    const { text, title, value } = render(agent);
    const shown = text || (WITHOUT_DASH.has(name) ? "" : "—");
    if (field.firstChild?.nodeValue !== shown) {
      setText(field, shown);
      if (before !== null && FLASHING_FIELDS.has(name)) changed.push(field);
    }
    setAttribute(field, "title", title);
    if (value === undefined) continue;
    setAttribute(field, "data-value", value === null ? "" : String(value));
    // The style sheet matches this attribute: a rule on the number would be evaluated at each change.
    field.toggleAttribute("data-unknown", value === null);
  }
  writeState(item, agent);
  item.agent = agent;
  return changed;
}

/** Set the attributes used by the style sheet. @param {Item} item @param {Agent} agent */
function writeState({ el, fields, agent: before }, agent) {
  if (!sameIn(before, agent, ["state", "status", "attention", "detail", "parent", "hooks"])) {
    setAttribute(el, "data-status", agent.status);
    setAttribute(el, "data-state", agent.state);
    el.toggleAttribute("data-attention", agent.attention);
    if (agent.detail) setAttribute(el, "data-detail", visibleText(agent.detail, 40));
    else el.removeAttribute("data-detail");
    el.toggleAttribute("data-child", agent.parent !== "");
    el.toggleAttribute("data-files-only", lacksHooks(agent));
  }
  if (fields.kind !== undefined && !sameIn(before, agent, ["kind"])) writeKind(fields.kind, agent.kind);
  if (fields.context !== undefined && !sameIn(before, agent, CONTEXT_KEYS)) drawContext(fields.context, agent);
  if (!sameIn(before, agent, ["errors"])) {
    el.toggleAttribute("data-errors", agent.errors > 0);
    writeUnit(fields.errors, agent.errors, "error");
  }
  if (!sameIn(before, agent, ["tools"])) writeUnit(fields.tools, agent.tools, "call");
}

const CONTEXT_KEYS = /** @type {(keyof Agent)[]} */ (["contextTokens", "contextWindow", "contextSource", "compactedAt"]);

/** @param {HTMLElement} field @param {string} kind */
function writeKind(field, kind) {
  const label = visibleText(kindLabel(kind), 40);
  setIcon(field, iconOfKind(kind));
  field.hidden = kind === "";
  setAttribute(field, "title", label);
  setAttribute(field, "aria-label", label);
}

/** Kinds of agents that have a sign of their own. */
const KIND_ICONS = /** @type {const} */ (["claude", "codex", "gemini"]);

/** Return the name of the icon of a kind of agent. @param {string | null} kind */
export const iconOfKind = (kind) => KIND_ICONS.find((name) => name === kind) ?? "agent";

/** @param {HTMLElement | undefined} field @param {number} n @param {string} noun */
function writeUnit(field, n, noun) {
  const unit = field?.nextElementSibling;
  if (unit?.classList.contains("hg-unit")) setText(unit, n === 1 ? noun : `${noun}s`);
}

/** @param {number | null} at ms @param {number} now ms */
function shortAge(at, now) {
  if (at === null) return "—";
  return now - at < 2_000 ? "now" : formatDuration(now - at);
}

/**
 * Render the ages.
 *
 * @param {Item} item @param {Agent} agent @param {number} clock ms since 1970
 */
export function writeAges({ fields }, agent, clock) {
  for (const [name, text] of /** @type {const} */ ([["activity", agent.activity], ["since", agent.since]])) {
    const field = fields[name];
    if (field === undefined) continue;
    const at = readTime(text);
    setText(field, field.hasAttribute("data-short") ? shortAge(at, clock) : formatAge(at, clock));
  }
  if (fields.context !== undefined) markCompaction(fields.context, agent, clock);
  if (fields.age !== undefined) setText(fields.age, describeAge(agent, clock));
}

/**
 * Set the tooltip of the element under the pointer: exact time or counts. Done on demand.
 *
 * @param {Element} target under the pointer @param {(id: string) => Agent | undefined} find
 */
export function explainAt(target, find) {
  const field = target.closest("[data-field]");
  const name = field?.getAttribute("data-field");
  if (!field || !["activity", "age", "since", "sparkline"].includes(name ?? "")) return;
  if (name === "sparkline") return setAttribute(field, "title", field.getAttribute("aria-label") ?? "");
  const owner = field.closest("[data-agent-id], [data-of]");
  const agent = find(owner?.getAttribute("data-agent-id") ?? owner?.getAttribute("data-of") ?? "");
  if (agent === undefined) return;
  const state = agent.detailSince || agent.since;
  const last = `Last activity ${describeTime(agent.activity)}`;
  if (name === "since") return setAttribute(field, "title", describeTime(agent.since));
  setAttribute(field, "title", name === "age" && state ? `${describeState(agent)} since ${describeTime(state)}\n${last}` : last);
}

/** @param {Item} item @param {import("./sparkline.js").ActivityCounts} counts */
export function writeSparkline({ fields }, counts) {
  if (fields.sparkline !== undefined) drawSparkline(fields.sparkline, counts);
}
