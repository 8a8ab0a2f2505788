// @ts-check
/**
 * Turns agents and settings into the rows to show: filters, sorts, nests, groups and counts.
 *
 * The layout is updated incrementally. An update processes the changed agents with their parents and
 * children; if rows change, it adds one pass over all rows. Between updates that may reorder rows,
 * agents keep their positions; only urgent, new and removed agents move at once.
 */

import { createFacets } from "./facets.js";
import { compileFilter } from "./filter.js";
import { createGroups } from "./groups.js";
import { createSortIndex, isUrgent, readSort } from "./sort.js";
import { createTotals } from "./totals.js";
import { createTree } from "./tree.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */
/** @typedef {import("./groups.js").Group} Group */
/** @typedef {import("./groups.js").GroupRow} GroupRow */
/** @typedef {import("./sort.js").Rank} Rank */
/** @typedef {import("./settings.js").GroupKey} GroupKey */
/** @typedef {import("./settings.js").ViewSettings} ViewSettings */

/**
 * @typedef {object} AgentRow
 * @property {"agent"} kind
 * @property {string} id
 * @property {number} depth 0 if not shown under its parent
 * @property {number} children number of subagents listed under it
 * @property {number} ended number of ended subagents that are not listed unless it is open
 * @property {boolean} open whether its ended subagents are listed
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
 * @property {boolean} held whether agents keep positions that have changed
 *
 * @typedef {object} Entry State of one agent in the layout.
 * @property {Agent} agent
 * @property {Rank} id position of its name and id
 * @property {boolean} shown
 * @property {boolean} ended whether it is a subagent that has ended
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

/** Sort value of an agent's name. @param {Agent} agent */
const orderOf = ({ name, id }) => `${name}\u0000${id}`;

/** Whether an agent is a subagent that has ended. @param {Agent} agent */
const isEnded = ({ parent, status, detail, state }) =>
  parent !== "" && (status === "offline" || (state === "idle" && detail === "done"));

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
  /** Agents that keep a position that has changed. @type {Set<string>} */
  const heldIds = new Set();
  /** Agents whose ended subagents are listed. @type {Set<string>} */
  const opened = new Set();
  /** Closed groups, by the field and the value. @type {Map<string, Set<string>>} */
  const closedGroups = new Map();
  /** Whether rows must be built again although no agent moved. */
  let outdated = false;

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
  const groupKeyOf = (agent) => {
    const field = /** @type {GroupKey} */ (settings?.groupBy);
    return field === "status" ? agent.state : agent[field];
  };

  /** @param {GroupKey} field @returns {Set<string>} */
  const closedIn = (field) => {
    const closed = closedGroups.get(field) ?? new Set();
    closedGroups.set(field, closed);
    return closed;
  };

  /** Apply settings. @param {ViewSettings} next @returns {boolean} whether all agents must be processed again */
  const applySettings = (next) => {
    const before = settings;
    settings = next;
    const filtered = before?.filter !== next.filter;
    if (filtered) matches = compileFilter(next.filter);
    if (before !== null && before.sort === next.sort && before.groupBy === next.groupBy) return filtered;
    sorting = readSort(next.sort);
    texts = createSortIndex();
    groups = next.groupBy === null ? null : createGroups(next.groupBy, closedIn(next.groupBy));
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
      agent, id: ids.of(orderOf(agent)), shown: false, ended: false, group: null, number: null, text: null, lead: null,
      link: null, parent: null, children: [], pending: false, needsLink: true,
      row: { kind: "agent", id: agent.id, depth: 0, children: 0, ended: 0, open: false },
    };
    entries.set(agent.id, entry);
    return entry;
  };

  /**
   * Update the entry of one agent.
   *
   * @param {Agent} agent @param {Entry | undefined} existing
   * @param {boolean} hold whether it keeps its position
   * @returns {Entry | null} null if its position is unchanged
   */
  const updateEntry = (agent, existing, hold) => {
    facets.move(existing?.agent, agent);
    if (existing !== undefined) {
      all.add(existing.agent, -1);
      count(existing, -1);
    }
    all.add(agent, 1);
    const entry = existing ?? createEntry(agent);
    const id = ids.of(orderOf(agent));
    const matched = matches === null || matches(agent);
    const group = groups?.of(groupKeyOf(agent)) ?? null;
    const number = sorting.number === null ? null : sorting.number(agent);
    const value = sorting.text === null ? "" : sorting.text(agent);
    const text = value === "" ? null : texts.of(value);
    const ended = isEnded(agent);
    const parent = existing?.agent.parent ?? "";
    const needsLink = existing === undefined || entry.shown !== matched
      || (matched && (entry.group !== group || parent !== agent.parent));
    const repositioned = needsLink || (matched && (entry.number !== number || entry.text !== text
      || entry.id !== id || entry.ended !== ended));
    tree.setParentId(entry, parent, agent.parent);
    const urgent = isUrgent(agent) && agent.state !== existing?.agent.state;
    entry.agent = agent;
    const held = hold && repositioned && existing !== undefined && parent === agent.parent && !urgent;
    if (held) heldIds.add(agent.id);
    else {
      heldIds.delete(agent.id);
      Object.assign(entry, { id, shown: matched, group, number, text, ended });
      if (needsLink) entry.needsLink = true;
    }
    count(entry, 1);
    return repositioned && !held ? entry : null;
  };

  /** @param {Entry} entry */
  const remove = (entry) => {
    const { agent } = entry;
    facets.move(agent, undefined);
    all.add(agent, -1);
    count(entry, -1);
    tree.setParentId(entry, agent.parent, "");
    entries.delete(agent.id);
    heldIds.delete(agent.id);
    opened.delete(agent.id);
    entry.shown = false;
    entry.needsLink = true;
  };

  /** Whether an entry and all below it have ended. @param {Entry} entry @returns {boolean} */
  const isFolded = (entry) => entry.ended && entry.children.every(isFolded);

  const buildRows = () => {
    /** @type {Row[]} */
    const rows = [];
    /** @type {string[]} */
    const shownIds = [];
    /** @param {Entry} entry @param {number} depth */
    const append = (entry, depth) => {
      const { row } = entry;
      const unfolded = entry.children.length === 0 ? entry.children : entry.children.filter((child) => !isFolded(child));
      const ended = entry.children.length - unfolded.length;
      const open = ended > 0 && opened.has(row.id);
      const children = open ? entry.children : unfolded;
      if (row.depth !== depth || row.children !== children.length || row.ended !== ended || row.open !== open) {
        entry.row = { kind: "agent", id: row.id, depth, children: children.length, ended, open };
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
      if (entry.group?.open !== false) append(entry, 0);
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
    // A held agent keeps the place of its old name, and gets that of its new one later.
    if (ids.size > bound) ids.keep(new Set([...entries.values()].flatMap(({ id, agent }) => [id.value, orderOf(agent)])));
    if (texts.size > bound) texts.keep(new Set([...entries.values()].map((entry) => entry.text?.value ?? "")));
    groups?.prune(entries.size);
  };

  /** @param {Layout} before @returns {Layout} */
  const recount = (before) => ({
    ...before, rows: updateGroupRows(before.rows), all: all.counts(), shown: shown.counts(),
    moved: null, changedStructure: false, held: heldIds.size > 0,
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
      changedStructure: true, held: heldIds.size > 0,
    };
  };

  return {
    /**
     * Return the layout after agents were added, changed or removed, or settings changed.
     *
     * @param {ReadonlyMap<string, Agent>} agents
     * @param {Iterable<string>} changed ids; ignored when the settings require all agents to be processed
     * @param {ViewSettings} next
     * @param {boolean} [hold] whether agents keep their positions, but for urgent, new and removed ones
     * @returns {Layout}
     */
    update(agents, changed, next, hold = false) {
      const processAll = applySettings(next);
      const names = new Set(processAll ? [...agents.keys(), ...entries.keys()] : changed);
      const keep = hold && !processAll;
      if (!keep) for (const id of heldIds) names.add(id);
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
      ids.add(present.filter((agent, i) => existing[i]?.agent.name !== agent.name).map(orderOf));
      registerValues(present);
      for (let i = 0; i < present.length; i += 1) {
        const entry = updateEntry(present[i], existing[i], keep);
        if (entry !== null) repositioned.push(entry);
      }
      const rebuild = layout === null || processAll || outdated || repositioned.length > 0;
      outdated = false;
      layout = rebuild ? rearrange(repositioned) : recount(/** @type {Layout} */ (layout));
      return layout;
    },

    /** Open or close a group; the next update applies it. @param {string} key value of the group's field */
    toggleGroup(key) {
      const group = groups?.of(key);
      const field = settings?.groupBy;
      if (group === undefined || !field) return;
      group.open = !group.open;
      group.row = null;
      if (group.open) closedIn(field).delete(key);
      else closedIn(field).add(key);
      outdated = true;
    },

    /** List or hide the ended subagents of an agent; the next update applies it. @param {string} id */
    toggleEnded(id) {
      if (!opened.delete(id)) opened.add(id);
      outdated = true;
    },

    /** List an agent, although it has ended or its group is closed; the next update applies it. @param {string} id */
    open(id) {
      const entry = entries.get(id);
      if (entry === undefined) return;
      for (let at = entry.parent; at !== null; at = at.parent) opened.add(at.agent.id);
      if (entry.group?.open === false) this.toggleGroup(entry.group.rank.value);
      outdated = true;
    },
  };
}
