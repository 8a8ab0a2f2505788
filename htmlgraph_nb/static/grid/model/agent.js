// @ts-check
/**
 * Parses agents and connection states from messages.
 *
 * Invalid values are ignored; no function throws.
 */

/**
 * @typedef {"active" | "idle" | "offline" | "unknown"} Status
 *
 * @typedef {object} Agent One agent's presence, checked and complete.
 * @property {string} id
 * @property {Status} status
 * @property {string} detail reason code of the status; "" if unknown
 * @property {string} reason one short sentence; "" if unknown
 * @property {boolean} attention the agent waits for a person
 * @property {string} feature
 * @property {string} tool
 * @property {string} session
 * @property {string} activity time of the last activity, RFC 3339
 * @property {string} since time when the status began, RFC 3339; "" if unknown
 * @property {number} tools
 * @property {number} tokens
 * @property {number} errors errors of the current session
 * @property {number | null} cost USD; null when the model's price is unknown
 * @property {string} model
 * @property {string} project
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
 *
 * @typedef {object} Counts
 * @property {number} total
 * @property {number} active
 * @property {number} idle
 * @property {number} offline
 * @property {number} waiting
 * @property {number} tokens
 * @property {number | null} cost USD of the agents with known prices; null if there are none
 * @property {number} unpriced agents with tokens at an unknown price
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
 * Return the agent of a presence object, or null if it has no id.
 *
 * @param {unknown} presence
 * @param {unknown} [seq] sequence number of the message, used if the presence has none
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
