// @ts-check
/**
 * Applies messages to the copy of the agents. The Python counterpart is core/mirror.py.
 *
 * The functions change `roster` in place and use neither clock nor socket.
 */

import { isRecord, readPresence, readSeq, readText } from "./agent.js";
import { createProjects, nameAgent } from "./names.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Roster} Roster */
/** @typedef {import("./agent.js").PendingState} PendingState */

/** Removals kept, so that a late change does not restore a removed agent. */
const REMOVED_MAX = 10_000;

/** The properties of an agent but its sequence number. */
const COMPARED = /** @type {(keyof Agent)[]} */ (
  Object.keys(/** @type {Agent} */ (readPresence({ agent_id: "any" }))).filter((name) => name !== "seq"));

/** @returns {Roster} */
export function createMirror() {
  return { epoch: null, seq: null, agents: new Map(), removed: new Map(), pending: null, projects: createProjects() };
}

/**
 * Apply one message of the server.
 *
 * Unknown and invalid messages change nothing.
 *
 * @param {Roster} roster
 * @param {unknown} message
 * @returns {Set<string>} ids of the agents added, changed or removed
 */
export function applyMessage(roster, message) {
  /** @type {Set<string>} */
  const changed = new Set();
  if (!isRecord(message)) return changed;
  if (message.type === "presence_state") foldState(roster, message, changed);
  else if (message.type === "presence_update") foldUpdate(roster, message, changed);
  else if (message.type === "presence_removed") foldRemoval(roster, message, changed);
  return changed;
}

/**
 * Replace the whole copy by a snapshot of the kernel.
 *
 * @param {Roster} roster
 * @param {Record<string, any>} state with `agents`, and `epoch` and `seq` if known
 * @returns {Set<string>} ids of the agents added, changed or removed
 */
export function applySnapshot(roster, state) {
  /** @type {Set<string>} */
  const changed = new Set();
  const named = new Set();
  for (const item of Array.isArray(state.agents) ? state.agents : []) {
    const agent = readPresence(item, state.seq);
    if (agent === null) continue;
    named.add(agent.id);
    put(roster, agent, changed);
  }
  for (const id of roster.agents.keys()) if (!named.has(id)) drop(roster, id, changed);
  roster.removed.clear();
  roster.pending = null;
  roster.epoch = readText(state.epoch) || null;
  roster.seq = readSeq(state.seq);
  return changed;
}

/** @param {Roster} roster @param {Record<string, any>} message @param {Set<string>} changed */
function foldUpdate(roster, message, changed) {
  if (!isRecord(message.presence)) return;
  const id = readText(message.agent_id) || message.presence.agent_id;
  const agent = readPresence({ ...message.presence, agent_id: id }, message.seq);
  if (agent === null) return;
  const seq = readSeq(message.seq) ?? agent.seq;
  if (!isNewer(roster, id, seq)) return;
  agent.seq = seq;
  put(roster, agent, changed);
  advance(roster, seq);
}

/** @param {Roster} roster @param {Record<string, any>} message @param {Set<string>} changed */
function foldRemoval(roster, message, changed) {
  const id = readText(message.agent_id);
  const seq = readSeq(message.seq);
  if (!id || !isNewer(roster, id, seq)) return;
  drop(roster, id, changed);
  rememberRemoval(roster, id, seq);
  advance(roster, seq);
}

/** @param {Roster} roster @param {Record<string, any>} message @param {Set<string>} changed */
function foldState(roster, message, changed) {
  const seq = readSeq(message.seq);
  const pending = openState(roster, message, seq, changed);
  for (const item of Array.isArray(message.agents) ? message.agents : []) {
    const agent = readPresence(item, seq);
    if (agent === null) continue;
    pending.named.add(agent.id);
    if (isNewer(roster, agent.id, agent.seq) || (pending.full && isNewer(roster, agent.id, seq))) {
      put(roster, agent, changed);
    }
  }
  for (const id of Array.isArray(message.removed) ? message.removed : []) {
    if (typeof id !== "string" || !isNewer(roster, id, seq)) continue;
    drop(roster, id, changed);
    rememberRemoval(roster, id, seq);
  }
  pending.parts.add(readSeq(message.part) ?? 1);
  if (pending.parts.size >= (readSeq(message.parts) ?? 1)) closeState(roster, pending, changed);
}

/**
 * Return the pending state of this part; start a new one for a first part.
 *
 * @param {Roster} roster @param {Record<string, any>} message
 * @param {number | null} seq @param {Set<string>} changed
 */
function openState(roster, message, seq, changed) {
  const full = message.full === true;
  const epoch = readText(message.epoch) || roster.epoch;
  const other = roster.epoch !== null && epoch !== roster.epoch;
  // A full state older than the copy: the database was restored, so discard the copy.
  const setBack = full && seq !== null && roster.seq !== null && seq < roster.seq;
  if (other || setBack) forget(roster, changed);
  roster.epoch = epoch;
  const open = roster.pending;
  const first = (readSeq(message.part) ?? 1) === 1;
  if (open !== null && !first && open.seq === seq && open.full === full) return open;
  const resumable = full || roster.seq !== null;
  roster.pending = {
    seq, full, resumable, parts: new Set(), named: new Set(), newest: open?.newest ?? 0,
  };
  return roster.pending;
}

/** @param {Roster} roster @param {PendingState} state @param {Set<string>} changed */
function closeState(roster, state, changed) {
  if (state.full) {
    for (const [id, agent] of roster.agents) {
      const later = agent.seq !== null && state.seq !== null && agent.seq > state.seq;
      if (!state.named.has(id) && !later) drop(roster, id, changed);
    }
  }
  roster.pending = null;
  if (state.resumable && state.seq !== null) {
    roster.seq = Math.max(roster.seq ?? 0, state.seq, state.newest);
  }
}

/** @param {Roster} roster @param {string} id @param {number | null} seq */
function isNewer(roster, id, seq) {
  if (seq === null) return true;
  const last = roster.agents.get(id)?.seq ?? roster.removed.get(id);
  return last === undefined || seq > last;
}

/**
 * The cursor does not move while parts of a state are missing: a reconnect must request the whole
 * state again.
 *
 * @param {Roster} roster @param {number | null} seq
 */
function advance(roster, seq) {
  if (seq === null) return;
  if (roster.pending !== null) roster.pending.newest = Math.max(roster.pending.newest, seq);
  else if (roster.seq !== null && seq > roster.seq) roster.seq = seq;
}

/** @param {Roster} roster @param {Agent} agent @param {Set<string>} changed */
function put(roster, agent, changed) {
  const before = roster.agents.get(agent.id);
  const renamed = roster.projects.place(agent.id, agent.projectName, agent.cwd);
  label(roster, agent);
  roster.agents.set(agent.id, agent);
  roster.removed.delete(agent.id);
  if (before === undefined || differs(before, agent)) changed.add(agent.id);
  if (renamed.length > 0) relabel(roster, renamed, changed);
}

/** Set what the project of an agent is called. @param {Roster} roster @param {Agent} agent */
function label(roster, agent) {
  agent.folder = roster.projects.folder(agent.id);
  const project = roster.projects.label(agent.id);
  if (project !== agent.project) Object.assign(agent, { project, ...nameAgent({ ...agent, project }) });
}

/** @param {Roster} roster @param {string[]} names of projects @param {Set<string>} changed */
function relabel(roster, names, changed) {
  for (const id of names.flatMap((name) => roster.projects.agents(name))) {
    const agent = roster.agents.get(id);
    if (agent === undefined || agent.project === roster.projects.label(id)) continue;
    const next = { ...agent };
    label(roster, next);
    roster.agents.set(id, next);
    changed.add(id);
  }
}

/** Whether anything but the sequence number differs. @param {Agent} a @param {Agent} b */
function differs(a, b) {
  // What nearly every event changes is compared first.
  return a.activity !== b.activity || a.tools !== b.tools
    || COMPARED.some((name) => a[name] !== b[name]);
}

/** @param {Roster} roster @param {string} id @param {Set<string>} changed */
function drop(roster, id, changed) {
  if (!roster.agents.delete(id)) return;
  changed.add(id);
  relabel(roster, roster.projects.place(id), changed);
}

/** @param {Roster} roster @param {string} id @param {number | null} seq */
function rememberRemoval(roster, id, seq) {
  if (seq === null) return;
  roster.removed.set(id, seq);
  if (roster.removed.size > REMOVED_MAX) {
    const oldest = roster.removed.keys().next().value;
    if (oldest !== undefined) roster.removed.delete(oldest);
  }
}

/** @param {Roster} roster @param {Set<string>} changed */
function forget(roster, changed) {
  for (const id of roster.agents.keys()) changed.add(id);
  roster.agents.clear();
  roster.projects = createProjects();
  roster.removed.clear();
  roster.pending = null;
  roster.seq = null;
}
