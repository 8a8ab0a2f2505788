// @ts-check
/**
 * Positions of texts in natural sort order, so that agents are compared by numbers.
 */

/**
 * @typedef {object} Rank
 * @property {string} value
 * @property {string} key
 * @property {number} position changes when values are inserted before it
 */

/**
 * Return a sort key for natural order; compare keys with "<".
 *
 * Digits compare as numbers (agent-2 before agent-10), case is ignored. Comparing keys is about ten
 * times as fast as Intl.Collator, which matters with thousands of agents.
 *
 * @param {string} text
 */
export function naturalKey(text) {
  return text.toLowerCase().replace(/\d+/g, (digits) => {
    const number = digits.replace(/^0+(?=\d)/, "");
    // Prefix the number of digits as a character that sorts like a digit, before all letters.
    return String.fromCharCode(48 + Math.min(number.length, 16)) + number;
  });
}

/** @param {Rank} a @param {Rank} b */
function compareEntries(a, b) {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : a.value < b.value ? -1 : Number(a.value > b.value);
}

/**
 * Create an index of values sorted by a key, then by value.
 *
 * @param {(value: string) => string} [keyOf]
 */
export function createSortIndex(keyOf = naturalKey) {
  /** @type {Map<string, Rank>} */
  let ranks = new Map();
  /** @type {Rank[]} */
  let ordered = [];

  /** @param {Rank[]} added */
  const insert = (added) => {
    added.sort(compareEntries);
    /** @type {Rank[]} */
    const merged = [];
    let at = 0;
    for (const rank of added) {
      const end = positionFor(rank, at);
      while (at < end) merged.push(ordered[at++]);
      merged.push(rank);
    }
    while (at < ordered.length) merged.push(ordered[at++]);
    ordered = merged;
    ordered.forEach((rank, i) => { rank.position = i; });
  };

  /** @param {Rank} rank @param {number} low */
  const positionFor = (rank, low) => {
    let high = ordered.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareEntries(ordered[middle], rank) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    get size() { return ranks.size; },

    /** Add values; adding many at once costs little more than adding one. @param {Iterable<string>} values */
    add(values) {
      const added = [];
      for (const value of values) {
        if (ranks.has(value)) continue;
        const rank = { value, key: keyOf(value), position: -1 };
        ranks.set(value, rank);
        added.push(rank);
      }
      if (added.length > 0) insert(added);
    },

    /** @param {string} value a value passed to `add` @returns {Rank} */
    of(value) {
      return /** @type {Rank} */ (ranks.get(value));
    },

    /** Remove all other values. @param {Set<string>} values */
    keep(values) {
      ordered = ordered.filter((rank) => values.has(rank.value));
      ranks = new Map(ordered.map((rank) => [rank.value, rank]));
      ordered.forEach((rank, i) => { rank.position = i; });
    },
  };
}
