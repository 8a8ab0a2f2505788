// @ts-check
/**
 * Families: which agents are shown under which, and how urgent a family is.
 */

import { WAITING_FIRST } from "./sort.js";

/** @typedef {import("./arrange.js").Entry} Entry */

const MAX_DEPTH = 8;

/**
 * Create what keeps the families of an arrangement's entries.
 *
 * A parent that is not shown, or shown in another group, has no kids; nor has one that is its own
 * descendant, or deeper than 8 levels.
 *
 * @param {ReadonlyMap<string, Entry>} entries
 * @param {(entry: Entry) => void} touch told of entries whose place has to be found again
 */
export function createFamilies(entries, touch) {
  /** Entries whose agents name a parent. @type {Set<Entry>} */
  const named = new Set();
  /** @type {Set<Entry>} */
  let parents = new Set();
  /** @type {Set<Entry>} */
  let urgent = new Set();

  /** @param {Entry} entry @param {Entry | null} parent */
  const put = (entry, parent) => {
    if (entry.parent === parent) return;
    entry.parent = parent;
    touch(entry);
  };

  /** @param {Set<Entry>} next roots that lead with the urgency of whoever waits in their family */
  const lead = (next) => {
    for (const entry of urgent) {
      if (!next.has(entry) && entry.lead !== entry.number) {
        entry.lead = entry.number;
        touch(entry);
      }
    }
    for (const entry of next) {
      if (entry.lead !== WAITING_FIRST) {
        entry.lead = WAITING_FIRST;
        touch(entry);
      }
    }
    urgent = next;
  };

  return {
    /** Take in that an entry came or changed. @param {Entry} entry */
    note(entry) {
      if (entry.agent.parent !== "") named.add(entry);
      else if (named.delete(entry)) put(entry, null);
    },

    /** @param {Entry} entry */
    remove(entry) {
      named.delete(entry);
      parents.delete(entry);
      urgent.delete(entry);
    },

    /**
     * Find each entry's parent and kids, and the lead of each family.
     *
     * @param {import("./sort.js").Sorting} sorting
     * @param {(a: Entry, b: Entry) => number} compare
     */
    settle(sorting, compare) {
      for (const entry of parents) entry.kids = [];
      for (const entry of named) put(entry, sorting.nested && entry.shown ? parentOf(entries, entry) : null);
      // A circle has no entry at depth 0: all its members stand alone, wherever the look at it began.
      const lost = [...named].filter((entry) => entry.parent !== null && rootOf(entry) === null);
      for (const entry of lost) put(entry, null);
      parents = new Set();
      /** @type {Set<Entry>} */
      const leading = new Set();
      for (const entry of named) {
        const { parent } = entry;
        if (parent === null) continue;
        parent.kids.push(entry);
        parents.add(parent);
        const root = sorting.urgent && entry.number === WAITING_FIRST ? rootOf(entry) : null;
        if (root !== null) leading.add(root);
      }
      for (const { kids } of parents) if (kids.length > 1) kids.sort(compare);
      lead(leading);
    },
  };
}

/** @param {ReadonlyMap<string, Entry>} entries @param {Entry} entry */
function parentOf(entries, entry) {
  const found = entries.get(entry.agent.parent);
  return found !== undefined && found !== entry && found.shown && found.group === entry.group
    ? found : null;
}

/** @param {Entry} entry @returns {Entry | null} null where it is in a circle, or too deep */
function rootOf(entry) {
  let at = entry;
  for (let depth = 0; depth <= MAX_DEPTH; depth += 1) {
    if (at.parent === null) return at;
    at = at.parent;
  }
  return null;
}
