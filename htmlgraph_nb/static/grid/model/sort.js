// @ts-check
/**
 * Sort orders of agents.
 */

import { readTime } from "./agent.js";
import { naturalKey } from "./natural_sort.js";

/** @typedef {import("./agent.js").Agent} Agent */

/**
 * @typedef {object} Sorting
 * @property {boolean} descending
 * @property {boolean} tiesDescending whether ids sort descending as well
 * @property {boolean} nested children follow their parent
 * @property {boolean} urgent a waiting agent moves its parents to the front
 * @property {((agent: Agent) => number | null) | null} number numeric sort value; null sorts last
 * @property {((agent: Agent) => string) | null} text sort value when sorting by text; "" sorts last
 */

const STATUS_ORDER = { active: 1, idle: 2, offline: 3, unknown: 4 };
export const WAITING_FIRST = 0;

/** @type {Record<string, (agent: Agent) => number | null>} */
const SORT_NUMBERS = {
  attention: (agent) => (agent.attention ? WAITING_FIRST : STATUS_ORDER[agent.status]),
  status: (agent) => STATUS_ORDER[agent.status],
  agent: () => 0,
  activity: (agent) => readTime(agent.activity),
  since: (agent) => readTime(agent.since),
  tools: (agent) => agent.tools,
  tokens: (agent) => agent.tokens,
  cost: (agent) => agent.cost,
  errors: (agent) => agent.errors,
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

/** @param {string} status */
export const statusKey = (status) => String(/** @type {any} */ (STATUS_ORDER)[status]);
