// @ts-check
/**
 * The store: the roster, the connection and who wants to know.
 */

import { createActivity } from "./activity.js";
import { isRecord, readConnection, readSeq, readTime } from "./agent.js";
import { createRecent } from "./recent_changes.js";
import { createRoster, foldKeyframe, foldMessage } from "./mirror.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Connection} Connection */
/** @typedef {ReturnType<typeof createStore>} Store */

/**
 * Create a store.
 *
 * @param {{now?: () => number}} [options] `now`: the clock, ms since 1970
 */
export function createStore({ now = Date.now } = {}) {
  const roster = createRoster();
  const activity = createActivity();
  const recent = createRecent();
  /** The agents as they were last told. @type {Map<string, Agent>} */
  const told = new Map();
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

  /** @param {Set<string>} changed @param {number | null} [at] when they happened; null: not now */
  const tell = (changed, at = null) => {
    for (const id of changed) {
      const before = told.get(id);
      const agent = roster.agents.get(id);
      if (agent === undefined) {
        told.delete(id);
        activity.forget(id);
        recent.forget(id);
        continue;
      }
      told.set(id, agent);
      if (at !== null) activity.note(before, agent, at);
      if (at !== null || before !== undefined) recent.note(agent);
    }
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
    activity.replace(state.activity);
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
    /** The time of a saved state or snapshot, ms since 1970; null when not known. */
    get asOf() { return asOf; },
    /** A batch of the kernel is missing; true until the next snapshot. */
    get incomplete() { return incomplete; },
    /** The sender's clock minus ours, ms; 0 when they agree. */
    get clockOffset() { return clockOffset; },
    /** What each agent did in the last minutes. */
    activity: {
      /** @param {string} id @param {number} [at] ms since 1970, the server's clock; now */
      counts: (id, at = now() + clockOffset) => activity.counts(id, at),
      /** Take the server's counts, and tell. @param {unknown} value `{at, minutes, agents}` */
      replace(value) {
        activity.replace(value);
        tell(new Set());
      },
    },
    /** The changes of an agent that were seen here, the newest first. @param {string} id */
    recent: (id) => recent.of(id),

    /** Take one message of the server. @param {unknown} message */
    receive(message) {
      hear();
      if (isRecord(message) && message.type === "presence_state") compareClocks(message.timestamp);
      const changed = foldMessage(roster, message);
      const happened = isRecord(message) && message.type === "presence_update";
      if (changed.size > 0) tell(changed, happened ? now() + clockOffset : null);
    },

    /** Take one message of the kernel: a batch or a snapshot. @param {unknown} message */
    receiveKernel(message) {
      if (!isRecord(message)) return;
      const n = readSeq(message.n);
      if (message.kind === "snapshot" && isRecord(message.state)) {
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
      if (connect(message.connection) || changed.size > 0) {
        tell(changed, readTime(message.at) ?? now() + clockOffset);
      }
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
