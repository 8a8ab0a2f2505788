// @ts-check
/**
 * Places of texts in their order, so that comparing two agents compares two numbers.
 */

/**
 * @typedef {object} Rank
 * @property {string} value
 * @property {number} place changes when other values come in between
 */

/**
 * Create the places of values that are ordered by `compare`.
 *
 * @param {(a: string, b: string) => number} compare
 */
export function createRanks(compare) {
  /** @type {Map<string, Rank>} */
  let known = new Map();
  /** @type {Rank[]} */
  let ordered = [];

  /** @param {Rank[]} fresh */
  const insert = (fresh) => {
    fresh.sort((a, b) => compare(a.value, b.value));
    /** @type {Rank[]} */
    const merged = [];
    let at = 0;
    for (const rank of fresh) {
      const end = placeFor(rank.value, at);
      while (at < end) merged.push(ordered[at++]);
      merged.push(rank);
    }
    while (at < ordered.length) merged.push(ordered[at++]);
    ordered = merged;
    for (const [i, rank] of ordered.entries()) rank.place = i;
  };

  /** @param {string} value @param {number} low */
  const placeFor = (value, low) => {
    let high = ordered.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(ordered[middle].value, value) < 0) low = middle + 1;
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
        const rank = { value, place: -1 };
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
      for (const [i, rank] of ordered.entries()) rank.place = i;
    },
  };
}
