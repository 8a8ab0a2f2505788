// @ts-check
/**
 * The order of the agents as people expect it.
 */

import { createTally } from "./tally.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */

const RANKS = { active: 1, idle: 2, offline: 3, unknown: 4 };

/** @param {Agent} agent */
const rankOf = (agent) => (agent.attention ? 0 : RANKS[agent.status]);

/**
 * Return a key that puts texts in the order people expect when keys are compared with "<".
 *
 * Runs of digits compare as numbers, agent-2 before agent-10, and case does not count. Comparing
 * keys is some ten times as fast as Intl.Collator, which tells with thousands of agents.
 *
 * @param {string} text
 */
export function orderKey(text) {
  return text.toLowerCase().replace(/\d+/g, (digits) => {
    const number = digits.replace(/^0+(?=\d)/, "");
    // The count of digits goes first, as a sign that lies where digits lie: before all letters.
    return String.fromCharCode(48 + Math.min(number.length, 16)) + number;
  });
}

/** Compare ids as people count: agent-2 before agent-10. @param {string} a @param {string} b */
export function compareIds(a, b) {
  const [x, y] = [orderKey(a), orderKey(b)];
  return x < y ? -1 : x > y ? 1 : a < b ? -1 : Number(a > b);
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
  const tally = createTally();
  for (const agent of agents) tally.add(agent, 1);
  return tally.counts();
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
