// @ts-check
/**
 * Totals of a set of agents, kept while agents come, change and go.
 */

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */

/** US dollars are summed as whole billionths, so that what is added and taken away again is nought. */
const NANOS = 1e9;
/** Above these an agent counts as if it had so much: sums stay whole numbers that are exact. */
const COST_MAX = 1e6;
const TOKENS_MAX = 1e12;

/** @param {number} usd */
const nanosOf = (usd) => Math.round(Math.min(Math.max(usd, -COST_MAX), COST_MAX) * NANOS);

/** Create the totals of no agent. */
export function createTally() {
  const byStatus = { active: 0, idle: 0, offline: 0, unknown: 0 };
  let total = 0;
  let waiting = 0;
  let tokens = 0;
  let nanos = 0;
  let priced = 0;
  let unpriced = 0;
  return {
    get total() { return total; },

    /** @param {Agent} agent @param {1 | -1} by 1 to add it, -1 to take it away as it was added */
    add(agent, by) {
      total += by;
      byStatus[agent.status] += by;
      if (agent.attention) waiting += by;
      tokens += by * Math.min(agent.tokens, TOKENS_MAX);
      if (agent.cost !== null) {
        priced += by;
        nanos += by * nanosOf(agent.cost);
      } else if (agent.tokens > 0) unpriced += by;
    },

    /** @returns {Counts} */
    counts() {
      const { active, idle, offline } = byStatus;
      const cost = priced === 0 ? null : nanos / NANOS;
      return { total, active, idle, offline, waiting, tokens, cost, unpriced };
    },
  };
}

/** @param {Iterable<Agent>} agents @returns {Counts} */
export function countAgents(agents) {
  const tally = createTally();
  for (const agent of agents) tally.add(agent, 1);
  return tally.counts();
}
