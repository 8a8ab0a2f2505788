// @ts-check
/**
 * The groups that agents are shown in, with their totals.
 */

import { createRanks } from "./sort_index.js";
import { statusKey, textKey } from "./sort.js";
import { createTally } from "./totals.js";

/** @typedef {import("./settings.js").GroupKey} GroupKey */

/**
 * @typedef {object} GroupRow
 * @property {"group"} kind
 * @property {string} key value of the field; "" for none
 * @property {string} label
 * @property {number} n agents shown in it
 * @property {number} waiting how many of them wait for a person
 * @property {import("./agent.js").Counts} counts
 *
 * @typedef {object} Group
 * @property {import("./sort_index.js").Rank} rank
 * @property {ReturnType<typeof createTally>} tally of the agents shown in it
 * @property {GroupRow | null} row null when the totals are others than in the last row
 */

/** Create the groups by a field, of which there is none yet. @param {GroupKey} field */
export function createGroups(field) {
  const ranks = createRanks(field === "status" ? statusKey : textKey);
  /** @type {Map<string, Group>} */
  const groups = new Map();
  return {
    /** Know these groups, too. @param {Iterable<string>} keys */
    add(keys) {
      const fresh = new Set();
      for (const key of keys) if (!groups.has(key)) fresh.add(key);
      ranks.add(fresh);
      for (const key of fresh) groups.set(key, { rank: ranks.of(key), tally: createTally(), row: null });
    },

    /** @param {string} key one that was added @returns {Group} */
    of: (key) => /** @type {Group} */ (groups.get(key)),

    /** Forget those without agents where these outnumber the agents. @param {number} agents */
    prune(agents) {
      if (groups.size <= 2 * agents + 1_000) return;
      for (const [key, group] of groups) if (group.tally.total === 0) groups.delete(key);
      ranks.keep(new Set(groups.keys()));
    },

    /** Return a group's row, the one it had where its totals are the same. @param {Group} group */
    rowOf(group) {
      if (group.row !== null) return group.row;
      const key = group.rank.value;
      const counts = group.tally.counts();
      group.row = {
        kind: "group", key, label: key || `no ${field}`, n: counts.total, waiting: counts.waiting, counts,
      };
      return group.row;
    },
  };
}
