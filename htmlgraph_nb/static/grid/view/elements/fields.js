// @ts-check
/**
 * Renders the values of an agent into elements, the same way in every view.
 *
 * A view creates elements marked with `data-field`; this module fills them. It changes the document
 * only where a value differs.
 */

import { readTime } from "../../model/agent.js";
import { h, setAttribute, setText } from "./dom.js";
import {
  describeAgent, formatAge, formatCount, formatDuration, formatTokens, formatUsd, STATUS_TEXT, visibleText,
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
    visibleText(agent.id),
    agent.parent && `subagent of ${visibleText(agent.parent)}`,
    agent.host && `on ${visibleText(agent.host)}`,
  ].filter(Boolean).join("\n");
}

/** @param {number} n */
const shortCount = (n) => (n < EXACT_UP_TO ? formatCount(n) : formatTokens(n));

/**
 * The text of each field, and the agent properties it depends on.
 *
 * @type {Record<string, {of: (keyof Agent)[],
 *   render: (agent: Agent) => {text: string, title: string, value?: number | null}}>}
 */
const FIELD_RENDERERS = {
  id: { of: ["id", "parent", "host"], render: (agent) => ({ text: visibleText(agent.id), title: titleOf(agent) }) },
  status: {
    of: ["status", "attention", "since"],
    render: (agent) => ({
      text: agent.attention ? "Waits for you" : STATUS_TEXT[agent.status],
      title: agent.since ? `since ${describeTime(agent.since)}` : "",
    }),
  },
  reason: { of: ["reason", "detail", "attention"], render: (agent) => plain(describeAgent(agent)) },
  feature: { of: ["feature"], render: (agent) => plain(agent.feature) },
  tool: { of: ["tool"], render: (agent) => plain(agent.tool) },
  session: { of: ["session"], render: (agent) => plain(agent.session) },
  model: { of: ["model"], render: (agent) => plain(agent.model) },
  project: { of: ["project"], render: (agent) => plain(agent.project) },
  host: { of: ["host"], render: (agent) => plain(agent.host) },
  parent: { of: ["parent"], render: (agent) => plain(agent.parent) },
  tools: {
    of: ["tools"],
    render: ({ tools }) => ({
      text: shortCount(tools), title: `${formatCount(tools)} tools executed in this session`, value: tools,
    }),
  },
  tokens: {
    of: ["tokens"],
    render: ({ tokens }) => ({ text: formatTokens(tokens), title: `${formatCount(tokens)} tokens`, value: tokens }),
  },
  cost: {
    of: ["cost"],
    render: ({ cost }) => ({
      text: formatUsd(cost), title: cost === null ? "the model's price is unknown" : `${cost} USD`, value: cost,
    }),
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
    const shown = text || (name === "reason" ? "" : "—");
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
  if (!sameIn(before, agent, ["status", "attention", "detail", "parent"])) {
    setAttribute(el, "data-status", agent.status);
    el.toggleAttribute("data-attention", agent.attention);
    if (agent.detail) setAttribute(el, "data-detail", visibleText(agent.detail, 40));
    else el.removeAttribute("data-detail");
    el.toggleAttribute("data-child", agent.parent !== "");
  }
  if (!sameIn(before, agent, ["errors"])) {
    el.toggleAttribute("data-errors", agent.errors > 0);
    writeUnit(fields.errors, agent.errors, "error");
  }
  if (!sameIn(before, agent, ["tools"])) writeUnit(fields.tools, agent.tools, "tool");
}

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
}

/**
 * Set the tooltip of the element under the pointer: exact time or counts. Done on demand.
 *
 * @param {Element} target under the pointer @param {(id: string) => Agent | undefined} find
 */
export function explainAt(target, find) {
  const field = target.closest("[data-field]");
  const name = field?.getAttribute("data-field");
  if (!field || (name !== "activity" && name !== "since" && name !== "sparkline")) return;
  if (name === "sparkline") return setAttribute(field, "title", field.getAttribute("aria-label") ?? "");
  const owner = field.closest("[data-agent-id], [data-of]");
  const agent = find(owner?.getAttribute("data-agent-id") ?? owner?.getAttribute("data-of") ?? "");
  if (agent !== undefined) setAttribute(field, "title", describeTime(agent[name]));
}

/** @param {Item} item @param {import("./sparkline.js").ActivityCounts} counts */
export function writeSparkline({ fields }, counts) {
  if (fields.sparkline !== undefined) drawSparkline(fields.sparkline, counts);
}
