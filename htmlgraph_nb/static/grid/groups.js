// @ts-check
/**
 * The groups of an arrangement: their order, their rows and their totals.
 */

import { compareIds, createTotals } from "./order.js";
import { createRanks } from "./ranks.js";
import { compareStatuses } from "./sort.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./arrange.js").Row} Row */
/** @typedef {import("./ranks.js").Rank} Rank */
/** @typedef {import("./settings.js").GroupKey} GroupKey */

/**
 * @typedef {object} GroupRow
 * @property {"group"} kind
 * @property {string} key value of the field; "" for none
 * @property {string} label
 * @property {number} n agents shown in it
 * @property {number} waiting how many of them wait for a person
 * @property {import("./agent.js").Counts} counts
 */

/** "" comes last: it says that there is none. @param {string} a @param {string} b */
export function compareTexts(a, b) {
  if (a === "" || b === "") return Number(a === "") - Number(b === "");
  return compareIds(a, b);
}

/**
 * Create the groups by one field; null makes none.
 *
 * @param {GroupKey | null} field
 */
export function createGroups(field) {
  const ranks = createRanks(field === "status" ? compareStatuses : compareTexts);
  /** @type {Map<Rank, ReturnType<typeof createTotals>>} */
  const totals = new Map();
  /** Where each group's row stands. @type {Map<Rank, number>} */
  const places = new Map();
  /** Groups whose totals are others than in their rows. @type {Set<Rank>} */
  const changed = new Set();

  /** @param {Rank} group @returns {GroupRow} */
  const build = (group) => {
    const counts = (totals.get(group) ?? createTotals()).counts();
    const key = group.value;
    return { kind: "group", key, label: key || `no ${field}`, n: counts.total, waiting: counts.waiting, counts };
  };

  return {
    /** Make places for the groups of these agents. @param {Agent[]} agents */
    add(agents) {
      if (field !== null) ranks.add(agents.map((agent) => agent[field]));
    },

    /** @param {Agent} agent one that was added @returns {Rank | null} */
    of: (agent) => (field === null ? null : ranks.of(agent[field])),

    /** Count what a group's agent was and is. @param {Rank} group @param {Agent | null} before @param {Agent | null} after */
    move(group, before, after) {
      let counted = totals.get(group);
      if (counted === undefined) totals.set(group, counted = createTotals());
      if (before !== null) counted.remove(before);
      if (after !== null) counted.add(after);
      changed.add(group);
    },

    clearPlaces() {
      places.clear();
      changed.clear();
    },

    /** Return the row of a group, which will stand at this place. @param {Rank} group @param {number} place */
    row(group, place) {
      places.set(group, place);
      return build(group);
    },

    /** Return the rows with the present totals: the same array where none changed. @param {Row[]} rows */
    refresh(rows) {
      if (changed.size === 0) return rows;
      const next = [...rows];
      for (const group of changed) {
        const place = places.get(group);
        if (place !== undefined) next[place] = build(group);
      }
      changed.clear();
      return next;
    },

    /** Forget groups that are gone once they are many. */
    prune() {
      if (totals.size <= 2 * places.size + 1_000) return;
      for (const group of totals.keys()) if (!places.has(group)) totals.delete(group);
      ranks.keep(new Set([...places.keys()].map((group) => group.value)));
    },
  };
}
