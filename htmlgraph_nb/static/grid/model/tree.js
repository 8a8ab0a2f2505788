// @ts-check
/**
 * The tree of agents: parents, children and their order.
 *
 * An agent is shown under its parent if both are shown in the same group. Agents in a cycle or more
 * than 8 levels deep are shown at the top level. A waiting agent moves all its ancestors to the
 * front.
 */

import { WAITING_FIRST } from "./sort.js";

/** @typedef {import("./layout.js").Entry} Entry */
/** @typedef {import("./sort.js").Sorting} Sorting */

const MAX_DEPTH = 8;

/**
 * Create an empty tree for these entries.
 *
 * @param {ReadonlyMap<string, Entry>} entries
 * @param {(a: Entry, b: Entry) => number} compare
 */
export function createTree(entries, compare) {
  /** Entries by parent id. @type {Map<string, Set<Entry>>} */
  const named = new Map();
  /** @type {Entry[]} */
  let roots = [];

  /** @param {Entry} entry @param {boolean} nested @returns {Entry | null} */
  const linkOf = (entry, nested) => {
    const { parent } = entry.agent;
    if (!nested || !entry.shown || parent === "") return null;
    const found = entries.get(parent);
    return found !== undefined && found !== entry && found.shown && found.group === entry.group
      ? found : null;
  };

  /** Return the entries whose parent may have changed. @param {Iterable<Entry>} changed @param {boolean} nested */
  const relink = (changed, nested) => {
    /** @type {Set<Entry>} */
    const touched = new Set();
    for (const entry of changed) {
      if (!entry.loose) continue;
      entry.loose = false;
      touched.add(entry);
      for (const kid of named.get(entry.agent.id) ?? []) touched.add(kid);
    }
    const relinked = [];
    for (const entry of touched) {
      const link = linkOf(entry, nested);
      if (entry.link === link) continue;
      entry.link = link;
      relinked.push(entry);
    }
    const below = new Set(relinked);
    for (const entry of below) {
      for (const kid of named.get(entry.agent.id) ?? []) if (kid.link === entry) below.add(kid);
    }
    return below;
  };

  return {
    get roots() { return roots; },

    /** Remove all entries; they are placed again by the next `place`. */
    clear() {
      roots = [];
      for (const entry of entries.values()) {
        entry.link = null;
        entry.parent = null;
        entry.kids = [];
        entry.loose = true;
      }
    },

    /** Record the parent id of an entry. @param {Entry} entry @param {string} before @param {string} after "" if none */
    name(entry, before, after) {
      if (before === after) return;
      const siblings = named.get(before);
      if (siblings?.delete(entry) && siblings.size === 0) named.delete(before);
      if (after === "") return;
      const others = named.get(after);
      if (others === undefined) named.set(after, new Set([entry]));
      else others.add(entry);
    },

    /**
     * Place entries that were added, changed or removed.
     *
     * @param {Iterable<Entry>} changed @param {Sorting} sorting
     * @returns {Set<Entry>} the placed entries and their descendants
     */
    place(changed, sorting) {
      const levels = Array.from({ length: MAX_DEPTH + 1 }, () => /** @type {Set<Entry>} */ (new Set()));
      /** @type {Map<Entry | null, Entry[]>} */
      const coming = new Map();
      /** @type {Entry[]} */
      const fresh = [];
      /** @param {Entry} entry */
      const lift = (entry) => {
        if (entry.fresh) return;
        entry.fresh = true;
        fresh.push(entry);
      };
      /** Process an entry's children again, deepest level first. @param {Entry | null} entry */
      const revisit = (entry) => {
        if (entry !== null) levels[depthOf(entry)].add(entry);
      };
      /** @param {Entry} entry */
      const settle = (entry) => {
        const known = coming.get(entry.parent);
        if (known === undefined) coming.set(entry.parent, [entry]);
        else known.push(entry);
        revisit(entry.parent);
      };

      /** @type {(Entry | null)[]} */
      const left = [];
      for (const entry of changed) {
        lift(entry);
        left.push(entry.parent);
      }
      for (const entry of relink(changed, sorting.nested)) {
        const parent = endsAtRoot(entry) ? entry.link : null;
        if (entry.parent === parent) continue;
        left.push(entry.parent);
        entry.parent = parent;
        lift(entry);
      }
      for (const parent of left) revisit(parent);
      for (const entry of [...fresh]) {
        entry.lead = entry.number;
        if (entry.kids.length > 0) revisit(entry);
        if (entry.shown) settle(entry);
      }
      for (const level of levels.toReversed()) {
        for (const entry of level) {
          const come = (coming.get(entry) ?? []).sort(compare);
          entry.kids = mergeSorted(entry.kids.filter((kid) => !kid.fresh), come, compare);
          const urgent = sorting.urgent && entry.kids.length > 0 && entry.kids[0].lead === WAITING_FIRST;
          const lead = urgent ? WAITING_FIRST : entry.number;
          if (entry.lead === lead) continue;
          entry.lead = lead;
          if (entry.fresh || !entry.shown) continue;
          lift(entry);
          settle(entry);
        }
      }
      const come = (coming.get(null) ?? []).sort(compare);
      roots = mergeSorted(roots.filter((entry) => !entry.fresh), come, compare);
      for (const entry of fresh) entry.fresh = false;
      return withDescendants(fresh);
    },
  };
}

/** @param {Entry} entry */
function depthOf(entry) {
  let depth = 0;
  for (let at = entry.parent; at !== null; at = at.parent) depth += 1;
  return depth;
}

/** Whether the links lead to a root within MAX_DEPTH. @param {Entry} entry */
function endsAtRoot(entry) {
  /** @type {Entry | null} */
  let at = entry;
  for (let depth = 0; depth <= MAX_DEPTH && at !== null; depth += 1) at = at.link;
  return at === null;
}

/** @param {Entry[]} entries */
function withDescendants(entries) {
  const all = new Set(entries);
  for (const entry of all) for (const kid of entry.kids) all.add(kid);
  return all;
}

/**
 * Merge a few sorted items into many.
 *
 * @template T
 * @param {T[]} many sorted @param {T[]} few sorted @param {(a: T, b: T) => number} compare
 */
function mergeSorted(many, few, compare) {
  if (few.length === 0) return many;
  /** @type {T[]} */
  const merged = [];
  let at = 0;
  for (const item of few) {
    let low = at;
    let high = many.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(many[middle], item) <= 0) low = middle + 1;
      else high = middle;
    }
    while (at < low) merged.push(many[at++]);
    merged.push(item);
  }
  while (at < many.length) merged.push(many[at++]);
  return merged;
}
