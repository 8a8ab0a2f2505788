// @ts-check
/**
 * The order of the agents and their totals.
 */

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */

const collator = new Intl.Collator("en", { numeric: true });
const RANKS = { active: 1, idle: 2, offline: 3, unknown: 4 };

/** @param {Agent} agent */
const rankOf = (agent) => (agent.attention ? 0 : RANKS[agent.status]);

/** Compare ids as people count: agent-2 before agent-10. @param {string} a @param {string} b */
export function compareIds(a, b) {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/**
 * Compare agents for the grid: who waits for a person, then active, idle, offline, then by id.
 *
 * @param {Agent} a @param {Agent} b
 */
export function compareAgents(a, b) {
  return rankOf(a) - rankOf(b) || compareIds(a.id, b.id);
}

/** @param {Iterable<Agent>} agents @returns {Counts} */
export function countAgents(agents) {
  /** @type {Counts} */
  const counts = {
    total: 0, active: 0, idle: 0, offline: 0, waiting: 0, tokens: 0, cost: null, unpriced: 0,
  };
  for (const agent of agents) {
    counts.total += 1;
    if (agent.status !== "unknown") counts[agent.status] += 1;
    if (agent.attention) counts.waiting += 1;
    counts.tokens += agent.tokens;
    if (agent.cost !== null) counts.cost = (counts.cost ?? 0) + agent.cost;
    else if (agent.tokens > 0) counts.unpriced += 1;
  }
  return counts;
}

/** Keep the order of the cards: it changes only with membership, status and attention. */
export function createOrder() {
  /** @type {string[]} */
  let ids = [];
  /** @type {string[]} */
  let list = [];
  /** @type {Map<string, number>} */
  const ranks = new Map();
  return {
    /** Ids in the order of the grid. */
    get list() { return list; },
    /**
     * @param {ReadonlyMap<string, Agent>} agents
     * @param {Iterable<string>} changed
     * @returns {Set<string> | null} ids whose place changed; null when the order is as before
     */
    update(agents, changed) {
      /** @type {Set<string>} */
      const moved = new Set();
      let gone = false;
      let come = false;
      for (const id of changed) {
        const agent = agents.get(id);
        const before = ranks.get(id);
        if (agent === undefined) {
          gone = ranks.delete(id) || gone;
          continue;
        }
        const rank = rankOf(agent);
        if (rank === before) continue;
        if (before === undefined) come = ids.push(id) > 0;
        ranks.set(id, rank);
        moved.add(id);
      }
      if (!gone && moved.size === 0) return null;
      if (gone) ids = ids.filter((id) => ranks.has(id));
      if (come) ids.sort(compareIds);
      /** @type {string[][]} */
      const buckets = [[], [], [], [], []];
      for (const id of ids) buckets[/** @type {number} */ (ranks.get(id))].push(id);
      list = buckets.flat();
      return moved;
    },
  };
}
