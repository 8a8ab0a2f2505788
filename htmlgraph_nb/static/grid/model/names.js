// @ts-check
/**
 * Names of agents and projects for people.
 */

/** Version 7 begins with the time, so that ids of one day differ only at the end. */
const UUID = /^(.*?)([0-9a-f]{8})-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{4}([0-9a-f]{8})$/i;
const SEPARATOR = " · ";
const KIND_LABELS = /** @type {Record<string, string>} */ ({
  claude: "Claude Code", codex: "Codex", gemini: "Gemini CLI", copilot: "Copilot CLI", opencode: "OpenCode",
  pi: "Pi", qwen: "Qwen Code", vibe: "Mistral Vibe", kiro: "Kiro CLI", goose: "Goose", kilo: "Kilo Code", "jupyter-ai": "Jupyter AI",
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

const HOME = /^(?:\/mnt\/[a-z]|[A-Za-z]:|\/\/wsl(?:\$|\.localhost)\/[^/]+)?\/(?:var\/)?(?:home|[Uu]sers)\/[^/]+(?=\/|$)|^\/root(?=\/|$)/;
const DRIVE = /^[A-Za-z]:/;
/** Agents and containers put any repository there, so these folders do not tell projects apart. */
const SHARED = /^~\/\.(?:codex|cursor)\/worktrees\/|^~\/conductor\/workspaces\/|^\/workspaces?\//;

/**
 * Return the folder of a project with slashes and `~` for the home folder, as core/ids.py does.
 *
 * @param {string} project @param {string} cwd the working folder, in the project's folder
 * @returns {string} "" if the working folder does not tell it
 */
export function projectFolder(project, cwd) {
  const windows = cwd.includes("\\") && (!cwd.startsWith("/") || cwd.startsWith("//"));
  const slashed = (windows ? cwd.replaceAll("\\", "/") : cwd).replace(/\/+$/, "");
  const path = slashed.replace(HOME, "~");
  if (SHARED.test(path)) return "";
  const parts = path.replace(DRIVE, (drive) => drive.toUpperCase()).split("/");
  const at = parts.indexOf(project, 1);
  return at < 0 || project === "" ? "" : parts.slice(0, at + 1).join("/");
}

/** Whether a name selects a project: its own, or with folders above. @param {string} wanted @param {string} project @param {string} folder */
export const selectsProject = (wanted, project, folder) =>
  wanted === project || wanted === folder || (wanted.includes("/") && folder.endsWith(`/${wanted}`));

/** The last two and more parts of a folder, the shortest first. @param {string} folder */
function endsOf(folder) {
  const parts = folder.split("/");
  return parts.slice(1).map((_, i) => parts.slice(parts.length - i - 2).join("/"));
}

/**
 * The projects of agents. Two folders of one name are two projects, of which the folder above tells
 * which is which; a project whose name is unique has only that.
 */
export function createProjects() {
  /** Name → folder → ids of its agents. @type {Map<string, Map<string, Set<string>>>} */
  const known = new Map();
  /** Agent → its project. @type {Map<string, {name: string, cwd: string, folder: string}>} */
  const placeOf = new Map();

  /** @param {string} id @param {{name: string, folder: string}} place @returns {boolean} whether it was the first of its folder */
  const add = (id, { name, folder }) => {
    let folders = known.get(name);
    if (folders === undefined) known.set(name, folders = new Map());
    const ids = folders.get(folder);
    if (ids !== undefined) ids.add(id);
    else folders.set(folder, new Set([id]));
    return ids === undefined;
  };
  /** @param {string} id @param {{name: string, folder: string}} place @returns {boolean} whether it was the last of its folder */
  const remove = (id, { name, folder }) => {
    const folders = known.get(name);
    const ids = folders?.get(folder);
    if (folders === undefined || ids === undefined) return false;
    ids.delete(id);
    if (ids.size > 0) return false;
    folders.delete(folder);
    if (folders.size === 0) known.delete(name);
    return true;
  };

  return {
    /**
     * Take the project of an agent, or its removal.
     *
     * @param {string} id @param {string} [name] omitted: the agent was removed
     * @param {string} [cwd]
     * @returns {string[]} names of projects that may be called otherwise now
     */
    place(id, name = "", cwd = "") {
      const before = placeOf.get(id);
      if (before?.name === name && before.cwd === cwd) return [];
      if (name === "") {
        placeOf.delete(id);
        return before !== undefined && remove(id, before) ? [before.name] : [];
      }
      // An agent that left the folder of its project still works on it.
      const folder = projectFolder(name, cwd) || (before?.name === name ? before.folder : "");
      const place = { name, cwd, folder };
      placeOf.set(id, place);
      if (before?.name === name && before.folder === folder) return [];
      const gone = before !== undefined && remove(id, before) ? [before.name] : [];
      return add(id, place) ? [...gone, name] : gone;
    },
    /** The folder of an agent's project; "" if unknown. @param {string} id */
    folder: (id) => placeOf.get(id)?.folder ?? "",
    /** What the project of an agent is called. @param {string} id */
    label(id) {
      const place = placeOf.get(id);
      if (place === undefined || place.folder === "") return place?.name ?? "";
      const folders = [...known.get(place.name)?.keys() ?? []].filter(Boolean);
      if (folders.length < 2) return place.name;
      const others = folders.filter((folder) => folder !== place.folder);
      return endsOf(place.folder).find(
        (end) => !others.some((other) => other === end || other.endsWith(`/${end}`))) ?? place.folder;
    },
    /** The agents of the projects of a name. @param {string} name */
    agents: (name) => [...known.get(name)?.values() ?? []].flatMap((ids) => [...ids]),
  };
}
