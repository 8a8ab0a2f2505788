// @ts-check
/**
 * Names of agents for people. Pure functions.
 */

/** Version 7 begins with the time, so that ids of one day differ only at the end. */
const UUID = /^(.*?)([0-9a-f]{8})-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{4}([0-9a-f]{8})$/i;
const SEPARATOR = " · ";
const KIND_LABELS = /** @type {Record<string, string>} */ ({
  claude: "Claude Code", codex: "Codex", gemini: "Gemini CLI", copilot: "Copilot CLI", opencode: "OpenCode",
  pi: "Pi", qwen: "Qwen Code", kiro: "Kiro", goose: "Goose",
});

/** Return an id with 8 characters of its UUID, if it has one. @param {string} id */
export function shortId(id) {
  const parts = UUID.exec(id);
  return parts === null ? id : `${parts[1]}${parts[3] === "7" ? parts[4] : parts[2]}`;
}

/** Return the name of a kind of agent. @param {string} kind */
export const kindLabel = (kind) => (Object.hasOwn(KIND_LABELS, kind) ? KIND_LABELS[kind] : kind);

/**
 * Return what an agent is called, and where it works if the name does not say so.
 *
 * A subagent works where its parent does, so its project does not name it.
 *
 * @param {{id: string, title: string, project: string, branch: string, parent: string}} agent
 * @returns {{name: string, place: string}}
 */
export function nameAgent({ id, title, project, branch, parent }) {
  const place = [project, branch].filter(Boolean).join(SEPARATOR);
  if (title !== "") return { name: title, place };
  return parent === "" && project !== "" ? { name: place, place: "" } : { name: shortId(id), place };
}
