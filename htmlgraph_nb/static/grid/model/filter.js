// @ts-check
/**
 * Matches agents against a filter.
 */

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./settings.js").Filter} Filter */
/** @typedef {import("./settings.js").FilterKey} FilterKey */

/** Agent field that a filter key is matched against. @type {Record<string, keyof Agent>} */
const FILTER_FIELDS = {
  feature: "feature", session: "session", project: "project", model: "model", host: "host",
  agent: "id", parent: "parent",
};

/**
 * Return a predicate for the filter, or null if it matches every agent.
 *
 * @param {Filter} filter
 * @returns {((agent: Agent) => boolean) | null}
 */
export function compileFilter(filter) {
  /** @type {((agent: Agent) => boolean)[]} */
  const tests = [];
  if (filter.status !== undefined) {
    const accepted = new Set(filter.status);
    tests.push((agent) => accepted.has(agent.status) || (agent.attention && accepted.has("waiting")));
  }
  for (const [key, field] of Object.entries(FILTER_FIELDS)) {
    const values = filter[/** @type {FilterKey} */ (key)];
    if (values === undefined) continue;
    const accepted = new Set(values);
    tests.push((agent) => accepted.has(/** @type {string} */ (agent[field])));
  }
  const words = (filter.text ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length > 0) {
    tests.push((agent) => {
      const text = searchText(agent);
      return words.every((word) => text.includes(word));
    });
  }
  return tests.length === 0 ? null : (agent) => tests.every((test) => test(agent));
}

/** @param {Agent} agent */
function searchText({ id, feature, tool, session, project, model, reason }) {
  return [id, feature, tool, session, project, model, reason].join("\n").toLowerCase();
}
