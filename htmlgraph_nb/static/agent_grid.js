// @ts-check
/**
 * The live agent grid: one module, used by the notebook widget and by the page at `/`.
 *
 * It owns the client's copy of the agents (a store that folds the server's messages) and the view
 * of it. It opens no socket: the widget feeds it from the kernel, the page from a WebSocket.
 * It imports nothing, so that it also loads from a blob: URL.
 *
 * Text of agents reaches the document only as text nodes and attribute values.
 *
 * What tests may hold on to: `[data-connection]` and `[data-stale]` on `.htmlgraph-grid`,
 * `[data-stat="total|active|idle|offline|waiting|tokens|cost"]`, on each card `[data-agent-id]`,
 * `[data-status]` and `[data-attention]`, in it `[data-field="id|status|reason|feature|tool|
 * session|activity|tools|tokens|cost|model|project"]`; numbers also carry their exact `data-value`.
 * `.hg-empty` is shown while there is no agent.
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

/** @typedef {ReturnType<typeof createStore>} Store */

const STATUSES = ["active", "idle", "offline"];
const CONNECTION_STATES = ["connecting", "connected", "reconnecting", "closed", "ended"];
/** Removals remembered, so that a late change does not bring an agent back. */
const REMOVED_MAX = 10_000;

// ---------------------------------------------------------------------------------------------
// Reading what arrives. Nothing here throws on bad input: it is left out.

/** @param {unknown} value @returns {value is Record<string, any>} */
const isRecord = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {unknown} value */
const readText = (value) => (typeof value === "string" ? value : "");

/** @param {unknown} value */
const readCount = (value) => (typeof value === "number" && value > 0 && isFinite(value) ? value : 0);

/** @param {unknown} value @returns {number | null} */
const readSeq = (value) => (Number.isSafeInteger(value) ? /** @type {number} */ (value) : null);

/** @param {unknown} value milliseconds or RFC 3339 @returns {number | null} milliseconds */
function readTime(value) {
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

// ---------------------------------------------------------------------------------------------
// Folding messages. These change `roster` in place and know neither clock nor socket.

/** @returns {Roster} */
export function createRoster() {
  return { epoch: null, seq: null, agents: new Map(), removed: new Map(), pending: null };
}

/**
 * Take one message of the server into the roster.
 *
 * Messages of other types, and such as cannot be read, change nothing.
 *
 * @param {Roster} roster
 * @param {unknown} message
 * @returns {Set<string>} ids of the agents that changed, came or went
 */
export function foldMessage(roster, message) {
  /** @type {Set<string>} */
  const changed = new Set();
  if (!isRecord(message)) return changed;
  if (message.type === "presence_state") foldState(roster, message, changed);
  else if (message.type === "presence_update") foldUpdate(roster, message, changed);
  else if (message.type === "presence_removed") foldRemoval(roster, message, changed);
  return changed;
}

/**
 * Replace everything in the roster by a keyframe of the kernel.
 *
 * @param {Roster} roster
 * @param {Record<string, any>} state with `agents`, and `epoch` and `seq` where known
 * @returns {Set<string>} ids of the agents that changed, came or went
 */
export function foldKeyframe(roster, state) {
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
 * Return the state that this part belongs to; begin a new one where it is the first of it.
 *
 * @param {Roster} roster @param {Record<string, any>} message
 * @param {number | null} seq @param {Set<string>} changed
 */
function openState(roster, message, seq, changed) {
  const full = message.full === true;
  const epoch = readText(message.epoch) || roster.epoch;
  const other = roster.epoch !== null && epoch !== roster.epoch;
  // A full state that lies behind the copy: the database was set back, the copy is of no future.
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
  const known = roster.agents.get(id)?.seq ?? roster.removed.get(id);
  return known === undefined || seq > known;
}

/**
 * The cursor moves only over what is whole: while parts of a state are missing, a reconnect must
 * ask for all of it again.
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
  roster.agents.set(agent.id, agent);
  roster.removed.delete(agent.id);
  if (before === undefined || differs(before, agent)) changed.add(agent.id);
}

/** @param {Agent} a @param {Agent} b */
function differs(a, b) {
  for (const key of /** @type {(keyof Agent)[]} */ (Object.keys(a))) {
    if (key !== "seq" && a[key] !== b[key]) return true;
  }
  return false;
}

/** @param {Roster} roster @param {string} id @param {Set<string>} changed */
function drop(roster, id, changed) {
  if (roster.agents.delete(id)) changed.add(id);
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
  roster.removed.clear();
  roster.pending = null;
  roster.seq = null;
}

// ---------------------------------------------------------------------------------------------
// The store: the roster, the connection and who wants to know.

/**
 * Create a store.
 *
 * @param {{now?: () => number}} [options] `now`: the clock, ms since 1970
 */
export function createStore({ now = Date.now } = {}) {
  const roster = createRoster();
  /** @type {Set<(changed: Set<string>) => void>} */
  const listeners = new Set();
  /** @type {Connection} */
  let connection = { state: "connecting", staleSince: null, detail: "", retryAt: null };
  let lastNewsAt = now();
  let live = false;
  let incomplete = false;
  let clockOffset = 0;
  /** @type {number | null} */
  let asOf = null;
  /** @type {number | null} */
  let batch = null;

  /** @param {Set<string>} changed */
  const tell = (changed) => {
    for (const listener of [...listeners]) listener(changed);
  };
  /** @param {unknown} at time on the sender's clock */
  const compareClocks = (at) => {
    const time = readTime(at);
    // Below two seconds the difference is the way's length rather than the clocks'.
    if (time !== null) clockOffset = Math.abs(time - now()) > 2_000 ? time - now() : 0;
  };
  const hear = () => {
    lastNewsAt = now();
    live = true;
  };
  /** @param {unknown} value */
  const connect = (value) => {
    const next = readConnection(value);
    if (next === null) return false;
    const before = connection;
    connection = next;
    return before.state !== next.state || before.detail !== next.detail
      || before.staleSince !== next.staleSince || before.retryAt !== next.retryAt;
  };
  /** @param {Record<string, any>} state */
  const replace = (state) => {
    const changed = foldKeyframe(roster, state);
    connect(state.connection);
    incomplete = false;
    asOf = readTime(state.at);
    tell(changed);
  };

  return {
    /** The agents by id; not to be changed. @returns {ReadonlyMap<string, Agent>} */
    get agents() { return roster.agents; },
    get connection() { return connection; },
    /** Where to resume: EPOCH:SEQ; null before the first complete state. */
    get cursor() {
      return roster.epoch === null || roster.seq === null ? null : `${roster.epoch}:${roster.seq}`;
    },
    /** When anything last arrived, ms since 1970. */
    get lastNewsAt() { return lastNewsAt; },
    /** Whether anything arrived since the store was made, other than a saved state. */
    get live() { return live; },
    /** The time of a saved state or keyframe, ms since 1970; null when not known. */
    get asOf() { return asOf; },
    /** A batch of the kernel is missing; true until the next keyframe. */
    get incomplete() { return incomplete; },
    /** The sender's clock minus ours, ms; 0 when they agree. */
    get clockOffset() { return clockOffset; },

    /** Take one message of the server. @param {unknown} message */
    receive(message) {
      hear();
      if (isRecord(message) && message.type === "presence_state") compareClocks(message.timestamp);
      const changed = foldMessage(roster, message);
      if (changed.size > 0) tell(changed);
    },

    /** Take one message of the kernel: a batch or a keyframe. @param {unknown} message */
    receiveKernel(message) {
      if (!isRecord(message)) return;
      const n = readSeq(message.n);
      if (message.kind === "keyframe" && isRecord(message.state)) {
        hear();
        batch = n;
        compareClocks(message.state.at);
        replace(message.state);
        return;
      }
      if (message.kind !== "batch") return;
      hear();
      if (batch !== null && n !== null && n > batch + 1) incomplete = true;
      batch = n ?? batch;
      /** @type {Set<string>} */
      const changed = new Set();
      for (const item of Array.isArray(message.messages) ? message.messages : []) {
        for (const id of foldMessage(roster, item)) changed.add(id);
      }
      if (connect(message.connection) || changed.size > 0) tell(changed);
    },

    /** Show a state that was saved earlier; it does not count as news. @param {unknown} state */
    restore(state) {
      if (isRecord(state) && Array.isArray(state.agents)) replace(state);
    },

    /** @param {Partial<Connection>} next `state` is needed */
    setConnection(next) {
      if (connect(next)) tell(new Set());
    },

    /** Make the next connection ask for everything. */
    forgetCursor() {
      roster.seq = null;
    },

    /**
     * Call `listener` with the ids of changed agents after each change of agents or connection.
     *
     * @param {(changed: Set<string>) => void} listener
     * @returns {() => void} stops it
     */
    subscribe(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },
  };
}

// ---------------------------------------------------------------------------------------------
// Order, totals, words.

const collator = new Intl.Collator("en", { numeric: true });
const RANKS = { active: 1, idle: 2, offline: 3, unknown: 4 };

/** @param {Agent} agent */
const rankOf = (agent) => (agent.attention ? 0 : RANKS[agent.status]);

/** Compare ids as people count: agent-2 before agent-10. @param {string} a @param {string} b */
export function compareIds(a, b) {
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/**
 * Compare agents for the grid: who waits for a person, then active, idle, offline, then by id.
 *
 * @param {Agent} a @param {Agent} b
 */
export function compareAgents(a, b) {
  return rankOf(a) - rankOf(b) || compareIds(a.id, b.id);
}

/** @param {Iterable<Agent>} agents @returns {Counts} */
export function countAgents(agents) {
  /** @type {Counts} */
  const counts = {
    total: 0, active: 0, idle: 0, offline: 0, waiting: 0, tokens: 0, cost: null, unpriced: 0,
  };
  for (const agent of agents) {
    counts.total += 1;
    if (agent.status !== "unknown") counts[agent.status] += 1;
    if (agent.attention) counts.waiting += 1;
    counts.tokens += agent.tokens;
    if (agent.cost !== null) counts.cost = (counts.cost ?? 0) + agent.cost;
    else if (agent.tokens > 0) counts.unpriced += 1;
  }
  return counts;
}

/** Return a number with thousands separators. @param {number} n */
export const formatCount = (n) => n.toLocaleString("en-US", { maximumFractionDigits: 0 });

/** Return a large number in three digits and a unit: 950, 1.5k, 152k, 1.52M. @param {number} n */
export function formatTokens(n) {
  if (n < 1_000) return String(Math.round(n));
  for (const [unit, size] of /** @type {[string, number][]} */ ([["k", 1e3], ["M", 1e6], ["B", 1e9]])) {
    const digits = Number((n / size).toPrecision(3));
    if (digits < 1_000) return `${digits}${unit}`;
  }
  return `${Math.round(n / 1e12)}T`;
}

/** Return US dollars; "" where the amount is not known. @param {number | null} usd */
export function formatUsd(usd) {
  if (usd === null) return "";
  if (usd > 0 && usd < 0.005) return "<$0.01";
  if (usd >= 100_000) return `$${formatTokens(usd)}`;
  const cents = usd < 10_000 ? 2 : 0;
  return `$${usd.toLocaleString("en-US", { minimumFractionDigits: cents, maximumFractionDigits: cents })}`;
}

/** Return a span of time in its largest unit: 12s, 3m, 5h, 9d. @param {number} ms */
export function formatDuration(ms) {
  const s = Math.max(0, Math.floor(ms / 1_000));
  if (s < 60) return `${s}s`;
  if (s < 3_600) return `${Math.floor(s / 60)}m`;
  if (s < 48 * 3_600) return `${Math.floor(s / 3_600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}

/**
 * Return how long ago a time is.
 *
 * @param {number | null} at ms since 1970; null when not known
 * @param {number} now ms since 1970
 */
export function formatAge(at, now) {
  if (at === null || Number.isNaN(at)) return "—";
  return now - at < 2_000 ? "just now" : `${formatDuration(now - at)} ago`;
}

const WAITS = "waits for an answer";
const DETAILS = new Map([
  ["working", "works"],
  ["tool", "runs a tool"],
  ["waiting_permission", "waits for permission"],
  ["waiting_input", WAITS],
  ["background", "works in the background"],
  ["error", "ended with an error"],
  ["done", "done"],
]);
const STATUS_TEXT = { active: "Active", idle: "Idle", offline: "Offline", unknown: "Unknown" };
const CONNECTION_TEXT = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  closed: "Disconnected",
  ended: "Ended",
};

/** Return the line under an agent's name. @param {Agent} agent */
export function describeAgent(agent) {
  return agent.reason || DETAILS.get(agent.detail) || (agent.attention ? WAITS : "");
}

/**
 * Return the text with control and direction characters made visible, cut at `max` characters.
 *
 * @param {string} text @param {number} [max]
 */
export function visibleText(text, max = 400) {
  const cut = text.length > max ? `${text.slice(0, max)}…` : text;
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** Return several lines as visibleText does one. @param {string} text */
const visibleLines = (text) => text.split("\n").map((line) => visibleText(line)).join("\n");

/**
 * Return what to say about the connection.
 *
 * @param {Pick<Store, "connection" | "lastNewsAt" | "live" | "asOf">} store
 * @param {number} now ms since 1970
 * @param {number} [newsTimeoutMs] silence after which the source is doubted; 0 for never
 * @returns {{state: string, text: string, detail: string, stale: boolean}}
 */
export function describeConnection(store, now, newsTimeoutMs = 0) {
  const { state, staleSince, detail, retryAt } = store.connection;
  const over = state === "closed" || state === "ended";
  const silence = now - store.lastNewsAt;
  /** @param {number | null} at */
  const valuesOf = (at) => (at === null ? "" : `last news ${formatAge(at, now)}`);
  /** @param {string[]} parts */
  const join = (...parts) => parts.filter(Boolean).join(" · ");
  if (newsTimeoutMs > 0 && !over) {
    const shown = valuesOf(store.live ? null : store.asOf);
    if (silence > newsTimeoutMs) {
      const text = `No news from the kernel for ${formatDuration(silence)}`;
      return { state: "silent", text, detail: shown, stale: true };
    }
    if (!store.live) {
      return { state: "connecting", text: "Waiting for the kernel…", detail: shown, stale: true };
    }
  }
  const retry = retryAt === null ? "" : `next try in ${formatDuration(retryAt - now + 999)}`;
  const text = CONNECTION_TEXT[state];
  if (state === "connected") {
    return { state, text, detail: detail.replace(/^connected (?=to )/, ""), stale: false };
  }
  return { state, text, detail: join(detail, retry, valuesOf(staleSince)), stale: true };
}

/** Keep the order of the cards: it changes only with membership, status and attention. */
export function createOrder() {
  /** @type {string[]} */
  let ids = [];
  /** @type {string[]} */
  let list = [];
  /** @type {Map<string, number>} */
  const ranks = new Map();
  return {
    /** Ids in the order of the grid. */
    get list() { return list; },
    /**
     * @param {ReadonlyMap<string, Agent>} agents
     * @param {Iterable<string>} changed
     * @returns {Set<string> | null} ids whose place changed; null when the order is as before
     */
    update(agents, changed) {
      /** @type {Set<string>} */
      const moved = new Set();
      let gone = false;
      let come = false;
      for (const id of changed) {
        const agent = agents.get(id);
        const before = ranks.get(id);
        if (agent === undefined) {
          gone = ranks.delete(id) || gone;
          continue;
        }
        const rank = rankOf(agent);
        if (rank === before) continue;
        if (before === undefined) come = ids.push(id) > 0;
        ranks.set(id, rank);
        moved.add(id);
      }
      if (!gone && moved.size === 0) return null;
      if (gone) ids = ids.filter((id) => ranks.has(id));
      if (come) ids.sort(compareIds);
      /** @type {string[][]} */
      const buckets = [[], [], [], [], []];
      for (const id of ids) buckets[/** @type {number} */ (ranks.get(id))].push(id);
      list = buckets.flat();
      return moved;
    },
  };
}

// ---------------------------------------------------------------------------------------------
// The view.

const CARD_MIN_WIDTH = 272;
const CARD_GAP = 10;
const CARD_HEIGHT = 176;
const ROW_HEIGHT = 19;
const OVERSCAN_ROWS = 3;
/** More changes than this in one frame do not flash: it would be unrest, not news. */
const FLASH_MAX = 40;
const FLASH_EVERY_MS = 1_500;
const FLASH_FRAMES = [{ backgroundColor: "var(--hg-flash)" }, { backgroundColor: "transparent" }];
const ANNOUNCE_EVERY_MS = 5_000;

/**
 * @param {Document} doc
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} [children]
 */
function h(doc, tag, attributes = {}, children = []) {
  const element = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {Element} element @param {string} name @param {string} value */
function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  const node = element.firstChild;
  if (node === null) element.append(text);
  else if (node.nodeValue !== text) node.nodeValue = text;
}

/** @typedef {{el: HTMLElement, fields: Record<string, HTMLElement>, flashedAt: number}} Card */

/** @param {Document} doc @returns {HTMLElement} what every card is cloned from */
function buildCardTemplate(doc) {
  // No dl, dt, dd or table: hosts of notebooks have styles of their own for those.
  /** @param {string} name @param {string} [tag] */
  const field = (name, tag = "span") => h(doc, tag, { "data-field": name, class: `hg-${name}` }, [""]);
  /** @param {string} name @param {string} label */
  const row = (name, label) =>
    h(doc, "div", { class: `hg-row hg-row-${name}` }, [
      h(doc, "span", { class: "hg-label" }, [label]), " ", field(name),
    ]);
  /** @param {string} name @param {string} label */
  const metric = (name, label) =>
    h(doc, "span", { class: "hg-metric" }, [field(name), " ", h(doc, "span", { class: "hg-unit" }, [label])]);
  return h(doc, "article", { class: "hg-card", role: "listitem", tabindex: "-1" }, [
    h(doc, "div", { class: "hg-card-head" }, [
      field("id"),
      h(doc, "span", { class: "hg-badge" }, [
        h(doc, "span", { class: "hg-shape", "aria-hidden": "true" }),
        field("status"),
      ]),
    ]),
    field("reason", "div"),
    h(doc, "div", { class: "hg-rows" }, [
      row("feature", "Feature"),
      row("tool", "Last tool"),
      row("session", "Session"),
      row("activity", "Last activity"),
      row("model", "Model"),
      row("project", "Project"),
    ]),
    h(doc, "div", { class: "hg-metrics" }, [
      metric("tools", "tools"),
      metric("tokens", "tokens"),
      field("cost"),
    ]),
  ]);
}

/** @param {HTMLElement} template @param {string} id @returns {Card} */
function cloneCard(template, id) {
  const el = /** @type {HTMLElement} */ (template.cloneNode(true));
  el.setAttribute("data-agent-id", id);
  /** @type {Record<string, HTMLElement>} */
  const fields = {};
  for (const node of el.querySelectorAll("[data-field]")) {
    const field = /** @type {HTMLElement} */ (node);
    fields[/** @type {string} */ (field.dataset.field)] = field;
  }
  setText(fields.id, visibleText(id));
  return { el, fields, flashedAt: 0 };
}

const exactTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** @param {string} text RFC 3339 */
function describeTime(text) {
  const at = readTime(text);
  return at === null ? "" : `${exactTime.format(at)} (${visibleText(text, 40)})`;
}

/**
 * Write an agent into its card; only what differs touches the document.
 *
 * @param {Card} card @param {Agent} agent
 * @returns {HTMLElement[]} the values that changed and are worth a look
 */
function patchCard({ el, fields }, agent) {
  /** @type {HTMLElement[]} */
  const news = [];
  /** @param {string} name @param {string} text @param {string} title */
  const write = (name, text, title) => {
    const field = fields[name];
    const shown = text || "—";
    if (field.firstChild?.nodeValue !== shown) {
      setText(field, shown);
      if (name === "tools" || name === "tool" || name === "status") news.push(field);
    }
    setAttribute(field, "title", title);
  };
  /** @param {string} name @param {string} text */
  const writeText = (name, text) => {
    const shown = visibleText(text);
    write(name, shown, shown);
  };
  setAttribute(el, "data-status", agent.status);
  el.toggleAttribute("data-attention", agent.attention);
  if (agent.detail) setAttribute(el, "data-detail", visibleText(agent.detail, 40));
  else el.removeAttribute("data-detail");
  el.toggleAttribute("data-child", agent.parent !== "");
  setAttribute(fields.id, "title", [
    visibleText(agent.id),
    agent.parent && `subagent of ${visibleText(agent.parent)}`,
    agent.host && `on ${visibleText(agent.host)}`,
  ].filter(Boolean).join("\n"));
  const since = agent.since ? `since ${describeTime(agent.since)}` : "";
  write("status", agent.attention ? "Waits for you" : STATUS_TEXT[agent.status], since);
  writeText("reason", describeAgent(agent));
  writeText("feature", agent.feature);
  writeText("tool", agent.tool);
  writeText("session", agent.session);
  writeText("model", agent.model);
  writeText("project", agent.project);
  setAttribute(fields.activity, "title", describeTime(agent.activity));
  write("tools", agent.tools < 100_000 ? formatCount(agent.tools) : formatTokens(agent.tools),
    `${formatCount(agent.tools)} tools executed in this session`);
  setText(/** @type {Element} */ (fields.tools.nextElementSibling), agent.tools === 1 ? "tool" : "tools");
  write("tokens", formatTokens(agent.tokens), `${formatCount(agent.tokens)} tokens`);
  write("cost", formatUsd(agent.cost),
    agent.cost === null ? "the model's price is not known" : `${agent.cost} USD`);
  setAttribute(fields.tools, "data-value", String(agent.tools));
  setAttribute(fields.tokens, "data-value", String(agent.tokens));
  setAttribute(fields.cost, "data-value", agent.cost === null ? "" : String(agent.cost));
  return news;
}

const STATS = [
  ["waiting", "waiting for you"],
  ["active", "active"],
  ["idle", "idle"],
  ["offline", "offline"],
  ["tokens", "total tokens"],
  ["cost", "total cost"],
];

/**
 * Build everything but the cards.
 *
 * @param {Document} doc @param {MountOptions} options
 */
function buildFrame(doc, options) {
  const dot = h(doc, "span", { class: "hg-dot", "aria-hidden": "true" });
  const text = h(doc, "span", { class: "hg-connection-text" }, [""]);
  const detail = h(doc, "span", { class: "hg-connection-detail" }, [""]);
  /** @type {Record<string, HTMLElement>} */
  const stats = { total: h(doc, "span", { class: "hg-total", "data-stat": "total" }, ["0"]) };
  const boxes = STATS.map(([name, label]) => {
    stats[name] = h(doc, "span", { class: "hg-count", "data-stat": name }, ["0"]);
    return h(doc, "div", { class: `hg-stat hg-stat-${name}` }, [
      stats[name],
      h(doc, "span", { class: "hg-label" }, [
        h(doc, "span", { class: "hg-shape", "aria-hidden": "true" }), label,
      ]),
    ]);
  });
  const list = h(doc, "div", { class: "hg-list", role: "list", "aria-label": "Agents" });
  const hint = h(doc, "div", { class: "hg-hint" }, [options.hint ?? ""]);
  const empty = h(doc, "div", { class: "hg-empty" }, [
    h(doc, "div", {}, ["Waiting for agent activity…"]),
    hint,
  ]);
  const box = h(doc, "div", { class: "hg-box" }, [list, empty]);
  const announcement = h(doc, "div", { class: "hg-announcement", role: "status" }, [""]);
  const root = h(doc, "section", { class: "htmlgraph-grid", "aria-label": "Agent presence" }, [
    h(doc, "header", { class: "hg-head" }, [
      h(doc, "div", { class: "hg-title" }, [options.title ?? "Agents", " ", stats.total]),
      h(doc, "div", { class: "hg-connection" }, [dot, text, detail]),
    ]),
    h(doc, "div", { class: "hg-stats" }, boxes),
    announcement,
    box,
  ]);
  root.toggleAttribute("data-page", options.page === true);
  return { root, text, detail, stats, list, hint, box, announcement };
}

/** @param {ReturnType<typeof buildFrame>} frame @param {Counts} counts */
function patchStats({ root, stats }, counts) {
  for (const name of /** @type {const} */ (["total", "active", "idle", "offline", "waiting"])) {
    setText(stats[name], formatCount(counts[name]));
  }
  setText(stats.tokens, formatTokens(counts.tokens));
  setAttribute(stats.tokens, "title", `${formatCount(counts.tokens)} tokens`);
  setAttribute(stats.tokens, "data-value", String(counts.tokens));
  setText(stats.cost, formatUsd(counts.cost));
  const left = counts.unpriced
    ? `; the price of ${counts.unpriced} agent${counts.unpriced > 1 ? "s" : ""} is not known` : "";
  setAttribute(stats.cost, "title", `${formatUsd(counts.cost)}${left}`);
  setAttribute(stats.cost, "data-value", counts.cost === null ? "" : String(counts.cost));
  root.toggleAttribute("data-waiting", counts.waiting > 0);
  root.toggleAttribute("data-priced", counts.cost !== null);
}

/** @param {Counts} counts @param {string} connection */
function announce(counts, connection) {
  if (counts.waiting === 0) return `${connection}.`;
  const one = counts.waiting === 1;
  return `${connection}. ${counts.waiting} agent${one ? " waits" : "s wait"} for you.`;
}

/**
 * Run `work` once before the next painting, or soon where nothing is painted.
 *
 * requestAnimationFrame stands still in hidden tabs, hence the timer beside it.
 *
 * @param {Window} win @param {() => void} work
 */
function createFrameScheduler(win, work) {
  let frame = 0;
  let timer = 0;
  const cancel = () => {
    win.cancelAnimationFrame(frame);
    win.clearTimeout(timer);
    timer = 0;
  };
  const run = () => {
    cancel();
    work();
  };
  const schedule = () => {
    if (timer !== 0) return;
    timer = win.setTimeout(run, 250);
    if (!win.document.hidden) frame = win.requestAnimationFrame(run);
  };
  return { schedule, cancel };
}

/**
 * Put the cards of `ids` into the list in this order, moving as few as possible.
 *
 * @param {HTMLElement} list @param {Map<string, Card>} cards
 * @param {string[]} ids @param {Set<string>} moved ids that may stand at another place than before
 */
function arrange(list, cards, ids, moved) {
  let next = list.firstElementChild;
  for (const id of ids) {
    const { el } = /** @type {Card} */ (cards.get(id));
    while (next && next !== el && moved.has(next.getAttribute("data-agent-id") ?? "")) {
      next = next.nextElementSibling;
    }
    if (next === el) next = el.nextElementSibling;
    else list.insertBefore(el, next);
  }
}

/**
 * @typedef {object} MountOptions
 * @property {string} [title] heading; "Agents"
 * @property {string} [hint] a second line while there is no agent
 * @property {boolean} [page] the grid is the whole page: cards scroll with it
 * @property {number} [newsTimeoutMs] silence after which the source is doubted; 0 for never
 * @property {number} [windowAbove] agents above which only visible cards exist; 1000
 * @property {() => number} [now] the clock, ms since 1970
 * @property {AbortSignal} [signal] takes the grid down
 */

/**
 * Show a store's agents in `el` and keep them up to date.
 *
 * @param {HTMLElement} el
 * @param {Store} store
 * @param {MountOptions} [options]
 * @returns {() => void} takes the grid down
 */
export function mountGrid(el, store, options = {}) {
  const { newsTimeoutMs = 0, windowAbove = 1_000, now = Date.now } = options;
  const doc = el.ownerDocument;
  const win = /** @type {Window & typeof globalThis} */ (doc.defaultView);
  const calm = win.matchMedia("(prefers-reduced-motion: reduce)");
  const frame = buildFrame(doc, options);
  const { root, list, box } = frame;
  const template = buildCardTemplate(doc);
  const order = createOrder();
  /** @type {Map<string, Card>} */
  const cards = new Map();
  /** Ids whose cards are behind the store. @type {Set<string>} */
  const dirty = new Set(store.agents.keys());
  let windowed = false;
  let cardHeight = CARD_HEIGHT;
  let announcedAt = -Infinity;
  let focusId = "";
  /** @type {Counts} */
  let counts = countAgents([]);
  let wholeArrangement = true;

  const clock = () => now() + store.clockOffset;

  /** @param {Card} card @param {string} id */
  const patchAge = (card, id) => {
    const agent = store.agents.get(id);
    if (agent) setText(card.fields.activity, formatAge(readTime(agent.activity), clock()));
  };

  const patchConnection = () => {
    const { state, text, detail, stale } = describeConnection(store, now(), newsTimeoutMs);
    setAttribute(root, "data-connection", state);
    setAttribute(root, "data-stale", String(stale));
    setText(frame.text, visibleText(text));
    setText(frame.detail, visibleText(detail.replace(/\s*\n\s*/g, " · ")));
    setAttribute(frame.detail, "title", visibleLines(detail));
    // With no agents to show there is room for all that may help.
    const help = stale ? visibleLines(store.connection.detail) : "";
    setText(frame.hint, help || (options.hint ?? ""));
    const words = announce(counts, stale ? text.replace(/ for \d+\w$/, "") : text);
    if (now() - announcedAt < ANNOUNCE_EVERY_MS || frame.announcement.textContent === words) return;
    announcedAt = now();
    setText(frame.announcement, words);
  };

  /** @param {Card} card @param {HTMLElement[]} news */
  const flash = (card, news) => {
    if (news.length === 0 || now() - card.flashedAt < FLASH_EVERY_MS) return;
    card.flashedAt = now();
    for (const field of news) field.animate(FLASH_FRAMES, { duration: 1_200, easing: "ease-out" });
  };

  /** @param {string} id */
  const makeCard = (id) => {
    const agent = store.agents.get(id);
    if (agent === undefined) return;
    const card = cloneCard(template, id);
    cards.set(id, card);
    patchCard(card, agent);
    patchAge(card, id);
  };

  /** Rows and columns of the list as it stands. */
  const measure = () => {
    const width = list.clientWidth || root.clientWidth || 800;
    const columns = Math.max(1, Math.floor((width + CARD_GAP) / (CARD_MIN_WIDTH + CARD_GAP)));
    return { columns, rows: Math.ceil(order.list.length / columns), step: cardHeight + CARD_GAP };
  };

  /** Ids of the cards that are to exist now and the place of the first; lays out a windowed list. */
  const visible = () => {
    if (!windowed) return { ids: order.list, start: 0 };
    const { columns, rows, step } = measure();
    const height = box.clientHeight || 600;
    const first = Math.max(0, Math.min(rows, Math.floor(box.scrollTop / step)) - OVERSCAN_ROWS);
    const last = Math.min(rows, Math.ceil((box.scrollTop + height) / step) + OVERSCAN_ROWS);
    list.style.setProperty("--hg-columns", String(columns));
    list.style.setProperty("height", `${Math.max(0, rows * step - CARD_GAP)}px`);
    list.style.setProperty("padding-top", `${first * step}px`);
    return { ids: order.list.slice(first * columns, last * columns), start: first * columns };
  };

  /** Switch between all cards and the visible ones only. */
  const chooseMode = () => {
    const next = order.list.length > windowAbove;
    if (next === windowed) return;
    windowed = next;
    root.toggleAttribute("data-windowed", windowed);
    if (!windowed) list.removeAttribute("style");
    for (const { el: card } of cards.values()) card.remove();
    cards.clear();
    wholeArrangement = true;
  };

  /** Rows for model and project take room only when some agent names one. */
  const chooseRows = () => {
    const has = { model: false, project: false };
    for (const agent of store.agents.values()) {
      has.model ||= agent.model !== "";
      has.project ||= agent.project !== "";
      if (has.model && has.project) break;
    }
    root.toggleAttribute("data-models", has.model);
    root.toggleAttribute("data-projects", has.project);
    cardHeight = CARD_HEIGHT + ROW_HEIGHT * (Number(has.model) + Number(has.project));
    root.style.setProperty("--hg-card-height", `${cardHeight}px`);
  };

  /** @param {Set<string>} moved */
  const placeCards = (moved) => {
    const { ids, start } = visible();
    const wanted = new Set(ids);
    const active = /** @type {Document | ShadowRoot} */ (root.getRootNode()).activeElement;
    const held = active instanceof win.HTMLElement && list.contains(active) ? active : null;
    for (const [id, card] of cards) {
      if (wanted.has(id)) continue;
      card.el.remove();
      cards.delete(id);
    }
    for (const id of ids) if (!cards.has(id)) makeCard(id);
    arrange(list, cards, ids, moved);
    for (const [i, id] of windowed ? ids.entries() : []) {
      const card = /** @type {Card} */ (cards.get(id)).el;
      setAttribute(card, "aria-posinset", String(start + i + 1));
      setAttribute(card, "aria-setsize", String(order.list.length));
    }
    if (held !== null && active !== /** @type {Document} */ (root.getRootNode()).activeElement) {
      (held.isConnected ? held : box).focus({ preventScroll: true });
    }
    if (!store.agents.has(focusId)) focusId = order.list[0] ?? "";
    markFocusable();
  };

  const markFocusable = () => {
    for (const card of list.querySelectorAll('[tabindex="0"]')) card.setAttribute("tabindex", "-1");
    (cards.get(focusId) ?? cards.values().next().value)?.el.setAttribute("tabindex", "0");
    box.setAttribute("tabindex", "-1");
  };

  const draw = () => {
    const changed = [...dirty];
    dirty.clear();
    if (changed.length > 0) {
      counts = countAgents(store.agents.values());
      patchStats(frame, counts);
      chooseRows();
    }
    const moved = order.update(store.agents, changed);
    chooseMode();
    const flashing = changed.length <= FLASH_MAX && !calm.matches && !doc.hidden;
    for (const id of changed) {
      const card = cards.get(id);
      const agent = store.agents.get(id);
      if (card === undefined || agent === undefined) continue;
      const news = patchCard(card, agent);
      patchAge(card, id);
      if (flashing) flash(card, news);
    }
    if (moved !== null || wholeArrangement || windowed) placeCards(moved ?? new Set());
    wholeArrangement = false;
    root.toggleAttribute("data-empty", order.list.length === 0);
    patchConnection();
  };

  const scheduler = createFrameScheduler(win, draw);

  /** @param {string} id */
  const focusCard = (id) => {
    focusId = id;
    if (windowed) {
      const { columns, step } = measure();
      const top = Math.floor(order.list.indexOf(id) / columns) * step;
      if (top < box.scrollTop) box.scrollTop = top;
      else if (top + step > box.scrollTop + box.clientHeight) {
        box.scrollTop = top + step - box.clientHeight;
      }
      placeCards(new Set());
    }
    markFocusable();
    cards.get(id)?.el.focus();
  };

  /** @param {KeyboardEvent} event @returns {number | null} place to go to */
  const target = (event) => {
    const at = Math.max(0, order.list.indexOf(focusId));
    const columns = windowed
      ? measure().columns : win.getComputedStyle(list).gridTemplateColumns.split(" ").length;
    const end = order.list.length - 1;
    /** @type {Record<string, number>} */
    const places = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns,
      Home: 0, End: end,
    };
    const place = places[event.key];
    return place === undefined ? null : place < 0 || place > end ? at : place;
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const place = target(event);
    if (place !== null && order.list.length > 0) focusCard(order.list[place]);
    else return;
    // JupyterLab takes plain letters and arrows for the notebook.
    event.preventDefault();
    event.stopPropagation();
  };

  const tick = () => {
    if (doc.hidden) return;
    for (const [id, card] of cards) patchAge(card, id);
    patchConnection();
  };

  const unsubscribe = store.subscribe((changed) => {
    for (const id of changed) dirty.add(id);
    scheduler.schedule();
  });
  const resized = new win.ResizeObserver(() => { if (windowed) scheduler.schedule(); });
  const timer = win.setInterval(tick, 1_000);
  const onVisible = () => { if (!doc.hidden) tick(); };
  doc.addEventListener("visibilitychange", onVisible);
  box.addEventListener("keydown", onKey);
  box.addEventListener("scroll", () => { if (windowed) scheduler.schedule(); }, { passive: true });
  list.addEventListener("focusin", (event) => {
    const card = event.target instanceof win.Element ? event.target.closest(".hg-card") : null;
    focusId = card?.getAttribute("data-agent-id") ?? focusId;
    markFocusable();
  });

  el.append(root);
  draw();
  resized.observe(box);

  const unmount = () => {
    unsubscribe();
    scheduler.cancel();
    resized.disconnect();
    win.clearInterval(timer);
    doc.removeEventListener("visibilitychange", onVisible);
    root.remove();
  };
  options.signal?.addEventListener("abort", unmount, { once: true });
  return unmount;
}

// ---------------------------------------------------------------------------------------------
// The notebook widget (anywidget front-end module).

/** The kernel sends at least an empty batch every 5 s; three missing ones are silence. */
const KERNEL_SILENCE_MS = 15_000;
const PING_EVERY_MS = 10_000;

/**
 * @typedef {object} Model What of the host's model is used.
 * @property {(name: string) => any} get
 * @property {(content: unknown) => void} send
 * @property {(event: string, callback: (...args: any[]) => void) => void} on
 * @property {(event: string, callback: (...args: any[]) => void) => void} off
 */

/**
 * Return the widget of one model.
 *
 * It is a function because hosts hand a new wrapper of the model to each hook: what the hooks of
 * one model share is this call's closure.
 */
export default function createWidget() {
  /** @type {Store | null} */
  let store = null;
  let views = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let pinging;

  /** @param {Model} model */
  const open = (model) => {
    const opened = createStore();
    opened.restore(model.get("state"));
    store = opened;
    return opened;
  };

  /** @param {Model} model */
  const ping = (model) => {
    if (globalThis.document?.hidden) return;
    try {
      model.send({ kind: "ping" });
    } catch (error) {
      // The comm of a closed widget or of a kernel that has gone: nobody is there to hear it.
      console.debug("htmlgraph-nb: no kernel to ping", error);
    }
  };

  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const opened = open(model);
      /** @param {unknown} message */
      const onMessage = (message) => opened.receiveKernel(message);
      const onRestart = () => opened.setConnection({ state: "closed", detail: "the kernel restarted" });
      model.on("msg:custom", onMessage);
      model.on("comm_live_update", onRestart);
      return () => {
        model.off("msg:custom", onMessage);
        model.off("comm_live_update", onRestart);
      };
    },

    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const unmount = mountGrid(el, store ?? open(model), { newsTimeoutMs: KERNEL_SILENCE_MS });
      const onVisible = () => ping(model);
      el.ownerDocument.addEventListener("visibilitychange", onVisible);
      ping(model);
      views += 1;
      pinging ??= setInterval(ping, PING_EVERY_MS, model);
      return () => {
        unmount();
        el.ownerDocument.removeEventListener("visibilitychange", onVisible);
        views -= 1;
        if (views > 0) return;
        clearInterval(pinging);
        pinging = undefined;
      };
    },
  };
}
