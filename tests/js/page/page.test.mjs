// The page's connection: URL, reconnects, status text. The WebSocket is a double, the clock is mocked.

import assert from "node:assert/strict";
import { register } from "node:module";
import { mock, test } from "node:test";

import { createStore } from "../../../htmlgraph_nb/static/grid/host/index.js";
import { keepConnected } from "../../../server/htmlgraph_server/static/connection.js";
import { broadcastUrl, reconnectDelay } from "../../../server/htmlgraph_server/static/reconnect.js";

// The server serves both static directories under one URL.
const gridUrl = new URL("../../../htmlgraph_nb/static/grid/host/index.js", import.meta.url).href;
register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) =>
  next(name.endsWith("/agent_grid.js") ? ${JSON.stringify(gridUrl)} : name, context);`)}`);
const { windowTitle } = await import("../../../server/htmlgraph_server/static/page.js");

class FakeSocket {
  static OPEN = 1;
  static sockets = [];
  readyState = 0;
  sent = [];
  closed = false;
  constructor(url) {
    this.url = new URL(url);
    FakeSocket.sockets.push(this);
  }
  send(text) { this.sent.push(text); }
  close() { this.closed = true; }
  deliver(message) {
    this.readyState = 1;
    this.onmessage({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }
  drop(code, reason = "") { this.onclose({ code, reason }); }
}

const STATE = {
  type: "presence_state", epoch: "e1", seq: 4, full: true, part: 1, parts: 1, removed: [],
  agents: [{ agent_id: "a", status: "active", seq: 4 }],
};

/** Advance the clock in steps: during a single tick all timers would see its end. */
function pass(ms) {
  for (let left = ms; left > 0; left -= 500) mock.timers.tick(Math.min(500, left));
}

function open(t, href = "http://127.0.0.1:8000/") {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_000_000 });
  mock.method(Math, "random", () => 0);
  mock.method(globalThis, "fetch", async () => { throw new TypeError("no network"); });
  mock.method(console, "warn", () => {});
  globalThis.WebSocket = FakeSocket;
  FakeSocket.sockets = [];
  t.after(() => {
    mock.timers.reset();
    mock.restoreAll();
    delete globalThis.WebSocket;
  });
  const events = new EventTarget();
  const doc = Object.assign(new EventTarget(), { hidden: false });
  const win = Object.assign(events, {
    location: { href },
    document: doc,
    setTimeout: (...args) => setTimeout(...args),
    clearTimeout: (id) => clearTimeout(id),
    setInterval: (...args) => setInterval(...args),
  });
  const store = createStore();
  keepConnected(store, win, href);
  return { store, win, sockets: FakeSocket.sockets, last: () => FakeSocket.sockets.at(-1) };
}

test("reconnectDelay starts at 3 s, doubles to 30 s and is jittered", () => {
  const delay = (failures, random) => reconnectDelay({ code: 1006, failures, resumed: true, random });
  assert.deepEqual([0, 1, 2, 3, 4, 5, 1_000].map((n) => delay(n, 0)), [
    3_000, 6_000, 12_000, 24_000, 30_000, 30_000, 30_000,
  ]);
  assert.equal(delay(0, 0.9), 3_000);
  assert.equal(delay(5, 0.5), 22_500);
  for (let n = 0; n < 50; n += 1) {
    const ms = reconnectDelay({ code: 1001, failures: n, resumed: false });
    assert.ok(ms >= 3_000 && ms <= 30_000, `${ms} after ${n} failures`);
  }
});

test("reconnectDelay is at least 30 s after a policy violation", () => {
  for (const random of [0, 0.5, 0.999]) {
    assert.ok(reconnectDelay({ code: 1008, failures: 0, resumed: true, random }) >= 30_000);
  }
});

test("reconnectDelay retries bad parameters only without the cursor", () => {
  assert.equal(reconnectDelay({ code: 4400, failures: 0, resumed: true }), 3_000);
  assert.equal(reconnectDelay({ code: 4400, failures: 0, resumed: false }), null);
});

test("broadcastUrl keeps prefix, token and session of the page", () => {
  assert.equal(broadcastUrl("http://127.0.0.1:8000/", null), "ws://127.0.0.1:8000/ws/broadcasts");
  assert.equal(
    broadcastUrl("https://hub.example/user/ada/htmlgraph/?token=t%26x&session=s&other=1#top", "e1:9"),
    "wss://hub.example/user/ada/htmlgraph/ws/broadcasts?token=t%26x&session=s&since=e1%3A9",
  );
});

test("windowTitle counts agents that wait, cannot work or are active", () => {
  const counts = { total: 9, waiting: 2, cannot_work: 1, done: 0, active: 5, idle: 1, offline: 0, tokens: 0, cost: null, unpriced: 0 };
  assert.equal(windowTitle(counts, true), "2 waiting · 1 cannot work · 5 active — htmlgraph-nb");
  assert.equal(windowTitle({ ...counts, waiting: 0, cannot_work: 0, active: 0 }, true), "htmlgraph-nb");
  assert.equal(windowTitle(counts, false), "Not connected — htmlgraph-nb");
});

test("connection is connected after the state and resumes from the cursor", (t) => {
  const { store, sockets, last } = open(t);
  assert.equal(store.connection.state, "connecting");
  last().deliver(STATE);
  assert.equal(store.connection.state, "connected");
  pass(1_000);
  last().drop(1001, "server shutting down");
  assert.deepEqual(
    [store.connection.state, store.connection.detail, store.connection.staleSince, store.connection.retryAt],
    ["reconnecting", "server shutting down", 1_000_000, 1_004_000],
  );
  pass(2_999);
  assert.equal(sockets.length, 1);
  pass(1);
  assert.equal(sockets.length, 2);
  assert.equal(last().url.searchParams.get("since"), "e1:4");
  last().deliver({ ...STATE, full: false, agents: [] });
  assert.equal(store.connection.state, "connected");
  assert.equal(store.agents.size, 1);
});

test("connection backs off while attempts fail and resets after success", (t) => {
  const { sockets, last } = open(t);
  for (const delay of [3_000, 6_000, 12_000]) {
    last().drop(1006, "lost");
    const before = sockets.length;
    pass(delay - 1);
    assert.equal(sockets.length, before);
    pass(1);
    assert.equal(sockets.length, before + 1);
  }
  last().deliver(STATE);
  last().drop(1006, "lost");
  const before = sockets.length;
  pass(3_000);
  assert.equal(sockets.length, before + 1);
});

test("connection retries at once when online, but not before a refusal expires", (t) => {
  const { store, win, sockets, last } = open(t);
  last().drop(1006, "lost");
  win.dispatchEvent(new Event("online"));
  assert.equal(sockets.length, 2);
  last().drop(1008, "10 clients are connected");
  assert.equal(store.connection.detail, "refused by the server: 10 clients are connected");
  win.dispatchEvent(new Event("online"));
  pass(29_999);
  assert.equal(sockets.length, 2);
  pass(1);
  assert.equal(sockets.length, 3);
});

test("connection drops a refused cursor and stops on refused parameters", (t) => {
  const { store, sockets, last } = open(t);
  last().deliver(STATE);
  last().drop(1001);
  pass(3_000);
  last().drop(4400, "bad cursor");
  pass(6_000);
  assert.equal(sockets.length, 3);
  assert.equal(last().url.searchParams.has("since"), false);
  last().drop(4400, "bad session");
  mock.timers.tick(600_000);
  assert.equal(sockets.length, 3);
  assert.equal(store.connection.state, "ended");
});

test("connection pings every 20 s and stays open with a response", (t) => {
  const { sockets, last } = open(t);
  last().deliver(STATE);
  for (let n = 1; n <= 4; n += 1) {
    pass(20_000);
    assert.equal(last().sent.length, n);
    last().deliver({ type: "pong" });
  }
  assert.deepEqual(new Set(last().sent), new Set(["ping"]));
  assert.equal(sockets.length, 1);
});

test("connection closes after 45 s without a message", (t) => {
  const { store, sockets, last } = open(t);
  last().deliver(STATE);
  const first = last();
  pass(45_000);
  assert.equal(first.closed, false);
  pass(1_000);
  assert.equal(first.closed, true);
  assert.equal(store.connection.detail, "no response from the server");
  pass(3_000);
  assert.equal(sockets.length, 2);
});

test("connection detects a dead socket within seconds after waking up", (t) => {
  const { win, last } = open(t);
  last().deliver(STATE);
  const first = last();
  win.document.dispatchEvent(new Event("visibilitychange"));
  assert.deepEqual(first.sent, ["ping"]);
  pass(7_000);
  assert.equal(first.closed, true);
});

test("connection ignores messages that are not JSON", (t) => {
  const { store, last } = open(t);
  last().deliver(STATE);
  last().deliver("{");
  assert.equal(store.connection.state, "connected");
  assert.equal(store.agents.size, 1);
});

test("connection requests the reason of a close over HTTP", async (t) => {
  const { store, last } = open(t, "http://127.0.0.1:8000/?token=wrong");
  globalThis.fetch.mock.mockImplementation(async () => new Response(
    JSON.stringify({ error: { code: "forbidden", message: "the token is not the server's", field: null } }),
    { status: 403 },
  ));
  last().drop(1006);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.equal(store.connection.detail, "refused by the server: the token is not the server's");
  const [url, { headers }] = globalThis.fetch.mock.calls[0].arguments;
  assert.equal(String(url), "http://127.0.0.1:8000/api/status");
  assert.equal(headers.Authorization, "Bearer wrong");
});

test("connection closes on pagehide and reopens on pageshow", (t) => {
  const { win, sockets, last } = open(t);
  last().deliver(STATE);
  win.dispatchEvent(new Event("pagehide"));
  assert.equal(sockets[0].closed, true);
  win.dispatchEvent(new Event("pageshow"));
  assert.equal(sockets.length, 2);
  assert.equal(last().url.searchParams.get("since"), "e1:4");
});

test("connection passes the server's report about itself to the store", (t) => {
  const { store, last } = open(t);
  last().deliver(STATE);
  last().deliver({ type: "server_info", backfill: null, quotas: [{ account: "codex", window: "5h", used_percent: 12 }] });
  assert.deepEqual(store.serverInfo.quotas.map(({ account, used }) => [account, used]), [["codex", 12]]);
});

test("markViewed posts the agent's id and does not fail", async (t) => {
  const { markViewed } = await import("../../../server/htmlgraph_server/static/api.js");
  const calls = mock.method(globalThis, "fetch", async () => new Response('{"success": true}'));
  t.after(() => mock.restoreAll());
  await markViewed("http://127.0.0.1:8000/?token=t", "claude#1/x");
  const [url, { method, headers }] = calls.mock.calls[0].arguments;
  assert.equal(String(url), "http://127.0.0.1:8000/api/presence/claude%231%2Fx/viewed");
  assert.deepEqual([method, headers.Authorization], ["POST", "Bearer t"]);
  calls.mock.mockImplementation(async () => { throw new TypeError("no network"); });
  await markViewed("http://127.0.0.1:8000/", "claude-1");
});
