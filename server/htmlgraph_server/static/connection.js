// @ts-check
/**
 * Connects a store to the server's WebSocket, monitors the connection and reconnects. Used by the page
 * at `/` and by the tab in JupyterLab.
 */

import { refusalReason, loadActivity } from "./api.js";
import { broadcastUrl, CLOSE_BAD_PARAMETERS, CLOSE_POLICY, reconnectDelay } from "./reconnect.js";

/** @typedef {import("./agent_grid.js").Store} Store */

const NAME = "htmlgraph-nb";
const PING_EVERY_MS = 20_000;
/** Timeout of a ping or handshake; with the 20 s before a ping, silence is noticed after 45 s. */
const TIMEOUT_MS = 25_000;
/** The same after waking up, when the connection is probably dead and a user is watching. */
const WAKE_TIMEOUT_MS = 5_000;
const WATCH_EVERY_MS = 1_000;
/** Close code used locally for a silent connection. */
const CLOSE_SILENT = 4000;

/**
 * Keep `store` up to date until the page is closed: state and changes over the WebSocket, the activity
 * of the last minutes over HTTP.
 *
 * @param {Store} store
 * @param {Window} win the page's window
 * @param {string} base the URL of the server's page, with its `token` and `session`, if any
 * @param {{receive: (message: unknown) => void}} [alerts] receives the messages about alerts
 */
export function keepConnected(store, win, base, alerts) {
  /** @type {WebSocket | null} */
  let socket = null;
  let failures = 0;
  let resumed = false;
  let pingedAt = 0;
  /** Whether no message has arrived since `pingedAt`. */
  let awaiting = false;
  let timeout = TIMEOUT_MS;
  /** Earliest time of the next attempt, ms since 1970. */
  let retryNotBefore = 0;
  let ended = false;
  /** @type {number | null} */
  let staleSince = null;
  let retryTimer = 0;

  /** @param {number} ms */
  const expectResponse = (ms) => {
    pingedAt = Date.now();
    awaiting = true;
    timeout = ms;
  };

  const connect = () => {
    win.clearTimeout(retryTimer);
    retryTimer = 0;
    const cursor = store.cursor;
    resumed = cursor !== null;
    expectResponse(TIMEOUT_MS);
    store.setConnection({ state: staleSince === null ? "connecting" : "reconnecting", staleSince });
    const next = new WebSocket(broadcastUrl(base, cursor));
    socket = next;
    next.onmessage = (event) => onMessage(event.data);
    next.onclose = (event) => onClose(event.code, event.reason);
  };

  /** @param {unknown} data */
  const onMessage = (data) => {
    awaiting = false;
    const message = parse(data);
    store.receive(message);
    alerts?.receive(message);
    if (message?.type === "error") console.warn(`${NAME}: error from the server:`, message.error);
    if (message?.type !== "presence_state") return;
    failures = 0;
    staleSince = null;
    store.setConnection({ state: "connected" });
  };

  /** @param {number} code @param {string} reason */
  const onClose = (code, reason) => {
    disconnect(code === CLOSE_SILENT ? code : undefined);
    if (staleSince === null && store.agents.size > 0) staleSince = store.lastMessageAt;
    const delay = reconnectDelay({ code, failures, resumed });
    failures += 1;
    if (code === CLOSE_BAD_PARAMETERS) store.forgetCursor();
    const refused = code === CLOSE_POLICY || code === CLOSE_BAD_PARAMETERS;
    const detail = refused ? `refused by the server: ${reason || `code ${code}`}` : reason;
    if (delay === null) {
      ended = true;
      store.setConnection({ state: "ended", detail: `${detail}; reload the page`, staleSince });
      return;
    }
    const retryAt = Date.now() + delay;
    if (code === CLOSE_POLICY) retryNotBefore = retryAt;
    store.setConnection({ state: "reconnecting", detail, retryAt, staleSince });
    retryTimer = win.setTimeout(connect, delay);
    if (!detail) explain(retryAt);
  };

  /** A page cannot read why a handshake was refused; request the reason over HTTP. @param {number} retryAt */
  const explain = async (retryAt) => {
    const detail = await refusalReason(base);
    if (detail && store.connection.retryAt === retryAt) {
      store.setConnection({ state: "reconnecting", detail, retryAt, staleSince });
    }
  };

  /** Close the socket without waiting for the close handshake. @param {number} [code] */
  const disconnect = (code) => {
    if (socket === null) return;
    socket.onmessage = socket.onclose = null;
    socket.close(code);
    socket = null;
  };

  /** @param {number} ms timeout of the response */
  const ping = (ms) => {
    if (socket === null || socket.readyState !== WebSocket.OPEN) return;
    expectResponse(ms);
    socket.send("ping");
  };

  // Hidden tabs run timers once a minute, so only an unanswered ping counts as silence.
  const watch = () => {
    if (socket === null) return;
    const elapsed = Date.now() - pingedAt;
    if (awaiting && elapsed > timeout) onClose(CLOSE_SILENT, "no response from the server");
    else if (!awaiting && elapsed >= PING_EVERY_MS) ping(TIMEOUT_MS);
  };

  const wake = () => {
    if (socket !== null) ping(WAKE_TIMEOUT_MS);
    else if (!ended && Date.now() >= retryNotBefore) connect();
  };

  keepActivity(store, () => loadActivity(base));
  connect();
  win.setInterval(watch, WATCH_EVERY_MS);
  win.addEventListener("online", wake);
  win.addEventListener("pageshow", wake);
  win.document.addEventListener("visibilitychange", () => {
    if (!win.document.hidden) wake();
  });
  win.addEventListener("pagehide", () => {
    win.clearTimeout(retryTimer);
    disconnect();
  });
}

/** @param {unknown} data @returns {any} the message; null if it is not JSON */
function parse(data) {
  try {
    return typeof data === "string" ? JSON.parse(data) : null;
  } catch (error) {
    console.warn(`${NAME}: a message is not JSON:`, error);
    return null;
  }
}

/**
 * Load the activity before the connection, once per connection.
 *
 * @param {Store} store
 * @param {() => Promise<unknown>} load loads the activity of the last minutes
 */
export function keepActivity(store, load) {
  let counted = false;
  store.subscribe(async () => {
    const connected = store.connection.state === "connected";
    if (connected === counted) return;
    counted = connected;
    if (!connected) return;
    try {
      store.activity.replace(await load());
    } catch (error) {
      console.warn(`${NAME}: cannot load the activity of the last minutes:`, error);
    }
  });
}
