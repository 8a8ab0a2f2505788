// The store: messages of server and kernel; no socket, no document, no clock.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  createMirror, createStore, describeConnection, applyMessage,
} from "../../../htmlgraph_nb/static/grid/host/index.js";
import { compileFilter } from "../../../htmlgraph_nb/static/grid/model/filter.js";

const presence = (id, more = {}) => ({
  agent_id: id,
  status: "active",
  current_feature_id: null,
  last_tool_name: "Bash",
  last_activity: "2025-01-14T14:50:30.123456Z",
  total_tools_executed: 1,
  total_cost_tokens: 10,
  session_id: "s-1",
  ...more,
});
const update = (id, seq, more = {}) => ({
  type: "presence_update", event_type: "presence_update", agent_id: id,
  presence: presence(id, more), timestamp: "2025-01-14T14:50:31Z", seq,
});
const removal = (id, seq) => ({ type: "presence_removed", agent_id: id, seq });
const state = (seq, agents, more = {}) => ({
  type: "presence_state", epoch: "e1", seq, full: true, part: 1, parts: 1, agents, removed: [], ...more,
});
const numbered = (id, seq, more = {}) => presence(id, { seq, ...more });
const rosterOf = (...messages) => {
  const roster = createMirror();
  for (const message of messages) applyMessage(roster, message);
  return roster;
};
const ids = (roster) => [...roster.agents.keys()].sort();
const clockAt = (at) => {
  const clock = { at, now: () => clock.at };
  return clock;
};

test("full state replaces the agents, an update changes one", () => {
  const roster = rosterOf(state(5, [numbered("a", 4), numbered("b", 5)]));
  const changed = applyMessage(roster, update("a", 6, { total_tools_executed: 2 }));
  assert.deepEqual([...changed], ["a"]);
  assert.deepEqual(ids(roster), ["a", "b"]);
  assert.equal(roster.agents.get("a").tools, 2);
  assert.equal(roster.seq, 6);
});

test("full state removes missing agents with its last part only", () => {
  const roster = rosterOf(state(3, [numbered("a", 1), numbered("b", 2), numbered("c", 3)]));
  applyMessage(roster, state(9, [numbered("a", 8)], { part: 1, parts: 2 }));
  assert.deepEqual(ids(roster), ["a", "b", "c"]);
  const changed = applyMessage(roster, state(9, [numbered("b", 9)], { part: 2, parts: 2 }));
  assert.deepEqual(ids(roster), ["a", "b"]);
  assert.ok(changed.has("c"));
});

test("full state keeps an agent added between its parts", () => {
  const roster = rosterOf(
    state(3, [numbered("a", 3)], { part: 1, parts: 2 }),
    update("new", 4),
    state(3, [], { part: 2, parts: 2 }),
  );
  assert.deepEqual(ids(roster), ["a", "new"]);
  assert.equal(roster.seq, 4);
});

test("cursor does not move until a state is complete", () => {
  const store = createStore({ now: () => 0 });
  assert.equal(store.cursor, null);
  store.receive(state(7, [numbered("a", 7)], { part: 1, parts: 2 }));
  store.receive(update("a", 8));
  assert.equal(store.cursor, null);
  store.receive(state(7, [], { part: 2, parts: 2 }));
  assert.equal(store.cursor, "e1:8");
});

test("new state discards the parts of an incomplete one", () => {
  const roster = rosterOf(
    state(3, [numbered("old", 3)], { part: 1, parts: 2 }),
    state(5, [numbered("a", 5)], { part: 1, parts: 2 }),
    state(5, [numbered("b", 4)], { part: 2, parts: 2 }),
  );
  assert.deepEqual(ids(roster), ["a", "b"]);
});

test("partial state changes and removes only the agents it lists", () => {
  const roster = rosterOf(
    state(3, [numbered("a", 1), numbered("b", 2), numbered("c", 3)]),
    state(6, [numbered("b", 5, { status: "idle" })], { full: false, removed: ["c"] }),
  );
  assert.deepEqual(ids(roster), ["a", "b"]);
  assert.equal(roster.agents.get("b").status, "idle");
  assert.equal(roster.seq, 6);
});

test("update with an older seq changes nothing", () => {
  const roster = rosterOf(state(5, [numbered("a", 5, { last_tool_name: "Read" })]));
  for (const seq of [4, 5]) {
    assert.equal(applyMessage(roster, update("a", seq, { last_tool_name: "Old" })).size, 0);
  }
  assert.equal(roster.agents.get("a").tool, "Read");
});

test("update order is checked per agent", () => {
  const roster = rosterOf(state(5, [numbered("a", 5), numbered("b", 2)]), update("b", 4));
  assert.equal(roster.agents.get("b").seq, 4);
});

test("removed agent returns only with a newer update", () => {
  const roster = rosterOf(state(2, [numbered("a", 2)]), removal("a", 5), update("a", 4));
  assert.deepEqual(ids(roster), []);
  applyMessage(roster, update("a", 6));
  assert.deepEqual(ids(roster), ["a"]);
});

test("late removal keeps a newer agent", () => {
  const roster = rosterOf(state(2, []), update("a", 5), removal("a", 4));
  assert.deepEqual(ids(roster), ["a"]);
});

test("new epoch discards all agents and sequence numbers", () => {
  const roster = rosterOf(
    state(900, [numbered("a", 900), numbered("b", 899)]),
    state(2, [numbered("a", 1, { last_tool_name: "New" })], { epoch: "e2" }),
  );
  assert.deepEqual(ids(roster), ["a"]);
  assert.equal(roster.agents.get("a").tool, "New");
  assert.equal(roster.seq, 2);
  assert.equal(roster.epoch, "e2");
});

test("older full state replaces the copy after a database was restored", () => {
  const roster = rosterOf(
    state(900, [numbered("a", 900), numbered("b", 899)]),
    state(50, [numbered("a", 50, { last_tool_name: "Earlier" })]),
  );
  assert.deepEqual(ids(roster), ["a"]);
  assert.equal(roster.agents.get("a").tool, "Earlier");
  assert.equal(roster.seq, 50);
});

test("messages without seq are applied in order", () => {
  const roster = rosterOf(update("a", undefined), update("a", undefined, { status: "idle" }));
  assert.equal(roster.agents.get("a").status, "idle");
  assert.equal(roster.seq, null);
});

test("applying a stream twice equals applying it once", () => {
  const stream = [
    state(3, [numbered("a", 1), numbered("b", 3)]), update("c", 4), removal("b", 5),
    update("a", 6, { status: "offline" }), state(8, [numbered("d", 8)], { full: false, removed: ["c"] }),
  ];
  const once = rosterOf(...stream);
  const twice = rosterOf(...stream.flatMap((message) => [message, message]));
  assert.deepEqual([...twice.agents], [...once.agents]);
  assert.equal(twice.seq, once.seq);
});

test("invalid messages change nothing and do not throw", () => {
  const store = createStore({ now: () => 0 });
  store.receive(state(1, [numbered("a", 1)]));
  const garbage = [
    null, undefined, 7, "ping", [], {}, { type: 3 }, { type: "presence_update" },
    { type: "presence_update", agent_id: "a", presence: null, seq: 9 },
    { type: "presence_update", presence: { agent_id: 5 }, seq: 9 },
    { type: "presence_update", presence: [], seq: 9 },
    { type: "presence_removed", seq: 9 }, { type: "presence_removed", agent_id: {}, seq: 9 },
    { type: "presence_state", epoch: "e1", seq: 1, full: false, agents: "x", removed: [null, 4] },
    { type: "presence_state", epoch: "e1", seq: 1, full: false, agents: [null, 3, {}, { agent_id: "" }] },
    { type: "broadcast_event", event_type: "feature_updated" }, { type: "pong" }, { type: "error" },
  ];
  for (const message of garbage) {
    store.receive(message);
    store.receiveFromKernel(message);
    store.receiveFromKernel({ kind: "batch", n: 1, messages: message, connection: message });
    store.receiveFromKernel({ kind: "batch", n: 1, messages: [message] });
    if (!message?.agents) store.restore(message);
    store.setConnection(message);
  }
  assert.deepEqual([...store.agents.keys()], ["a"]);
});

test("fields of a wrong type become empty", () => {
  const roster = rosterOf(update("a", 1, {
    status: "dancing", total_tools_executed: "12", total_cost_tokens: NaN, cost_usd: "3",
    last_tool_name: { x: 1 }, attention: "yes", reason: 7,
  }));
  const agent = roster.agents.get("a");
  assert.deepEqual(
    [agent.status, agent.tools, agent.tokens, agent.cost, agent.tool, agent.attention, agent.reason],
    ["unknown", 0, 0, null, "", false, ""],
  );
});

test("ids such as __proto__ are ordinary ids", () => {
  const roster = rosterOf(JSON.parse(JSON.stringify(update("__proto__", 1))));
  assert.deepEqual(ids(roster), ["__proto__"]);
  assert.equal({}.status, undefined);
});

test("listeners receive changed ids and no repetitions", () => {
  const store = createStore({ now: () => 0 });
  const notified = [];
  const stop = store.subscribe((changed) => notified.push([...changed]));
  store.receive(state(2, [numbered("a", 1), numbered("b", 2)]));
  store.receive(update("a", 1));
  store.receive(update("b", 3));
  assert.deepEqual(notified, [["a", "b"]]);
  store.receive(update("b", 4, { status: "idle" }));
  stop();
  store.receive(update("b", 5));
  assert.deepEqual(notified, [["a", "b"], ["b"]]);
});

test("kernel batch applies messages and connection with one notification", () => {
  const store = createStore({ now: () => 0 });
  const notified = [];
  store.subscribe((changed) => notified.push([...changed]));
  store.receiveFromKernel({
    kind: "batch", n: 1, messages: [update("a", 1), update("b", 2)],
    connection: { state: "connected", staleSince: null, detail: "" },
  });
  assert.deepEqual(notified, [["a", "b"]]);
  assert.equal(store.connection.state, "connected");
});

test("missing batch is reported until the next snapshot replaces everything", () => {
  const store = createStore({ now: () => 0 });
  store.receiveFromKernel({ kind: "batch", n: 1, messages: [update("a", 1), update("b", 2)] });
  assert.equal(store.incomplete, false);
  store.receiveFromKernel({ kind: "batch", n: 3, messages: [update("a", 9)] });
  assert.equal(store.incomplete, true);
  store.receiveFromKernel({
    kind: "snapshot", n: 4,
    state: { epoch: "e1", seq: 8, agents: [numbered("a", 7, { status: "idle" })], at: "2025-01-14T14:50:30Z" },
  });
  assert.equal(store.incomplete, false);
  assert.deepEqual([...store.agents.keys()], ["a"]);
  assert.equal(store.agents.get("a").status, "idle");
  assert.equal(store.cursor, "e1:8");
  store.receiveFromKernel({ kind: "batch", n: 5, messages: [update("a", 9)] });
  assert.equal(store.incomplete, false);
});

test("snapshot equal to the state changes nothing", () => {
  const store = createStore({ now: () => 0 });
  const snapshot = { kind: "snapshot", n: 1, state: { epoch: "e", seq: 1, agents: [numbered("a", 1)] } };
  store.receiveFromKernel(snapshot);
  const notified = [];
  store.subscribe((changed) => notified.push(...changed));
  store.receiveFromKernel({ ...snapshot, n: 2 });
  assert.deepEqual(notified, []);
});

test("saved state is shown but does not count as a message", () => {
  const clock = clockAt(Date.parse("2025-01-14T15:00:00Z"));
  const store = createStore({ now: clock.now });
  store.restore({
    epoch: "e", seq: 1, agents: [numbered("a", 1)], at: "2025-01-14T14:50:00Z",
    connection: { state: "connected", staleSince: null, detail: "" },
  });
  assert.deepEqual([...store.agents.keys()], ["a"]);
  assert.deepEqual(describeConnection(store, clock.at, 15_000), {
    state: "connecting", text: "Waiting for the kernel…", detail: "last update 10m ago", stale: true,
  });
  store.receiveFromKernel({ kind: "batch", n: 12, messages: [] });
  assert.deepEqual(describeConnection(store, clock.at, 15_000), {
    state: "connected", text: "Connected", detail: "", stale: false,
  });
  assert.equal(store.incomplete, false);
});

test("empty trait is not a saved state", () => {
  const store = createStore({ now: () => 0 });
  store.restore({});
  assert.equal(store.agents.size, 0);
  assert.equal(store.connection.state, "connecting");
});

test("connection text shows how long the kernel is silent until a batch arrives", () => {
  const clock = clockAt(1_000_000);
  const store = createStore({ now: clock.now });
  const beat = (n) => store.receiveFromKernel({ kind: "batch", n, messages: [], connection: { state: "connected" } });
  beat(1);
  clock.at += 15_000;
  assert.equal(describeConnection(store, clock.at, 15_000).state, "connected");
  clock.at += 2_000;
  const said = describeConnection(store, clock.at, 15_000);
  assert.equal(said.text, "No message from the kernel for 17s");
  assert.equal(said.stale, true);
  beat(2);
  assert.equal(describeConnection(store, clock.at, 15_000).stale, false);
});

test("closed state takes precedence over silence", () => {
  const store = createStore({ now: () => 0 });
  store.setConnection({ state: "ended", detail: "the grid was closed" });
  const said = describeConnection(store, 3_600_000, 15_000);
  assert.deepEqual([said.state, said.text, said.detail], ["ended", "Ended", "the grid was closed"]);
});

test("lost connection shows reason, next attempt and data age", () => {
  const store = createStore({ now: () => 0 });
  store.setConnection({
    state: "reconnecting", detail: "server shutting down", staleSince: 60_000, retryAt: 75_000,
  });
  assert.deepEqual(describeConnection(store, 72_500), {
    state: "reconnecting", text: "Reconnecting…", stale: true,
    detail: "server shutting down · next try in 3s · last update 12s ago",
  });
});

test("connection text names the server once", () => {
  const store = createStore({ now: () => 0 });
  store.setConnection({ state: "connected", detail: "connected to http://127.0.0.1:8000" });
  const { text, detail, stale } = describeConnection(store, 0);
  assert.deepEqual([text, detail, stale], ["Connected", "to http://127.0.0.1:8000", false]);
});

test("clock offset to the server is corrected", () => {
  const clock = clockAt(Date.parse("2025-01-14T15:00:00Z"));
  const store = createStore({ now: clock.now });
  store.receive(state(1, [], { timestamp: "2025-01-14T15:00:01Z" }));
  assert.equal(store.clockOffset, 0);
  store.receive(state(2, [], { timestamp: "2025-01-14T14:58:00Z" }));
  assert.equal(store.clockOffset, -120_000);
});

test("kept removals are bounded", () => {
  const roster = rosterOf(state(1, []));
  for (let seq = 2; seq < 10_100; seq += 1) applyMessage(roster, removal(`agent-${seq}`, seq));
  assert.equal(roster.removed.size, 10_000);
  assert.ok(roster.removed.has("agent-10099"));
});

test("projects of the same name are called differently while there are two", () => {
  const at = (cwd) => ({ project: "api", branch: "main", cwd });
  const roster = rosterOf(state(1, [numbered("a", 1, at("/home/u/acme/api"))]));
  const projects = () => [...roster.agents.values()].map((agent) => agent.project);
  assert.deepEqual(projects(), ["api"]);
  const changed = applyMessage(roster, update("b", 2, at("/home/u/beta/api")));
  assert.deepEqual([...changed].sort(), ["a", "b"]);
  assert.deepEqual(projects(), ["acme/api", "beta/api"]);
  assert.equal(roster.agents.get("a").name, "acme/api · main");
  const selected = (project) => [...roster.agents.values()].filter(compileFilter({ project })).map((agent) => agent.id);
  assert.deepEqual(
    [["api"], ["acme/api"], ["~/beta/api"], ["me/api"]].map(selected), [["a", "b"], ["a"], ["b"], []]);
  assert.deepEqual([...applyMessage(roster, update("a", 3, { ...at("/home/u/acme/api"), title: "T" }))], ["a"]);
  assert.deepEqual(projects(), ["acme/api", "beta/api"]);
  assert.deepEqual([...applyMessage(roster, removal("b", 4))].sort(), ["a", "b"]);
  assert.deepEqual(projects(), ["api"]);
  applyMessage(roster, state(9, [numbered("c", 9, at("/home/u/x/api"))], { epoch: "e2" }));
  assert.deepEqual(projects(), ["api"]);
});
