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

/**
 * Create totals that follow their agents one by one.
 *
 * Dollars are added up as whole millionths, so that what is taken out again leaves nothing behind.
 */
export function createTotals() {
  const n = { total: 0, active: 0, idle: 0, offline: 0, waiting: 0, tokens: 0, unpriced: 0 };
  let priced = 0;
  let micros = 0;
  /** @param {Agent} agent @param {1 | -1} by */
  const move = (agent, by) => {
    n.total += by;
    if (agent.status !== "unknown") n[agent.status] += by;
    if (agent.attention) n.waiting += by;
    n.tokens += by * agent.tokens;
    if (agent.cost !== null) {
      priced += by;
      micros += by * Math.round(agent.cost * 1e6);
    } else if (agent.tokens > 0) n.unpriced += by;
  };
  return {
    /** @param {Agent} agent */
    add(agent) { move(agent, 1); },
    /** @param {Agent} agent as it was added */
    remove(agent) { move(agent, -1); },
    /** @returns {Counts} */
    counts: () => ({ ...n, cost: priced > 0 ? micros / 1e6 : null }),
  };
}

/** @param {Iterable<Agent>} agents @returns {Counts} */
export function countAgents(agents) {
  const totals = createTotals();
  for (const agent of agents) totals.add(agent);
  return totals.counts();
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
