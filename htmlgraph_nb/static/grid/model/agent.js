// @ts-check
/**
 * Parses agents and connection states from messages.
 *
 * Invalid values are ignored; no function throws.
 */

import { nameAgent } from "./names.js";

/**
 * @typedef {"active" | "idle" | "offline" | "unknown"} Status
 *
 * @typedef {"waiting" | "cannot_work" | "done" | Status} State The status as shown: each agent has
 *   exactly one. "waiting": it waits for a person. "cannot_work": a limit or an error stops it.
 *   "done": its turn ended and nobody has looked at it since.
 *
 * @typedef {object} Agent One agent's presence, checked and complete.
 * @property {string} id
 * @property {string} name for people
 * @property {string} place where it works, as far as the name does not say so; "" if unknown
 * @property {Status} status
 * @property {State} state
 * @property {string} detail reason code of the status; "" if unknown
 * @property {string} reason one short sentence; "" if unknown
 * @property {boolean} attention the agent waits for a person
 * @property {string} feature
 * @property {string} tool
 * @property {string} session
 * @property {string} activity time of the last activity, RFC 3339
 * @property {string} since time when the status began, RFC 3339; "" if unknown
 * @property {string} detailSince since when status, detail and attention are as they are, RFC 3339
 * @property {string} detailUntil until when an agent that cannot work is blocked; "" if unknown
 * @property {number} tools calls of tools in the current session
 * @property {number} errors of the current session
 * @property {number} tokens of the current session
 * @property {number | null} cost USD of the current session; null when the price is unknown
 * @property {number} totalTokens of all sessions
 * @property {number | null} totalCost USD of all sessions; null when the price is unknown
 * @property {number} unpriced tokens of all sessions whose price is unknown
 * @property {number | null} contextTokens tokens in the context of the model; null if unknown
 * @property {number | null} contextWindow most tokens that fit into it; null if unknown
 * @property {number | null} context share of the window in use; null if unknown
 * @property {string} contextSource how the window is known
 * @property {string} compactedAt time of the last compaction, RFC 3339; "" if none
 * @property {string} title
 * @property {string} branch
 * @property {string} cwd
 * @property {string} worktree
 * @property {string} kind kind of agent, such as "claude"
 * @property {string} user
 * @property {string} pr
 * @property {boolean} unseen its turn ended and nobody has looked at it since
 * @property {boolean | null} hooks whether hooks report it; null for other sources
 * @property {string} model
 * @property {string} project what it is called; "acme/api" if another folder is called "api", too
 * @property {string} projectName its stored name
 * @property {string} folder its folder with "~" for the home folder; "" if unknown
 * @property {string} host
 * @property {string} parent
 * @property {number | null} seq sequence number of the change; null if unnumbered
 *
 * @typedef {"connecting" | "connected" | "reconnecting" | "closed" | "ended"} ConnectionState
 *
 * @typedef {object} Connection
 * @property {ConnectionState} state
 * @property {number | null} staleSince ms since 1970; time of the values shown
 * @property {string} detail a short sentence for people
 * @property {number | null} retryAt ms since 1970 of the next attempt to connect
 *
 * @typedef {object} PendingState A presence_state with parts still to arrive.
 * @property {number | null} seq
 * @property {boolean} full
 * @property {boolean} resumable whether a connection may resume from `seq` afterwards
 * @property {Set<number>} parts
 * @property {Set<string>} named
 * @property {number} newest highest seq of the changes received in between
 *
 * @typedef {object} Roster The client's copy of the agents, updated by messages.
 * @property {string | null} epoch id of the server's database
 * @property {number | null} seq last change included; null before the first complete state
 * @property {Map<string, Agent>} agents
 * @property {Map<string, number>} removed seq of the removal, by agent
 * @property {PendingState | null} pending
 * @property {ReturnType<typeof import("./names.js").createProjects>} projects
 *
 * @typedef {object} Counts
 * @property {number} total
 * @property {number} waiting
 * @property {number} cannot_work
 * @property {number} done
 * @property {number} active
 * @property {number} idle
 * @property {number} offline
 * @property {number} tokens of all sessions
 * @property {number | null} cost USD of the agents with known prices; null if there are none
 * @property {number} unpriced agents with tokens at an unknown price
 */

const STATUSES = ["active", "idle", "offline"];
/** Reason codes of agents that cannot work; the same as in core/status_rules.py. */
const CANNOT_WORK = new Set([
  "retrying", "rate_limited", "usage_limited", "signed_out", "account_on_hold", "overloaded",
]);
const CONNECTION_STATES = ["connecting", "connected", "reconnecting", "closed", "ended"];

/** @param {unknown} value @returns {value is Record<string, any>} */
export const isRecord = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {unknown} value */
export const readText = (value) => (typeof value === "string" ? value : "");

/** @param {unknown} value */
export const readCount = (value) => (
  typeof value === "number" && value > 0 ? Math.min(value, Number.MAX_SAFE_INTEGER) : 0
);

/** @param {unknown} value @returns {number | null} */
export const readSeq = (value) => (Number.isSafeInteger(value) ? /** @type {number} */ (value) : null);

/** @param {unknown} value milliseconds or RFC 3339 @returns {number | null} milliseconds */
export function readTime(value) {
  const time = typeof value === "string" ? Date.parse(value) : value;
  return typeof time === "number" && isFinite(time) ? time : null;
}

/** @param {unknown} value @returns {number | null} */
export const readNumber = (value) => (typeof value === "number" && isFinite(value) ? value : null);

/** @param {unknown} value @returns {number | null} a count; null if unknown */
const readSize = (value) => (typeof value === "number" && value >= 0 ? readCount(value) : null);

/** @param {Record<string, any>} presence @param {Status} status @returns {State} */
function stateOf(presence, status) {
  if (presence.attention === true) return "waiting";
  if (CANNOT_WORK.has(presence.detail) && status !== "offline") return "cannot_work";
  return status === "idle" && presence.unseen === true ? "done" : status;
}

/** Whether the turn of an agent ended with a question that nobody has looked at. @param {Pick<Agent, "state" | "detail">} agent */
export const isAsking = ({ state, detail }) => state === "done" && detail === "waiting_input";

/**
 * Return the agent of a presence object, or null if it has no id.
 *
 * @param {unknown} presence
 * @param {unknown} [seq] sequence number of the message, used if the presence has none
 * @returns {Agent | null}
 */
export function readPresence(presence, seq) {
  if (!isRecord(presence) || !readText(presence.agent_id)) return null;
  const status = STATUSES.includes(presence.status) ? presence.status : "unknown";
  const id = presence.agent_id;
  const title = readText(presence.title);
  const project = readText(presence.project);
  const branch = readText(presence.branch);
  const parent = readText(presence.parent_agent_id);
  const { name, place } = nameAgent({ id, title, project, branch, parent });
  const contextTokens = readSize(presence.context_tokens);
  const contextWindow = readSize(presence.context_window) || null;
  return {
    id, name, place, status, title, project, branch, parent, contextTokens, contextWindow,
    projectName: project,
    folder: "",
    state: stateOf(presence, status),
    detail: readText(presence.detail),
    reason: readText(presence.reason),
    attention: presence.attention === true,
    feature: readText(presence.current_feature_id),
    tool: readText(presence.last_tool_name),
    session: readText(presence.session_id),
    activity: readText(presence.last_activity),
    since: readText(presence.since),
    detailSince: readText(presence.detail_since),
    detailUntil: readText(presence.detail_until),
    tools: readCount(presence.total_tools_executed),
    errors: readCount(presence.total_errors),
    tokens: readCount(presence.session_tokens),
    cost: readNumber(presence.session_cost_usd),
    totalTokens: readCount(presence.total_cost_tokens),
    totalCost: readNumber(presence.cost_usd),
    unpriced: readCount(presence.unpriced_tokens),
    context: contextTokens === null || contextWindow === null ? null : Math.min(1, contextTokens / contextWindow),
    contextSource: readText(presence.context_source),
    compactedAt: readText(presence.compacted_at),
    cwd: readText(presence.cwd),
    worktree: readText(presence.worktree),
    kind: readText(presence.agent_kind),
    user: readText(presence.user),
    pr: readText(presence.pr),
    unseen: presence.unseen === true,
    hooks: typeof presence.hooks === "boolean" ? presence.hooks : null,
    model: readText(presence.model),
    host: readText(presence.host),
    seq: readSeq(presence.seq) ?? readSeq(seq),
  };
}

/**
 * Return the connection state sent by the kernel or the page.
 *
 * @param {unknown} value
 * @returns {Connection | null} null if invalid
 */
export function readConnection(value) {
  if (!isRecord(value) || !CONNECTION_STATES.includes(value.state)) return null;
  return {
    state: value.state,
    staleSince: readTime(value.staleSince ?? value.stale_since),
    detail: readText(value.detail),
    retryAt: readTime(value.retryAt ?? value.retry_at),
  };
}
