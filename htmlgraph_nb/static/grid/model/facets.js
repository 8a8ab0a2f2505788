// @ts-check
/**
 * Number of agents per value of each filterable field.
 */

/** @typedef {import("./agent.js").Agent} Agent */

/** Facet → the field that it counts. */
const FACET_FIELDS = /** @type {const} */ ({
  status: "state", kind: "kind", project: "project", branch: "branch", feature: "feature", model: "model", host: "host",
});
const FACET_NAMES = /** @type {FacetName[]} */ (Object.keys(FACET_FIELDS));
const FACET_MAX = 100;
/** Fields of which the number of agents that have a value is counted. */
const USED_FIELDS = /** @type {const} */ (["feature", "model", "contextWindow"]);

/**
 * @typedef {keyof typeof FACET_FIELDS} FacetName
 *
 * @typedef {Record<FacetName, ReadonlyMap<string, number>>} FacetCounts Value → number of agents,
 *   most frequent first, at most 100 per field; "" means no value.
 *
 * @typedef {object} MoreCounts
 * @property {Readonly<Record<string, number>>} used number of agents that have a value, by field
 * @property {ReadonlyMap<string, number>} withoutHooks kind → number of agents that only files report
 *
 * @typedef {FacetCounts & MoreCounts} Facets
 */

/** Whether waits of this agent for permission cannot be seen. @param {Agent} agent */
export const lacksHooks = ({ hooks, status }) => hooks === false && status !== "offline";

/** Create the counts; they are updated per change and sorted only when read. */
export function createFacets() {
  const counts = new Map(FACET_NAMES.map((name) => [name, /** @type {Map<string, number>} */ (new Map())]));
  /** @type {Map<string, ReadonlyMap<string, number>>} */
  const sorted = new Map();
  /** @type {Record<string, number>} */
  const used = Object.fromEntries(USED_FIELDS.map((field) => [field, 0]));
  /** @type {Map<string, number>} */
  const withoutHooks = new Map();

  /** @param {Map<string, number>} values @param {string} value @param {number} by */
  const add = (values, value, by) => {
    const n = (values.get(value) ?? 0) + by;
    if (n > 0) values.set(value, n);
    else values.delete(value);
  };
  /** @param {FacetName} name */
  const read = (name) => {
    const cached = sorted.get(name);
    if (cached !== undefined) return cached;
    const facet = new Map(mostFrequent(counts.get(name) ?? new Map()));
    sorted.set(name, facet);
    return facet;
  };

  const view = /** @type {Facets} */ ({ used, withoutHooks });
  for (const name of FACET_NAMES) Object.defineProperty(view, name, { get: () => read(name), enumerable: true });
  return {
    view,
    /** Move an agent from its old values to its new ones. @param {Agent | undefined} before @param {Agent | undefined} after */
    move(before, after) {
      for (const name of FACET_NAMES) {
        const field = FACET_FIELDS[name];
        if (before !== undefined && after !== undefined && before[field] === after[field]) continue;
        const values = /** @type {Map<string, number>} */ (counts.get(name));
        if (before !== undefined) add(values, before[field], -1);
        if (after !== undefined) add(values, after[field], 1);
        sorted.delete(name);
      }
      for (const field of USED_FIELDS) used[field] += Number(Boolean(after?.[field])) - Number(Boolean(before?.[field]));
      if (before !== undefined && lacksHooks(before)) add(withoutHooks, before.kind, -1);
      if (after !== undefined && lacksHooks(after)) add(withoutHooks, after.kind, 1);
    },
  };
}

/**
 * Return the FACET_MAX most frequent items; cheaper than sorting thousands of sessions.
 *
 * @param {ReadonlyMap<string, number>} counted
 */
function mostFrequent(counted) {
  /** @type {[string, number][]} */
  const top = [];
  for (const item of counted) {
    if (top.length === FACET_MAX) {
      if (compareCounted(item, top[FACET_MAX - 1]) > 0) continue;
      top.pop();
    }
    let at = top.length;
    while (at > 0 && compareCounted(item, top[at - 1]) < 0) at -= 1;
    top.splice(at, 0, item);
  }
  return top;
}

/** @param {[string, number]} a @param {[string, number]} b */
function compareCounted(a, b) {
  return b[1] - a[1] || (a[0] < b[0] ? -1 : 1);
}
