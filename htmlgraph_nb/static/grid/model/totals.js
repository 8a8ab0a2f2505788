// @ts-check
/**
 * Totals of a set of agents, updated incrementally.
 */

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */

/** The states that are counted, in order. */
export const COUNTED_STATES = /** @type {const} */ (["waiting", "cannot_work", "done", "active", "idle", "offline"]);

/** US dollars are summed as integer billionths, so that adding and removing an amount gives exactly 0. */
const NANOS = 1e9;
/** Upper bounds per agent, so that sums stay exact integers. */
const COST_MAX = 1e6;
const TOKENS_MAX = 1e12;

/** @param {number} usd */
const nanosOf = (usd) => Math.round(Math.min(Math.max(usd, -COST_MAX), COST_MAX) * NANOS);

/** Create empty totals. */
export function createTotals() {
  const byState = { waiting: 0, cannot_work: 0, done: 0, active: 0, idle: 0, offline: 0, unknown: 0 };
  let total = 0;
  let tokens = 0;
  let nanos = 0;
  let priced = 0;
  let unpriced = 0;
  return {
    get total() { return total; },

    /** @param {Agent} agent @param {1 | -1} by 1 to add, -1 to remove */
    add(agent, by) {
      total += by;
      byState[agent.state] += by;
      tokens += by * Math.min(agent.totalTokens, TOKENS_MAX);
      if (agent.totalCost !== null) {
        priced += by;
        nanos += by * nanosOf(agent.totalCost);
      }
      if (agent.unpriced > 0) unpriced += by;
    },

    /** @returns {Counts} */
    counts() {
      const { unknown, ...states } = byState;
      return { total, ...states, tokens, cost: priced === 0 ? null : nanos / NANOS, unpriced };
    },
  };
}

/** @param {Iterable<Agent>} agents @returns {Counts} */
export function countAgents(agents) {
  const totals = createTotals();
  for (const agent of agents) totals.add(agent, 1);
  return totals.counts();
}
