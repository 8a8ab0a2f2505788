// The store: folding the server's and the kernel's messages. No socket, no document, no clock.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  createRoster, createStore, describeConnection, foldMessage,
} from "../../htmlgraph_nb/static/grid/host/index.js";

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
  const roster = createRoster();
  for (const message of messages) foldMessage(roster, message);
  return roster;
};
const ids = (roster) => [...roster.agents.keys()].sort();
const clockAt = (at) => {
  const clock = { at, now: () => clock.at };
  return clock;
};

test("a full state fills the roster and an update changes one agent of it", () => {
  const roster = rosterOf(state(5, [numbered("a", 4), numbered("b", 5)]));
  const changed = foldMessage(roster, update("a", 6, { total_tools_executed: 2 }));
  assert.deepEqual([...changed], ["a"]);
  assert.deepEqual(ids(roster), ["a", "b"]);
  assert.equal(roster.agents.get("a").tools, 2);
  assert.equal(roster.seq, 6);
});

test("agents that no part of a full state names are gone only with its last part", () => {
  const roster = rosterOf(state(3, [numbered("a", 1), numbered("b", 2), numbered("c", 3)]));
  foldMessage(roster, state(9, [numbered("a", 8)], { part: 1, parts: 2 }));
  assert.deepEqual(ids(roster), ["a", "b", "c"]);
  const changed = foldMessage(roster, state(9, [numbered("b", 9)], { part: 2, parts: 2 }));
  assert.deepEqual(ids(roster), ["a", "b"]);
  assert.ok(changed.has("c"));
});

test("an agent that came between the parts of a full state stays", () => {
  const roster = rosterOf(
    state(3, [numbered("a", 3)], { part: 1, parts: 2 }),
    update("new", 4),
    state(3, [], { part: 2, parts: 2 }),
  );
  assert.deepEqual(ids(roster), ["a", "new"]);
  assert.equal(roster.seq, 4);
});

test("the cursor stands still until a state is whole", () => {
  const store = createStore({ now: () => 0 });
  assert.equal(store.cursor, null);
  store.receive(state(7, [numbered("a", 7)], { part: 1, parts: 2 }));
  store.receive(update("a", 8));
  assert.equal(store.cursor, null);
  store.receive(state(7, [], { part: 2, parts: 2 }));
  assert.equal(store.cursor, "e1:8");
});

test("a state that starts anew forgets the parts of the one that was cut off", () => {
  const roster = rosterOf(
    state(3, [numbered("old", 3)], { part: 1, parts: 2 }),
    state(5, [numbered("a", 5)], { part: 1, parts: 2 }),
    state(5, [numbered("b", 4)], { part: 2, parts: 2 }),
  );
  assert.deepEqual(ids(roster), ["a", "b"]);
});

test("a state of changes leaves the others alone and removes who is named as removed", () => {
  const roster = rosterOf(
    state(3, [numbered("a", 1), numbered("b", 2), numbered("c", 3)]),
    state(6, [numbered("b", 5, { status: "idle" })], { full: false, removed: ["c"] }),
  );
  assert.deepEqual(ids(roster), ["a", "b"]);
  assert.equal(roster.agents.get("b").status, "idle");
  assert.equal(roster.seq, 6);
});

test("an update that is not newer than what is known changes nothing", () => {
  const roster = rosterOf(state(5, [numbered("a", 5, { last_tool_name: "Read" })]));
  for (const seq of [4, 5]) {
    assert.equal(foldMessage(roster, update("a", seq, { last_tool_name: "Old" })).size, 0);
  }
  assert.equal(roster.agents.get("a").tool, "Read");
});

test("the rule of numbers is each agent's own", () => {
  const roster = rosterOf(state(5, [numbered("a", 5), numbered("b", 2)]), update("b", 4));
  assert.equal(roster.agents.get("b").seq, 4);
});

test("a late update does not bring a removed agent back, a newer one does", () => {
  const roster = rosterOf(state(2, [numbered("a", 2)]), removal("a", 5), update("a", 4));
  assert.deepEqual(ids(roster), []);
  foldMessage(roster, update("a", 6));
  assert.deepEqual(ids(roster), ["a"]);
});

test("a late removal does not take away a newer agent", () => {
  const roster = rosterOf(state(2, []), update("a", 5), removal("a", 4));
  assert.deepEqual(ids(roster), ["a"]);
});

test("another epoch drops everything first, numbers included", () => {
  const roster = rosterOf(
    state(900, [numbered("a", 900), numbered("b", 899)]),
    state(2, [numbered("a", 1, { last_tool_name: "New" })], { epoch: "e2" }),
  );
  assert.deepEqual(ids(roster), ["a"]);
  assert.equal(roster.agents.get("a").tool, "New");
  assert.equal(roster.seq, 2);
  assert.equal(roster.epoch, "e2");
});

test("a full state behind the copy is the truth of a database that was set back", () => {
  const roster = rosterOf(
    state(900, [numbered("a", 900), numbered("b", 899)]),
    state(50, [numbered("a", 50, { last_tool_name: "Earlier" })]),
  );
  assert.deepEqual(ids(roster), ["a"]);
  assert.equal(roster.agents.get("a").tool, "Earlier");
  assert.equal(roster.seq, 50);
});

test("messages without numbers are taken as they come", () => {
  const roster = rosterOf(update("a", undefined), update("a", undefined, { status: "idle" }));
  assert.equal(roster.agents.get("a").status, "idle");
  assert.equal(roster.seq, null);
});

test("folding a stream twice gives the same roster as folding it once", () => {
  const stream = [
    state(3, [numbered("a", 1), numbered("b", 3)]), update("c", 4), removal("b", 5),
    update("a", 6, { status: "offline" }), state(8, [numbered("d", 8)], { full: false, removed: ["c"] }),
  ];
  const once = rosterOf(...stream);
  const twice = rosterOf(...stream.flatMap((message) => [message, message]));
  assert.deepEqual([...twice.agents], [...once.agents]);
  assert.equal(twice.seq, once.seq);
});

test("garbage changes nothing and throws nothing", () => {
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
    store.receiveKernel(message);
    store.receiveKernel({ kind: "batch", n: 1, messages: message, connection: message });
    store.receiveKernel({ kind: "batch", n: 1, messages: [message] });
    if (!message?.agents) store.restore(message);
    store.setConnection(message);
  }
  assert.deepEqual([...store.agents.keys()], ["a"]);
});

test("fields of a wrong type become their empty value", () => {
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

test("ids such as __proto__ are ids like others", () => {
  const roster = rosterOf(JSON.parse(JSON.stringify(update("__proto__", 1))));
  assert.deepEqual(ids(roster), ["__proto__"]);
  assert.equal({}.status, undefined);
});

test("listeners hear the changed ids, and nothing of a repetition", () => {
  const store = createStore({ now: () => 0 });
  const heard = [];
  const stop = store.subscribe((changed) => heard.push([...changed]));
  store.receive(state(2, [numbered("a", 1), numbered("b", 2)]));
  store.receive(update("a", 1));
  store.receive(update("b", 3));
  assert.deepEqual(heard, [["a", "b"]]);
  store.receive(update("b", 4, { status: "idle" }));
  stop();
  store.receive(update("b", 5));
  assert.deepEqual(heard, [["a", "b"], ["b"]]);
});

test("a batch of the kernel is folded and its connection taken over, with one call of a listener", () => {
  const store = createStore({ now: () => 0 });
  const heard = [];
  store.subscribe((changed) => heard.push([...changed]));
  store.receiveKernel({
    kind: "batch", n: 1, messages: [update("a", 1), update("b", 2)],
    connection: { state: "connected", staleSince: null, detail: "" },
  });
  assert.deepEqual(heard, [["a", "b"]]);
  assert.equal(store.connection.state, "connected");
});

test("a missing batch is noted until the next snapshot, which replaces everything", () => {
  const store = createStore({ now: () => 0 });
  store.receiveKernel({ kind: "batch", n: 1, messages: [update("a", 1), update("b", 2)] });
  assert.equal(store.incomplete, false);
  store.receiveKernel({ kind: "batch", n: 3, messages: [update("a", 9)] });
  assert.equal(store.incomplete, true);
  store.receiveKernel({
    kind: "snapshot", n: 4,
    state: { epoch: "e1", seq: 8, agents: [numbered("a", 7, { status: "idle" })], at: "2025-01-14T14:50:30Z" },
  });
  assert.equal(store.incomplete, false);
  assert.deepEqual([...store.agents.keys()], ["a"]);
  assert.equal(store.agents.get("a").status, "idle");
  assert.equal(store.cursor, "e1:8");
  store.receiveKernel({ kind: "batch", n: 5, messages: [update("a", 9)] });
  assert.equal(store.incomplete, false);
});

test("a snapshot that repeats what is known changes nothing", () => {
  const store = createStore({ now: () => 0 });
  const snapshot = { kind: "snapshot", n: 1, state: { epoch: "e", seq: 1, agents: [numbered("a", 1)] } };
  store.receiveKernel(snapshot);
  const heard = [];
  store.subscribe((changed) => heard.push(...changed));
  store.receiveKernel({ ...snapshot, n: 2 });
  assert.deepEqual(heard, []);
});

test("a saved state is shown, but is no news", () => {
  const clock = clockAt(Date.parse("2025-01-14T15:00:00Z"));
  const store = createStore({ now: clock.now });
  store.restore({
    epoch: "e", seq: 1, agents: [numbered("a", 1)], at: "2025-01-14T14:50:00Z",
    connection: { state: "connected", staleSince: null, detail: "" },
  });
  assert.deepEqual([...store.agents.keys()], ["a"]);
  assert.deepEqual(describeConnection(store, clock.at, 15_000), {
    state: "connecting", text: "Waiting for the kernel…", detail: "last news 10m ago", stale: true,
  });
  store.receiveKernel({ kind: "batch", n: 12, messages: [] });
  assert.deepEqual(describeConnection(store, clock.at, 15_000), {
    state: "connected", text: "Connected", detail: "", stale: false,
  });
  assert.equal(store.incomplete, false);
});

test("an empty trait is no saved state", () => {
  const store = createStore({ now: () => 0 });
  store.restore({});
  assert.equal(store.agents.size, 0);
  assert.equal(store.connection.state, "connecting");
});

test("silence of the kernel is told with its length, an empty batch ends it", () => {
  const clock = clockAt(1_000_000);
  const store = createStore({ now: clock.now });
  const beat = (n) => store.receiveKernel({ kind: "batch", n, messages: [], connection: { state: "connected" } });
  beat(1);
  clock.at += 15_000;
  assert.equal(describeConnection(store, clock.at, 15_000).state, "connected");
  clock.at += 2_000;
  const said = describeConnection(store, clock.at, 15_000);
  assert.equal(said.text, "No news from the kernel for 17s");
  assert.equal(said.stale, true);
  beat(2);
  assert.equal(describeConnection(store, clock.at, 15_000).stale, false);
});

test("a closed grid is closed, however long the kernel is silent", () => {
  const store = createStore({ now: () => 0 });
  store.setConnection({ state: "ended", detail: "the grid was closed" });
  const said = describeConnection(store, 3_600_000, 15_000);
  assert.deepEqual([said.state, said.text, said.detail], ["ended", "Ended", "the grid was closed"]);
});

test("a lost connection is told with its reason, the next try and the age of what is shown", () => {
  const store = createStore({ now: () => 0 });
  store.setConnection({
    state: "reconnecting", detail: "the server stops", staleSince: 60_000, retryAt: 75_000,
  });
  assert.deepEqual(describeConnection(store, 72_500), {
    state: "reconnecting", text: "Reconnecting…", stale: true,
    detail: "the server stops · next try in 3s · last news 12s ago",
  });
});

test("where it is connected to is said once", () => {
  const store = createStore({ now: () => 0 });
  store.setConnection({ state: "connected", detail: "connected to http://127.0.0.1:8000" });
  const { text, detail, stale } = describeConnection(store, 0);
  assert.deepEqual([text, detail, stale], ["Connected", "to http://127.0.0.1:8000", false]);
});

test("a clock that differs from the server's is noticed and corrected", () => {
  const clock = clockAt(Date.parse("2025-01-14T15:00:00Z"));
  const store = createStore({ now: clock.now });
  store.receive(state(1, [], { timestamp: "2025-01-14T15:00:01Z" }));
  assert.equal(store.clockOffset, 0);
  store.receive(state(2, [], { timestamp: "2025-01-14T14:58:00Z" }));
  assert.equal(store.clockOffset, -120_000);
});

test("removals of agents that are long gone do not pile up", () => {
  const roster = rosterOf(state(1, []));
  for (let seq = 2; seq < 10_100; seq += 1) foldMessage(roster, removal(`agent-${seq}`, seq));
  assert.equal(roster.removed.size, 10_000);
  assert.ok(roster.removed.has("agent-10099"));
});
