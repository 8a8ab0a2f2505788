// @ts-check
/**
 * Number of agents per value of each filterable field.
 */

/** @typedef {import("./agent.js").Agent} Agent */

const FACET_FIELDS = /** @type {const} */ (["status", "feature", "session", "project", "model"]);
const FACET_MAX = 100;

/**
 * @typedef {object} Facets Value → number of agents, most frequent first, at most 100 per field; ""
 *   means no value. The status "waiting" counts agents that wait for a person.
 * @property {ReadonlyMap<string, number>} status
 * @property {ReadonlyMap<string, number>} feature
 * @property {ReadonlyMap<string, number>} session
 * @property {ReadonlyMap<string, number>} project
 * @property {ReadonlyMap<string, number>} model
 */

/** Create the counts; they are updated per change and sorted only when read. */
export function createFacets() {
  const counts = new Map(FACET_FIELDS.map((field) => [field, /** @type {Map<string, number>} */ (new Map())]));
  /** @type {Map<string, ReadonlyMap<string, number>>} */
  const sorted = new Map();

  /** @param {string} field @param {string} value @param {number} by */
  const add = (field, value, by) => {
    const values = /** @type {Map<string, number>} */ (counts.get(/** @type {any} */ (field)));
    const n = (values.get(value) ?? 0) + by;
    if (n > 0) values.set(value, n);
    else values.delete(value);
    sorted.delete(field);
  };
  /** @param {string} field */
  const read = (field) => {
    const cached = sorted.get(field);
    if (cached !== undefined) return cached;
    const facet = new Map(mostFrequent(counts.get(/** @type {any} */ (field)) ?? new Map()));
    sorted.set(field, facet);
    return facet;
  };

  /** @type {Facets} */
  const view = {
    get status() { return read("status"); },
    get feature() { return read("feature"); },
    get session() { return read("session"); },
    get project() { return read("project"); },
    get model() { return read("model"); },
  };
  return {
    view,
    /** Move an agent from its old values to its new ones. @param {Agent | undefined} before @param {Agent | undefined} after */
    move(before, after) {
      if (before !== undefined && after !== undefined && before.status === after.status
        && before.attention === after.attention && before.feature === after.feature
        && before.session === after.session && before.project === after.project
        && before.model === after.model) return;
      for (const field of FACET_FIELDS) {
        if (before !== undefined && after !== undefined && before[field] === after[field]) continue;
        if (before !== undefined) add(field, before[field], -1);
        if (after !== undefined) add(field, after[field], 1);
      }
      const waited = before?.attention === true;
      const waits = after?.attention === true;
      if (waited !== waits) add("status", "waiting", waits ? 1 : -1);
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
