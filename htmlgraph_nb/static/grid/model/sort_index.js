// @ts-check
/**
 * Places of texts in their order, so that comparing two agents compares two numbers.
 */

import { orderKey } from "./natural_sort.js";

/**
 * @typedef {object} Rank
 * @property {string} value
 * @property {string} key
 * @property {number} place changes when other values come in between
 */

/** @param {Rank} a @param {Rank} b */
function compareRanks(a, b) {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : a.value < b.value ? -1 : Number(a.value > b.value);
}

/**
 * Create the places of values that are ordered by a key, then by themselves.
 *
 * @param {(value: string) => string} [keyOf]
 */
export function createRanks(keyOf = orderKey) {
  /** @type {Map<string, Rank>} */
  let known = new Map();
  /** @type {Rank[]} */
  let ordered = [];

  /** @param {Rank[]} fresh */
  const insert = (fresh) => {
    fresh.sort(compareRanks);
    /** @type {Rank[]} */
    const merged = [];
    let at = 0;
    for (const rank of fresh) {
      const end = placeFor(rank, at);
      while (at < end) merged.push(ordered[at++]);
      merged.push(rank);
    }
    while (at < ordered.length) merged.push(ordered[at++]);
    ordered = merged;
    ordered.forEach((rank, i) => { rank.place = i; });
  };

  /** @param {Rank} rank @param {number} low */
  const placeFor = (rank, low) => {
    let high = ordered.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareRanks(ordered[middle], rank) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    get size() { return known.size; },

    /** Know these values, too; adding many at once costs little more than one. @param {Iterable<string>} values */
    add(values) {
      const fresh = [];
      for (const value of values) {
        if (known.has(value)) continue;
        const rank = { value, key: keyOf(value), place: -1 };
        known.set(value, rank);
        fresh.push(rank);
      }
      if (fresh.length > 0) insert(fresh);
    },

    /** @param {string} value one that was added @returns {Rank} */
    of(value) {
      return /** @type {Rank} */ (known.get(value));
    },

    /** Forget all values but these. @param {Set<string>} values */
    keep(values) {
      ordered = ordered.filter((rank) => values.has(rank.value));
      known = new Map(ordered.map((rank) => [rank.value, rank]));
      ordered.forEach((rank, i) => { rank.place = i; });
    },
  };
}
