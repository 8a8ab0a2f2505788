// @ts-check
/**
 * The tree of agents: parents, children and their order.
 *
 * An agent is shown under its parent if both are shown in the same group. Agents in a cycle or more
 * than 8 levels deep are shown at the top level. An urgent agent moves all its ancestors to the
 * front.
 */

import { isUrgentNumber } from "./sort.js";

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
  const byParentId = new Map();
  /** @type {Entry[]} */
  let roots = [];

  /** @param {Entry} entry @param {boolean} nested @returns {Entry | null} */
  const linkOf = (entry, nested) => {
    const { parent } = entry.agent;
    if (!nested || !entry.shown || parent === "") return null;
    const target = entries.get(parent);
    return target !== undefined && target !== entry && target.shown && target.group === entry.group
      ? target : null;
  };

  /** Return the entries whose parent may have changed. @param {Iterable<Entry>} changed @param {boolean} nested */
  const relink = (changed, nested) => {
    /** @type {Set<Entry>} */
    const touched = new Set();
    for (const entry of changed) {
      if (!entry.needsLink) continue;
      entry.needsLink = false;
      touched.add(entry);
      for (const child of byParentId.get(entry.agent.id) ?? []) touched.add(child);
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
      for (const child of byParentId.get(entry.agent.id) ?? []) if (child.link === entry) below.add(child);
    }
    return below;
  };

  return {
    get roots() { return roots; },

    /** Remove all entries; the next `update` inserts them again. */
    clear() {
      roots = [];
      for (const entry of entries.values()) {
        entry.link = null;
        entry.parent = null;
        entry.children = [];
        entry.needsLink = true;
      }
    },

    /** Record the parent id of an entry. @param {Entry} entry @param {string} before @param {string} after "" if none */
    setParentId(entry, before, after) {
      if (before === after) return;
      const siblings = byParentId.get(before);
      if (siblings?.delete(entry) && siblings.size === 0) byParentId.delete(before);
      if (after === "") return;
      const others = byParentId.get(after);
      if (others === undefined) byParentId.set(after, new Set([entry]));
      else others.add(entry);
    },

    /**
     * Update the positions of entries that were added, changed or removed.
     *
     * @param {Iterable<Entry>} changed @param {Sorting} sorting
     * @returns {Set<Entry>} the moved entries and their descendants
     */
    update(changed, sorting) {
      const levels = Array.from({ length: MAX_DEPTH + 1 }, () => /** @type {Set<Entry>} */ (new Set()));
      /** @type {Map<Entry | null, Entry[]>} */
      const arriving = new Map();
      /** @type {Entry[]} */
      const detached = [];
      /** @param {Entry} entry */
      const detach = (entry) => {
        if (entry.pending) return;
        entry.pending = true;
        detached.push(entry);
      };
      /** Process an entry's children again, deepest level first. @param {Entry | null} entry */
      const revisit = (entry) => {
        if (entry !== null) levels[depthOf(entry)].add(entry);
      };
      /** @param {Entry} entry */
      const attach = (entry) => {
        const siblings = arriving.get(entry.parent);
        if (siblings === undefined) arriving.set(entry.parent, [entry]);
        else siblings.push(entry);
        revisit(entry.parent);
      };

      /** @type {(Entry | null)[]} */
      const formerParents = [];
      for (const entry of changed) {
        detach(entry);
        formerParents.push(entry.parent);
      }
      for (const entry of relink(changed, sorting.nested)) {
        const parent = endsAtRoot(entry) ? entry.link : null;
        if (entry.parent === parent) continue;
        formerParents.push(entry.parent);
        entry.parent = parent;
        detach(entry);
      }
      for (const parent of formerParents) revisit(parent);
      for (const entry of [...detached]) {
        entry.lead = entry.number;
        if (entry.children.length > 0) revisit(entry);
        if (entry.shown) attach(entry);
      }
      for (const level of levels.toReversed()) {
        for (const entry of level) {
          const arrived = (arriving.get(entry) ?? []).sort(compare);
          entry.children = mergeSorted(entry.children.filter((child) => !child.pending), arrived, compare);
          const first = entry.children.length > 0 ? entry.children[0].lead : null;
          const urgent = sorting.urgent && first !== null && isUrgentNumber(first);
          const lead = urgent ? Math.min(first, entry.number ?? Infinity) : entry.number;
          if (entry.lead === lead) continue;
          entry.lead = lead;
          if (entry.pending || !entry.shown) continue;
          detach(entry);
          attach(entry);
        }
      }
      const arrived = (arriving.get(null) ?? []).sort(compare);
      roots = mergeSorted(roots.filter((entry) => !entry.pending), arrived, compare);
      for (const entry of detached) entry.pending = false;
      return withDescendants(detached);
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
  for (const entry of all) for (const child of entry.children) all.add(child);
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
