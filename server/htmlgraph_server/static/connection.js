// @ts-check
/**
 * A store's connection to a server's WebSocket: made, watched, and made again. The page at `/` and
 * JupyterLab's tab have it.
 */

import { askWhy, loadActivity } from "./api.js";
import { broadcastUrl, CLOSE_BAD_PARAMETERS, CLOSE_POLICY, reconnectPause } from "./reconnect.js";

/** @typedef {import("./agent_grid.js").Store} Store */

const NAME = "htmlgraph-nb";
const PING_EVERY_MS = 20_000;
/** How long a ping, or the handshake, may stay without any answer; with the 20 s before it, 45 s. */
const PATIENCE_MS = 25_000;
/** The same after waking up, when a dead connection is likely and somebody is looking. */
const WAKING_PATIENCE_MS = 5_000;
const WATCH_EVERY_MS = 1_000;
/** A close code for our own side: the connection has gone silent. */
const CLOSE_SILENT = 4000;

/**
 * Keep `store` fed from the server until the page goes away: the state and every change over the
 * WebSocket, the activity of the minutes before over HTTP.
 *
 * @param {Store} store
 * @param {Window} win the page's window
 * @param {string} base the URL of the server's page, with its `token` and `session` where it has them
 */
export function keepConnected(store, win, base) {
  /** @type {WebSocket | null} */
  let socket = null;
  let failures = 0;
  let resumed = false;
  let pingedAt = 0;
  /** Nothing has arrived since `pingedAt`. */
  let awaiting = false;
  let patience = PATIENCE_MS;
  /** Not before this time, whatever wakes us, ms since 1970. */
  let barredUntil = 0;
  let ended = false;
  /** @type {number | null} */
  let staleSince = null;
  let retryTimer = 0;

  /** @param {number} ms */
  const expectAnswer = (ms) => {
    pingedAt = Date.now();
    awaiting = true;
    patience = ms;
  };

  const connect = () => {
    win.clearTimeout(retryTimer);
    retryTimer = 0;
    const cursor = store.cursor;
    resumed = cursor !== null;
    expectAnswer(PATIENCE_MS);
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
    if (message?.type === "error") console.warn(`${NAME}: the server says:`, message.error);
    if (message?.type !== "presence_state") return;
    failures = 0;
    staleSince = null;
    store.setConnection({ state: "connected" });
  };

  /** @param {number} code @param {string} reason */
  const onClose = (code, reason) => {
    leave(code === CLOSE_SILENT ? code : undefined);
    if (staleSince === null && store.agents.size > 0) staleSince = store.lastNewsAt;
    const pause = reconnectPause({ code, failures, resumed });
    failures += 1;
    if (code === CLOSE_BAD_PARAMETERS) store.forgetCursor();
    const refused = code === CLOSE_POLICY || code === CLOSE_BAD_PARAMETERS;
    const detail = refused ? `refused by the server: ${reason || `code ${code}`}` : reason;
    if (pause === null) {
      ended = true;
      store.setConnection({ state: "ended", detail: `${detail}; reload the page`, staleSince });
      return;
    }
    const retryAt = Date.now() + pause;
    if (code === CLOSE_POLICY) barredUntil = retryAt;
    store.setConnection({ state: "reconnecting", detail, retryAt, staleSince });
    retryTimer = win.setTimeout(connect, pause);
    if (!detail) explain(retryAt);
  };

  /** A refused handshake shows no reason to a page; the same server says it over HTTP. @param {number} retryAt */
  const explain = async (retryAt) => {
    const detail = await askWhy(base);
    if (detail && store.connection.retryAt === retryAt) {
      store.setConnection({ state: "reconnecting", detail, retryAt, staleSince });
    }
  };

  /** Let go of the socket without waiting for the other side. @param {number} [code] */
  const leave = (code) => {
    if (socket === null) return;
    socket.onmessage = socket.onclose = null;
    socket.close(code);
    socket = null;
  };

  /** @param {number} ms how long to wait for the answer */
  const ping = (ms) => {
    if (socket === null || socket.readyState !== WebSocket.OPEN) return;
    expectAnswer(ms);
    socket.send("ping");
  };

  // Hidden tabs run timers once a minute: silence counts only after a ping that nobody answered.
  const watch = () => {
    if (socket === null) return;
    const waited = Date.now() - pingedAt;
    if (awaiting && waited > patience) onClose(CLOSE_SILENT, "the server went silent");
    else if (!awaiting && waited >= PING_EVERY_MS) ping(PATIENCE_MS);
  };

  const wake = () => {
    if (socket !== null) ping(WAKING_PATIENCE_MS);
    else if (!ended && Date.now() >= barredUntil) connect();
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
    leave();
  });
}

/** @param {unknown} data @returns {any} the message; null where it is not JSON */
function parse(data) {
  try {
    return typeof data === "string" ? JSON.parse(data) : null;
  } catch (error) {
    console.warn(`${NAME}: a message is not JSON:`, error);
    return null;
  }
}

/**
 * Count what agents did before the page was there, once for each connection.
 *
 * @param {Store} store
 * @param {() => Promise<unknown>} load the activity of the last minutes
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
      console.warn(`${NAME}: the activity of the last minutes is not known:`, error);
    }
  });
}
