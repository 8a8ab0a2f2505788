// @ts-check
/**
 * From agents and settings to the rows that are shown: filtered, ordered, nested, grouped, counted.
 *
 * An arrangement is kept from one update to the next. What an update costs beyond the changed agents
 * is a few passes over flat lists, never a new sort of all.
 */

import { createFacets } from "./facets.js";
import { compileFilter } from "./filter.js";
import { compareTexts, createGroups } from "./groups.js";
import { compareIds, createTotals } from "./order.js";
import { createRanks } from "./ranks.js";
import { readSort } from "./sort.js";
import { createFamilies } from "./tree.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */
/** @typedef {import("./groups.js").GroupRow} GroupRow */
/** @typedef {import("./ranks.js").Rank} Rank */
/** @typedef {import("./settings.js").ViewSettings} ViewSettings */

/**
 * @typedef {object} AgentRow
 * @property {"agent"} kind
 * @property {string} id
 * @property {number} depth 0 for an agent that is not shown under its parent
 * @property {number} children how many are shown under it
 *
 * @typedef {GroupRow | AgentRow} Row
 *
 * @typedef {object} Layout
 * @property {Row[]} rows the same array as before where nothing of it changed
 * @property {string[]} ids the agents of the rows
 * @property {Counts} all totals of all agents
 * @property {Counts} shown totals of those that the filter lets through
 * @property {import("./facets.js").Facets} facets
 * @property {Set<string> | null} moved ids that may stand at another place than before; null for none
 * @property {boolean} changedStructure whether the rows are others than before
 *
 * @typedef {object} Entry What is kept of one agent.
 * @property {Agent} agent
 * @property {Rank} id
 * @property {boolean} shown
 * @property {boolean} fresh its place has to be found again
 * @property {Rank | null} group
 * @property {number | null} number what it is ordered by; null comes last
 * @property {Rank | null} text the same where texts are ordered
 * @property {Entry | null} parent the entry under which it is shown
 * @property {Entry[]} kids
 * @property {number | null} lead `number`, or that of the most urgent of its family
 * @property {AgentRow} row
 */

/** Create an arrangement; it holds nothing yet. */
export function createArrangement() {
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  /** Entries whose place has to be found again. @type {Entry[]} */
  let fresh = [];
  const families = createFamilies(entries, (entry) => touch(entry));
  const facets = createFacets();
  const all = createTotals();
  const ids = createRanks(compareIds);
  let shown = createTotals();
  let texts = createRanks(compareTexts);
  let groups = createGroups(null);
  /** @type {ViewSettings | null} */
  let settings = null;
  let sorting = readSort("attention");
  let passes = compileFilter({});
  /** Entries at depth 0, in their order. @type {Entry[]} */
  let roots = [];
  /** @type {Layout | null} */
  let layout = null;

  /** @param {Entry} entry */
  const touch = (entry) => {
    if (entry.fresh) return;
    entry.fresh = true;
    fresh.push(entry);
  };

  /** @param {Entry} a @param {Entry} b */
  const compare = (a, b) => {
    if (a.group !== b.group) return (a.group?.place ?? 0) - (b.group?.place ?? 0);
    const x = a.text?.place ?? a.lead;
    const y = b.text?.place ?? b.lead;
    if (x !== y) {
      if (x === null) return 1;
      if (y === null) return -1;
      return sorting.descending ? y - x : x - y;
    }
    const tie = a.id.place - b.id.place;
    return sorting.descending && sorting.nested ? -tie : tie;
  };

  /** Take over settings; whether every agent has to be looked at again. @param {ViewSettings} next */
  const adopt = (next) => {
    const before = settings;
    settings = next;
    if (before !== null && before.filter === next.filter && before.sort === next.sort
      && before.groupBy === next.groupBy) return false;
    sorting = readSort(next.sort);
    passes = compileFilter(next.filter);
    texts = createRanks(compareTexts);
    groups = createGroups(next.groupBy);
    shown = createTotals();
    for (const entry of entries.values()) entry.shown = false;
    return true;
  };

  /** Take an agent out of what is counted of the shown ones. @param {Entry} entry */
  const uncount = (entry) => {
    if (!entry.shown) return;
    shown.remove(entry.agent);
    if (entry.group !== null) groups.move(entry.group, entry.agent, null);
  };

  /** Bring one agent's entry up to date; its place may be another. @param {Agent} agent @param {boolean} anew */
  const patch = (agent, anew) => {
    const known = entries.get(agent.id);
    facets.move(known?.agent, agent);
    if (known !== undefined) {
      all.remove(known.agent);
      uncount(known);
    }
    all.add(agent);
    const passed = passes === null || passes(agent);
    const group = groups.of(agent);
    const number = sorting.number === null ? null : sorting.number(agent);
    const value = sorting.text === null ? "" : sorting.text(agent);
    const text = value === "" ? null : texts.of(value);
    if (passed) {
      shown.add(agent);
      if (group !== null) groups.move(group, null, agent);
    }
    /** @type {Entry} */
    const entry = known ?? {
      agent, id: ids.of(agent.id), shown: false, fresh: false, group, number, text, parent: null,
      kids: [], lead: number, row: { kind: "agent", id: agent.id, depth: 0, children: 0 },
    };
    entries.set(agent.id, entry);
    const family = entry.agent.parent !== agent.parent || known === undefined;
    const other = anew || family || entry.shown !== passed || (passed && (entry.group !== group
      || entry.number !== number || entry.text !== text));
    entry.agent = agent;
    entry.shown = passed;
    if (other) {
      Object.assign(entry, { group, number, text, lead: number });
      touch(entry);
    }
    if (family) families.note(entry);
  };

  /** @param {string} id @returns {boolean} whether it was shown */
  const remove = (id) => {
    const known = entries.get(id);
    if (known === undefined) return false;
    facets.move(known.agent, undefined);
    all.remove(known.agent);
    uncount(known);
    entries.delete(id);
    families.remove(known);
    const { shown: wasShown } = known;
    known.shown = false;
    return wasShown;
  };

  /** Put the roots in order: those that kept their place, and the fresh ones between them. */
  const order = () => {
    const stay = roots.filter((entry) => entry.shown && !entry.fresh && entry.parent === null);
    const come = fresh.filter((entry) => entry.shown && entry.parent === null);
    roots = mergeSorted(stay, come.sort(compare), compare);
  };

  /** @returns {{rows: Row[], shownIds: string[]}} */
  const draw = () => {
    /** @type {Row[]} */
    const rows = [];
    /** @type {string[]} */
    const shownIds = [];
    /** @param {Entry} entry @param {number} depth */
    const put = (entry, depth) => {
      const children = entry.kids.length;
      if (entry.row.depth !== depth || entry.row.children !== children) {
        entry.row = { kind: "agent", id: entry.agent.id, depth, children };
      }
      rows.push(entry.row);
      shownIds.push(entry.agent.id);
      if (children > 0) for (const kid of entry.kids) put(kid, depth + 1);
    };
    groups.clearPlaces();
    /** @type {Rank | null} */
    let group = null;
    for (const entry of roots) {
      if (entry.group !== group && entry.group !== null) rows.push(groups.row(entry.group, rows.length));
      group = entry.group;
      put(entry, 0);
    }
    return { rows, shownIds };
  };

  /** Names that are gone take room only up to a bound. */
  const prune = () => {
    const bound = 2 * entries.size + 1_000;
    if (ids.size > bound) ids.keep(new Set(entries.keys()));
    if (texts.size > bound) {
      texts.keep(new Set([...entries.values()].map((entry) => entry.text?.value ?? "")));
    }
    groups.prune();
  };

  /** Take in what changed, whatever it does to the rows. @param {ReadonlyMap<string, Agent>} agents @param {Set<string>} names @param {boolean} anew @returns {boolean} whether a shown agent went */
  const take = (agents, names, anew) => {
    const present = [];
    let gone = false;
    for (const id of names) {
      const agent = agents.get(id);
      if (agent !== undefined) present.push(agent);
      else if (remove(id)) gone = true;
    }
    // Places are made for all that is new at once.
    ids.add(present.map((agent) => agent.id));
    if (sorting.text !== null) texts.add(present.map(sorting.text));
    groups.add(present);
    for (const agent of present) patch(agent, anew);
    return gone;
  };

  return {
    /**
     * Return the layout after these agents changed, came or went, or the settings changed.
     *
     * @param {ReadonlyMap<string, Agent>} agents
     * @param {Iterable<string>} changed ids; all of them at the first call
     * @param {ViewSettings} next
     * @returns {Layout}
     */
    update(agents, changed, next) {
      const anew = adopt(next);
      const names = new Set(changed);
      if (anew) for (const id of [...agents.keys(), ...entries.keys()]) names.add(id);
      const gone = take(agents, names, anew);
      const before = layout;
      const structural = before === null || anew || gone || fresh.length > 0;
      let rows = before?.rows ?? [];
      let shownIds = before?.ids ?? [];
      /** @type {Set<string> | null} */
      let moved = null;
      if (structural) {
        families.settle(sorting, compare);
        order();
        moved = new Set(fresh.map((entry) => entry.agent.id));
        ({ rows, shownIds } = draw());
        for (const entry of fresh) entry.fresh = false;
        fresh = [];
        prune();
      } else rows = groups.refresh(rows);
      layout = {
        rows, ids: shownIds, all: all.counts(), shown: shown.counts(), facets: facets.view, moved,
        changedStructure: structural,
      };
      return layout;
    },
  };
}

/**
 * @template T
 * @param {T[]} a sorted @param {T[]} b sorted @param {(a: T, b: T) => number} compare
 */
function mergeSorted(a, b, compare) {
  if (b.length === 0) return a;
  /** @type {T[]} */
  const merged = [];
  let i = 0;
  for (const item of b) {
    while (i < a.length && compare(a[i], item) <= 0) merged.push(a[i++]);
    merged.push(item);
  }
  while (i < a.length) merged.push(a[i++]);
  return merged;
}
