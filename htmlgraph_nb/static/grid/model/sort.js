// @ts-check
/**
 * Sort orders of agents.
 */

import { readTime } from "./agent.js";
import { naturalKey } from "./sort_index.js";

/** @typedef {import("./agent.js").Agent} Agent */

/**
 * @typedef {object} Sorting
 * @property {boolean} descending
 * @property {boolean} tiesDescending whether ids sort descending as well
 * @property {boolean} nested children follow their parent
 * @property {boolean} urgent an urgent agent moves its parents to the front
 * @property {((agent: Agent) => number | null) | null} number numeric sort value; null sorts last
 * @property {((agent: Agent) => string) | null} text sort value when sorting by text; "" sorts last
 */

const STATE_ORDER = { waiting: 0, cannot_work: 1, done: 2, active: 3, idle: 4, offline: 5, unknown: 6 };
/** More than any time in ms, so that the state decides before the time. */
const STATE_STEP = 1e14;

/** Whether an agent needs a person now. @param {Agent} agent */
export const isUrgent = ({ state }) => state === "waiting" || state === "cannot_work";

/** Whether a value of the sort order "attention" is that of an urgent agent. @param {number | null} number */
export const isUrgentNumber = (number) => number !== null && number < STATE_ORDER.done * STATE_STEP;

/** The state; agents that need a person by time, the longest first. @param {Agent} agent */
function attentionNumber(agent) {
  const time = isUrgent(agent) ? readTime(agent.detailSince || agent.since) : null;
  return STATE_ORDER[agent.state] * STATE_STEP + Math.max(0, time ?? 0);
}

/** @type {Record<string, (agent: Agent) => number | null>} */
const SORT_NUMBERS = {
  attention: attentionNumber,
  status: (agent) => STATE_ORDER[agent.state],
  agent: () => 0,
  activity: (agent) => readTime(agent.activity),
  since: (agent) => readTime(agent.since),
  tools: (agent) => agent.tools,
  tokens: (agent) => agent.tokens,
  cost: (agent) => agent.cost,
  errors: (agent) => agent.errors,
  context: (agent) => agent.context,
};

/**
 * Parse a sort setting: a key of SORT_KEYS, with a leading "-" for descending.
 *
 * @param {string} sort
 * @returns {Sorting}
 */
export function readSort(sort) {
  const descending = sort.startsWith("-");
  const key = descending ? sort.slice(1) : sort;
  const number = SORT_NUMBERS[key] ?? null;
  return {
    descending,
    tiesDescending: descending && key === "agent",
    nested: key === "attention" || key === "agent",
    urgent: key === "attention" && !descending,
    number,
    text: number === null ? (agent) => /** @type {any} */ (agent)[key] : null,
  };
}

/** Sort key of a text; empty texts sort last. @param {string} text */
export const textKey = (text) => (text === "" ? "\uffff" : naturalKey(text));

/** @param {string} state */
export const stateKey = (state) => String(/** @type {any} */ (STATE_ORDER)[state]);
