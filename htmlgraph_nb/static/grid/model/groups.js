// @ts-check
/**
 * Groups of agents and their totals.
 */

import { createSortIndex, stateKey, textKey } from "./sort.js";
import { createTotals } from "./totals.js";

/** @typedef {import("./settings.js").GroupKey} GroupKey */

/**
 * @typedef {object} GroupRow
 * @property {"group"} kind
 * @property {string} key value of the field; "" if empty
 * @property {GroupKey} field
 * @property {string} label
 * @property {boolean} open whether its agents are listed
 * @property {number} n agents that belong to it
 * @property {number} waiting agents that wait for a person
 * @property {import("./agent.js").Counts} counts
 *
 * @typedef {object} Group
 * @property {import("./sort.js").Rank} rank
 * @property {ReturnType<typeof createTotals>} totals of the agents shown in it
 * @property {GroupRow | null} row cached row; null if the totals have changed
 * @property {boolean} open
 */

/**
 * Create an empty set of groups by a field.
 *
 * @param {GroupKey} field @param {ReadonlySet<string>} closed keys of the groups that are closed at first
 */
export function createGroups(field, closed) {
  const ranks = createSortIndex(field === "status" ? stateKey : textKey);
  /** @type {Map<string, Group>} */
  const groups = new Map();
  return {
    /** Add groups that do not exist yet. @param {Iterable<string>} keys */
    add(keys) {
      const added = new Set();
      for (const key of keys) if (!groups.has(key)) added.add(key);
      ranks.add(added);
      for (const key of added) groups.set(key, { rank: ranks.of(key), totals: createTotals(), row: null, open: !closed.has(key) });
    },

    /** @param {string} key a key passed to `add` @returns {Group} */
    of: (key) => /** @type {Group} */ (groups.get(key)),

    /** Remove empty groups when there are many more groups than agents. @param {number} agents */
    prune(agents) {
      if (groups.size <= 2 * agents + 1_000) return;
      for (const [key, group] of groups) if (group.totals.total === 0) groups.delete(key);
      ranks.keep(new Set(groups.keys()));
    },

    /** Return a group's row; the same object while its totals are unchanged. @param {Group} group */
    rowOf(group) {
      if (group.row !== null) return group.row;
      const key = group.rank.value;
      const counts = group.totals.counts();
      group.row = {
        kind: "group", field, key, label: key || `no ${field}`, open: group.open, n: counts.total,
        waiting: counts.waiting, counts,
      };
      return group.row;
    },
  };
}
