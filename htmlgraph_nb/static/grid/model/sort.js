// @ts-check
/**
 * The orders that agents can be shown in.
 */

import { readTime } from "./agent.js";
import { orderKey } from "./natural_sort.js";

/** @typedef {import("./agent.js").Agent} Agent */

/**
 * @typedef {object} Sorting
 * @property {boolean} descending
 * @property {boolean} tiesDescending whether ids are ordered the other way, too
 * @property {boolean} nested children come right under their parent
 * @property {boolean} urgent an agent that waits pulls its family to the front
 * @property {((agent: Agent) => number | null) | null} number what is compared; null comes last
 * @property {((agent: Agent) => string) | null} text what is compared instead; "" comes last
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
 * Return how to sort by a key of SORT_KEYS, with a leading "-" for descending.
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

/** "" comes last: it says that there is none. @param {string} text */
export const textKey = (text) => (text === "" ? "\uffff" : orderKey(text));

/** @param {string} status */
export const statusKey = (status) => String(/** @type {any} */ (STATUS_ORDER)[status]);
