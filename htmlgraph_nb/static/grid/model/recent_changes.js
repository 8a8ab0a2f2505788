// @ts-check
/**
 * The latest changes of each agent received by this client, for the details panel.
 */

/** @typedef {import("./agent.js").Agent} Agent */

const RECENT_CHANGES = 50;
const RECENT_AGENTS = 1_000;

/**
 * @typedef {object} RecentChange
 * @property {string} at time of the agent's last activity, RFC 3339
 * @property {string} status
 * @property {string} detail
 * @property {string} tool
 * @property {string} reason
 * @property {number} tools
 * @property {number} tokens
 */

/** Create the list: 50 changes for each of the 1,000 agents changed last. */
export function createRecentChanges() {
  /** @type {Map<string, RecentChange[]>} newest agent and newest change last */
  const kept = new Map();
  return {
    /** @param {Agent} agent after the change */
    note({ id, activity, status, detail, tool, reason, tools, tokens }) {
      const changes = kept.get(id) ?? [];
      changes.push({ at: activity, status, detail, tool, reason, tools, tokens });
      if (changes.length > RECENT_CHANGES) changes.shift();
      kept.delete(id);
      kept.set(id, changes);
      const oldest = kept.size > RECENT_AGENTS ? kept.keys().next().value : undefined;
      if (oldest !== undefined) kept.delete(oldest);
    },

    /** @param {string} id */
    forget(id) {
      kept.delete(id);
    },

    /** @param {string} id @returns {RecentChange[]} newest first */
    of(id) {
      return (kept.get(id) ?? []).toReversed();
    },
  };
}
