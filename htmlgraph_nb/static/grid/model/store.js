// @ts-check
/**
 * The store: the copy of the agents, the connection state and the subscribers.
 */

import { createActivity } from "./activity.js";
import { isRecord, readConnection, readSeq, readTime } from "./agent.js";
import { createRecentChanges } from "./recent_changes.js";
import { createMirror, applySnapshot, applyMessage } from "./mirror.js";
import { readServerInfo } from "./server_info.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Connection} Connection */
/** @typedef {ReturnType<typeof createStore>} Store */

/**
 * Create a store.
 *
 * @param {{now?: () => number}} [options] `now`: the clock, ms since 1970
 */
export function createStore({ now = Date.now } = {}) {
  const roster = createMirror();
  const activity = createActivity();
  const recent = createRecentChanges();
  /** The agents as of the last notification. @type {Map<string, Agent>} */
  const lastKnown = new Map();
  /** @type {Set<(changed: Set<string>) => void>} */
  const listeners = new Set();
  /** @type {Connection} */
  let connection = { state: "connecting", staleSince: null, detail: "", retryAt: null };
  /** @type {import("./server_info.js").ServerInfo | null} */
  let serverInfo = null;
  let lastMessageAt = now();
  let live = false;
  let incomplete = false;
  let clockOffset = 0;
  /** @type {number | null} */
  let asOf = null;
  /** @type {number | null} */
  let batch = null;

  /** @param {Set<string>} changed @param {number | null} [at] time of the changes; null for a replaced state */
  const notify = (changed, at = null) => {
    for (const id of changed) {
      const before = lastKnown.get(id);
      const agent = roster.agents.get(id);
      if (agent === undefined) {
        lastKnown.delete(id);
        activity.forget(id);
        recent.forget(id);
        continue;
      }
      lastKnown.set(id, agent);
      if (at !== null) activity.note(before, agent, at);
      if (at !== null || before !== undefined) recent.note(agent);
    }
    for (const listener of [...listeners]) listener(changed);
  };
  /** @param {unknown} at time of the sender's clock */
  const compareClocks = (at) => {
    const time = readTime(at);
    // Differences below two seconds are network delay rather than clock skew.
    if (time !== null) clockOffset = Math.abs(time - now()) > 2_000 ? time - now() : 0;
  };
  const markAlive = () => {
    lastMessageAt = now();
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
  /** @param {unknown} message @returns {boolean} whether it was valid */
  const takeServerInfo = (message) => {
    const info = readServerInfo(message);
    serverInfo = info ?? serverInfo;
    return info !== null;
  };
  /** @param {Record<string, any>} state */
  const replace = (state) => {
    const changed = applySnapshot(roster, state);
    connect(state.connection);
    incomplete = false;
    asOf = readTime(state.at);
    activity.replace(state.activity);
    takeServerInfo(state.server_info);
    notify(changed);
  };

  return {
    /** The agents by id; read-only. @returns {ReadonlyMap<string, Agent>} */
    get agents() { return roster.agents; },
    get connection() { return connection; },
    /** The server's last report about itself; null before the first. */
    get serverInfo() { return serverInfo; },
    /** Cursor to resume from, EPOCH:SEQ; null before the first complete state. */
    get cursor() {
      return roster.epoch === null || roster.seq === null ? null : `${roster.epoch}:${roster.seq}`;
    },
    /** Time of the last message, ms since 1970. */
    get lastMessageAt() { return lastMessageAt; },
    /** Whether a message has arrived; a saved state does not count. */
    get live() { return live; },
    /** Time of the saved state or snapshot, ms since 1970; null if unknown. */
    get asOf() { return asOf; },
    /** Whether a batch of the kernel is missing; reset by the next snapshot. */
    get incomplete() { return incomplete; },
    /** The sender's clock minus ours, ms; 0 when they agree. */
    get clockOffset() { return clockOffset; },
    /** Activity of the last minutes by agent. */
    activity: {
      /** @param {string} id @param {number} [at] ms since 1970, the server's clock; now */
      counts: (id, at = now() + clockOffset) => activity.counts(id, at),
      /** Replace the counts by the server's, and notify. @param {unknown} value `{at, minutes, agents}` */
      replace(value) {
        activity.replace(value);
        notify(new Set());
      },
    },
    /** Changes of an agent received by this client, newest first. @param {string} id */
    recent: (id) => recent.of(id),

    /** Handle a message of the server. @param {unknown} message */
    receive(message) {
      markAlive();
      if (isRecord(message) && message.type === "presence_state") compareClocks(message.timestamp);
      if (isRecord(message) && message.type === "server_info" && takeServerInfo(message)) notify(new Set());
      const changed = applyMessage(roster, message);
      const happened = isRecord(message) && message.type === "presence_update";
      if (changed.size > 0) notify(changed, happened ? now() + clockOffset : null);
    },

    /** Handle a message of the kernel: a batch or a snapshot. @param {unknown} message */
    receiveFromKernel(message) {
      if (!isRecord(message)) return;
      const n = readSeq(message.n);
      if (message.kind === "snapshot" && isRecord(message.state)) {
        markAlive();
        batch = n;
        compareClocks(message.state.at);
        replace(message.state);
        return;
      }
      if (message.kind !== "batch") return;
      markAlive();
      if (batch !== null && n !== null && n > batch + 1) incomplete = true;
      batch = n ?? batch;
      /** @type {Set<string>} */
      const changed = new Set();
      for (const item of Array.isArray(message.messages) ? message.messages : []) {
        for (const id of applyMessage(roster, item)) changed.add(id);
      }
      const reported = takeServerInfo(message.server_info);
      if (connect(message.connection) || changed.size > 0 || reported) {
        notify(changed, readTime(message.at) ?? now() + clockOffset);
      }
    },

    /** Show a saved state; it does not count as a message. @param {unknown} state */
    restore(state) {
      if (isRecord(state) && Array.isArray(state.agents)) replace(state);
    },

    /** @param {Partial<Connection>} next `state` is required */
    setConnection(next) {
      if (connect(next)) notify(new Set());
    },

    /** Request a full state on the next connection. */
    forgetCursor() {
      roster.seq = null;
    },

    /**
     * Call `listener` with the ids of changed agents after each change of agents or connection.
     *
     * @param {(changed: Set<string>) => void} listener
     * @returns {() => void} unsubscribes
     */
    subscribe(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },
  };
}
