// @ts-check
/**
 * Matches agents against a filter.
 */

import { selectsProject } from "./names.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./settings.js").Filter} Filter */
/** @typedef {import("./settings.js").FilterKey} FilterKey */

/** Agent field that a filter key is matched against. @type {Record<string, keyof Agent>} */
const FILTER_FIELDS = {
  status: "state", feature: "feature", session: "session", project: "project", branch: "branch", model: "model",
  kind: "kind", host: "host", agent: "id", parent: "parent",
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
  for (const [key, field] of Object.entries(FILTER_FIELDS)) {
    const values = filter[/** @type {FilterKey} */ (key)];
    if (values === undefined) continue;
    const accepted = new Set(values);
    if (key === "project") {
      tests.push((agent) => accepted.has(agent.project)
        || values.some((value) => selectsProject(value, agent.projectName, agent.folder)));
      continue;
    }
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
function searchText({ id, title, feature, tool, session, project, branch, model, kind, host, pr, reason }) {
  return [id, title, feature, tool, session, project, branch, model, kind, host, pr, reason].join("\n").toLowerCase();
}
