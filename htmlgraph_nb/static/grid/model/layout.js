// @ts-check
/**
 * Turns agents and settings into the rows to show: filters, sorts, nests, groups and counts.
 *
 * The layout is updated incrementally. An update processes the changed agents with their parents and
 * children; if rows change, it adds one pass over all rows.
 */

import { createFacets } from "./facets.js";
import { compileFilter } from "./filter.js";
import { createGroups } from "./groups.js";
import { createSortIndex } from "./sort_index.js";
import { readSort } from "./sort.js";
import { createTotals } from "./totals.js";
import { createTree } from "./tree.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */
/** @typedef {import("./groups.js").Group} Group */
/** @typedef {import("./groups.js").GroupRow} GroupRow */
/** @typedef {import("./sort_index.js").Rank} Rank */
/** @typedef {import("./settings.js").GroupKey} GroupKey */
/** @typedef {import("./settings.js").ViewSettings} ViewSettings */

/**
 * @typedef {object} AgentRow
 * @property {"agent"} kind
 * @property {string} id
 * @property {number} depth 0 if not shown under its parent
 * @property {number} children number of agents shown under it
 *
 * @typedef {GroupRow | AgentRow} Row
 *
 * @typedef {object} Layout
 * @property {Row[]} rows the same array as before if unchanged
 * @property {string[]} ids the agents of the rows
 * @property {Counts} all totals of all agents
 * @property {Counts} shown totals of the agents that match the filter
 * @property {import("./facets.js").Facets} facets
 * @property {Set<string> | null} moved ids whose position may have changed; null if none
 * @property {boolean} changedStructure whether rows were added, removed or reordered
 *
 * @typedef {object} Entry State of one agent in the layout.
 * @property {Agent} agent
 * @property {Rank} id
 * @property {boolean} shown
 * @property {Group | null} group
 * @property {number | null} number numeric sort value; null sorts last
 * @property {Rank | null} text sort value when sorting by text
 * @property {number | null} lead `number`, or that of the most urgent agent under it
 * @property {Entry | null} link the parent entry, cycles not yet excluded
 * @property {Entry | null} parent the entry it is shown under
 * @property {Entry[]} children the entries shown under it, in order
 * @property {boolean} pending its position is being computed
 * @property {boolean} needsLink its parent or children may have changed
 * @property {AgentRow} row
 */

/** Create an empty layout. */
export function createLayout() {
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  const facets = createFacets();
  const all = createTotals();
  let shown = createTotals();
  const ids = createSortIndex();
  let texts = createSortIndex();
  /** @type {ReturnType<typeof createGroups> | null} */
  let groups = null;
  /** @type {ViewSettings | null} */
  let settings = null;
  let sorting = readSort("attention");
  let matches = compileFilter({});
  /** @type {Layout | null} */
  let layout = null;

  /** @param {Entry} a @param {Entry} b */
  const compare = (a, b) => {
    if (a.group !== b.group) return (a.group?.rank.position ?? 0) - (b.group?.rank.position ?? 0);
    const x = a.text?.position ?? a.lead;
    const y = b.text?.position ?? b.lead;
    if (x !== y) {
      if (x === null) return 1;
      if (y === null) return -1;
      return sorting.descending ? y - x : x - y;
    }
    return sorting.tiesDescending ? b.id.position - a.id.position : a.id.position - b.id.position;
  };
  const tree = createTree(entries, compare);

  /** @param {Agent} agent */
  const groupKeyOf = (agent) => agent[/** @type {GroupKey} */ (settings?.groupBy)];

  /** Apply settings. @param {ViewSettings} next @returns {boolean} whether all agents must be processed again */
  const applySettings = (next) => {
    const before = settings;
    settings = next;
    const filtered = before?.filter !== next.filter;
    if (filtered) matches = compileFilter(next.filter);
    if (before !== null && before.sort === next.sort && before.groupBy === next.groupBy) return filtered;
    sorting = readSort(next.sort);
    texts = createSortIndex();
    groups = next.groupBy === null ? null : createGroups(next.groupBy);
    shown = createTotals();
    tree.clear();
    for (const entry of entries.values()) entry.shown = false;
    return true;
  };

  /** Register the sort values of these agents. @param {Agent[]} agents */
  const registerValues = (agents) => {
    if (sorting.text !== null) texts.add(agents.map(sorting.text));
    groups?.add(agents.map(groupKeyOf));
  };

  /** Add an entry to the totals, or remove it. @param {Entry} entry @param {1 | -1} by */
  const count = (entry, by) => {
    if (!entry.shown) return;
    shown.add(entry.agent, by);
    if (entry.group === null) return;
    entry.group.totals.add(entry.agent, by);
    entry.group.row = null;
  };

  /** @param {Agent} agent an agent whose id was added to `ids` @returns {Entry} */
  const createEntry = (agent) => {
    /** @type {Entry} */
    const entry = {
      agent, id: ids.of(agent.id), shown: false, group: null, number: null, text: null, lead: null,
      link: null, parent: null, children: [], pending: false, needsLink: true,
      row: { kind: "agent", id: agent.id, depth: 0, children: 0 },
    };
    entries.set(agent.id, entry);
    return entry;
  };

  /** Update the entry of one agent. @param {Agent} agent @param {Entry | undefined} existing @returns {Entry | null} null if its position is unchanged */
  const updateEntry = (agent, existing) => {
    facets.move(existing?.agent, agent);
    if (existing !== undefined) {
      all.add(existing.agent, -1);
      count(existing, -1);
    }
    all.add(agent, 1);
    const entry = existing ?? createEntry(agent);
    const matched = matches === null || matches(agent);
    const group = groups?.of(groupKeyOf(agent)) ?? null;
    const number = sorting.number === null ? null : sorting.number(agent);
    const value = sorting.text === null ? "" : sorting.text(agent);
    const text = value === "" ? null : texts.of(value);
    const parent = existing?.agent.parent ?? "";
    const needsLink = existing === undefined || entry.shown !== matched
      || (matched && (entry.group !== group || parent !== agent.parent));
    if (needsLink) entry.needsLink = true;
    const repositioned = needsLink || (matched && (entry.number !== number || entry.text !== text));
    tree.setParentId(entry, parent, agent.parent);
    entry.agent = agent;
    entry.shown = matched;
    entry.group = group;
    entry.number = number;
    entry.text = text;
    count(entry, 1);
    return repositioned ? entry : null;
  };

  /** @param {Entry} entry */
  const remove = (entry) => {
    const { agent } = entry;
    facets.move(agent, undefined);
    all.add(agent, -1);
    count(entry, -1);
    tree.setParentId(entry, agent.parent, "");
    entries.delete(agent.id);
    entry.shown = false;
    entry.needsLink = true;
  };

  const buildRows = () => {
    /** @type {Row[]} */
    const rows = [];
    /** @type {string[]} */
    const shownIds = [];
    /** @param {Entry} entry @param {number} depth */
    const append = (entry, depth) => {
      const { children, row } = entry;
      if (row.depth !== depth || row.children !== children.length) {
        entry.row = { kind: "agent", id: row.id, depth, children: children.length };
      }
      rows.push(entry.row);
      shownIds.push(row.id);
      for (let i = 0; i < children.length; i += 1) append(children[i], depth + 1);
    };
    /** @type {Group | null} */
    let group = null;
    for (const entry of tree.roots) {
      if (groups !== null && entry.group !== null && entry.group !== group) {
        rows.push(groups.rowOf(entry.group));
        group = entry.group;
      }
      append(entry, 0);
    }
    return { rows, shownIds };
  };

  /** Return the same rows with the current totals of the groups. @param {Row[]} rows */
  const updateGroupRows = (rows) => {
    const current = groups;
    if (current === null) return rows;
    return rows.map((row) => (row.kind === "group" ? current.rowOf(current.of(row.key)) : row));
  };

  /** Bound the memory used by values that no agent has any more. */
  const prune = () => {
    const bound = 2 * entries.size + 1_000;
    if (ids.size > bound) ids.keep(new Set(entries.keys()));
    if (texts.size > bound) texts.keep(new Set([...entries.values()].map((entry) => entry.text?.value ?? "")));
    groups?.prune(entries.size);
  };

  /** @param {Layout} before @returns {Layout} */
  const recount = (before) => ({
    ...before, rows: updateGroupRows(before.rows), all: all.counts(), shown: shown.counts(),
    moved: null, changedStructure: false,
  });

  /** @param {Entry[]} changed entries whose position may change @returns {Layout} */
  const rearrange = (changed) => {
    /** @type {Set<string>} */
    const moved = new Set();
    for (const entry of tree.update(changed, sorting)) if (entry.shown) moved.add(entry.agent.id);
    const { rows, shownIds } = buildRows();
    prune();
    return {
      rows, ids: shownIds, all: all.counts(), shown: shown.counts(), facets: facets.view, moved,
      changedStructure: true,
    };
  };

  return {
    /**
     * Return the layout after agents were added, changed or removed, or settings changed.
     *
     * @param {ReadonlyMap<string, Agent>} agents
     * @param {Iterable<string>} changed ids; ignored when the settings require all agents to be processed
     * @param {ViewSettings} next
     * @returns {Layout}
     */
    update(agents, changed, next) {
      const processAll = applySettings(next);
      const names = new Set(processAll ? [...agents.keys(), ...entries.keys()] : changed);
      /** @type {Agent[]} */
      const present = [];
      /** @type {(Entry | undefined)[]} */
      const existing = [];
      /** @type {Entry[]} */
      const repositioned = [];
      for (const id of names) {
        const agent = agents.get(id);
        const entry = entries.get(id);
        if (agent !== undefined) {
          present.push(agent);
          existing.push(entry);
        } else if (entry !== undefined) {
          remove(entry);
          repositioned.push(entry);
        }
      }
      ids.add(present.filter((_, i) => existing[i] === undefined).map((agent) => agent.id));
      registerValues(present);
      for (let i = 0; i < present.length; i += 1) {
        const entry = updateEntry(present[i], existing[i]);
        if (entry !== null) repositioned.push(entry);
      }
      layout = layout === null || processAll || repositioned.length > 0 ? rearrange(repositioned) : recount(layout);
      return layout;
    },
  };
}
