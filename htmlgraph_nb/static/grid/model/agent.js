// @ts-check
/**
 * One agent and one connection, as they are read from what arrives.
 *
 * Nothing here throws on bad input: it is left out.
 */

/**
 * @typedef {"active" | "idle" | "offline" | "unknown"} Status
 *
 * @typedef {object} Agent One agent's presence, checked and complete.
 * @property {string} id
 * @property {Status} status
 * @property {string} detail what the status rests on; "" when not said
 * @property {string} reason one short sentence; "" when not said
 * @property {boolean} attention it waits for a person
 * @property {string} feature
 * @property {string} tool
 * @property {string} session
 * @property {string} activity time of the last activity, RFC 3339
 * @property {string} since time when the status began, RFC 3339; "" when not said
 * @property {number} tools
 * @property {number} tokens
 * @property {number} errors errors of the current session
 * @property {number | null} cost USD; null when the model's price is unknown
 * @property {string} model
 * @property {string} project
 * @property {string} host
 * @property {string} parent
 * @property {number | null} seq number of the change that this is; null when not numbered
 *
 * @typedef {"connecting" | "connected" | "reconnecting" | "closed" | "ended"} ConnectionState
 *
 * @typedef {object} Connection
 * @property {ConnectionState} state
 * @property {number | null} staleSince ms since 1970; the values shown are of that time
 * @property {string} detail a short sentence for people
 * @property {number | null} retryAt ms since 1970 of the next attempt to connect
 *
 * @typedef {object} PendingState A presence_state of which parts are still to come.
 * @property {number | null} seq
 * @property {boolean} full
 * @property {boolean} resumable whether the copy may be resumed from `seq` afterwards
 * @property {Set<number>} parts
 * @property {Set<string>} named
 * @property {number} newest highest seq of the changes that came in between
 *
 * @typedef {object} Roster The copy of the agents that messages are folded into.
 * @property {string | null} epoch id of the server's database
 * @property {number | null} seq last change that is in the copy; null before a complete state
 * @property {Map<string, Agent>} agents
 * @property {Map<string, number>} removed seq of the removal of agents that are gone
 * @property {PendingState | null} pending
 *
 * @typedef {object} Counts
 * @property {number} total
 * @property {number} active
 * @property {number} idle
 * @property {number} offline
 * @property {number} waiting
 * @property {number} tokens
 * @property {number | null} cost USD of the agents whose price is known; null when none is
 * @property {number} unpriced agents that have spent tokens at an unknown price
 */

const STATUSES = ["active", "idle", "offline"];
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

/**
 * Return the agent of a presence object, or null where it names none.
 *
 * @param {unknown} presence
 * @param {unknown} [seq] the message's number, for a presence that carries none
 * @returns {Agent | null}
 */
export function readPresence(presence, seq) {
  if (!isRecord(presence) || !readText(presence.agent_id)) return null;
  const cost = presence.cost_usd;
  return {
    id: presence.agent_id,
    status: STATUSES.includes(presence.status) ? presence.status : "unknown",
    detail: readText(presence.detail),
    reason: readText(presence.reason),
    attention: presence.attention === true,
    feature: readText(presence.current_feature_id),
    tool: readText(presence.last_tool_name),
    session: readText(presence.session_id),
    activity: readText(presence.last_activity),
    since: readText(presence.since),
    tools: readCount(presence.total_tools_executed),
    tokens: readCount(presence.total_cost_tokens),
    errors: readCount(presence.total_errors),
    cost: typeof cost === "number" && isFinite(cost) ? cost : null,
    model: readText(presence.model),
    project: readText(presence.project),
    host: readText(presence.host),
    parent: readText(presence.parent_agent_id),
    seq: readSeq(presence.seq) ?? readSeq(seq),
  };
}

/**
 * Return the connection as the kernel or the page states it.
 *
 * @param {unknown} value
 * @returns {Connection | null} null where it is none
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
