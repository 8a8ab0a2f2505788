// Activity counts and recent changes, alone and in the store; the clock is a number.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createActivity } from "../../../htmlgraph_nb/static/grid/model/activity.js";
import { readPresence } from "../../../htmlgraph_nb/static/grid/model/agent.js";
import { createRecentChanges } from "../../../htmlgraph_nb/static/grid/model/recent_changes.js";
import { createStore } from "../../../htmlgraph_nb/static/grid/model/store.js";

const agent = (id, more = {}) => readPresence({ agent_id: id, status: "active", ...more });
const MINUTE = 60_000;
const NOW = Date.parse("2025-01-14T14:50:30Z");

test("activity counts changes per minute and drops old ones", () => {
  const activity = createActivity();
  activity.note(undefined, agent("a"), NOW);
  activity.note(agent("a", { total_tools_executed: 2 }), agent("a", { total_tools_executed: 5, total_errors: 1 }), NOW + MINUTE);
  assert.deepEqual(activity.counts("a", NOW + MINUTE).events.slice(-3), [0, 1, 3]);
  assert.deepEqual(activity.counts("a", NOW + MINUTE).errors.slice(-2), [0, 1]);
  assert.deepEqual(activity.counts("a", NOW + 15 * MINUTE).events, [3, ...Array(14).fill(0)]);
  assert.deepEqual(activity.counts("a", NOW + 99 * MINUTE).events, Array(15).fill(0));
  assert.deepEqual(activity.counts("b", NOW).events, Array(15).fill(0));
});

test("activity counts late changes in their minute, too old ones not at all", () => {
  const activity = createActivity();
  activity.note(undefined, agent("a"), NOW);
  activity.note(undefined, agent("a"), NOW - 3 * MINUTE);
  activity.note(undefined, agent("a"), NOW - 20 * MINUTE);
  assert.deepEqual(activity.counts("a", NOW).events.slice(-4), [1, 0, 0, 1]);
});

test("activity is replaced by the server's counts", () => {
  const activity = createActivity();
  activity.note(undefined, agent("a"), NOW);
  const events = Array.from({ length: 15 }, (_, n) => n);
  activity.replace({ at: new Date(NOW).toISOString(), minutes: 15, agents: { b: { events, errors: [2] } } });
  assert.deepEqual(activity.counts("a", NOW).events, Array(15).fill(0));
  assert.deepEqual(activity.counts("b", NOW), { events, errors: [...Array(14).fill(0), 2] });
  for (const bad of [null, 3, {}, { agents: {} }, { at: "x", agents: { b: 1 } }]) activity.replace(bad);
  assert.deepEqual(activity.counts("b", NOW).events, events);
});

test("activity keeps changes after the server's cursor and counts none twice", () => {
  const activity = createActivity();
  const counted = (n, cursor) => ({
    at: new Date(NOW).toISOString(), cursor, minutes: 15, agents: { a: { events: [n], errors: [] } },
  });
  const last = () => activity.counts("a", NOW).events.at(-1);
  for (const seq of [1, 2, 3, 4]) activity.note(undefined, agent("a", { seq }), NOW);
  activity.replace(counted(3, "e:3"));
  activity.replace(counted(3, "e:3"));
  assert.equal(last(), 4);
  activity.replace(counted(5, "e:5"));
  activity.note(undefined, agent("a", { seq: 5 }), NOW);
  assert.equal(last(), 5);
  activity.note(undefined, agent("a", { seq: 6 }), NOW);
  activity.forget("a");
  activity.replace(counted(2, "e:5"));
  assert.equal(last(), 2);
  activity.replace(counted(1, "nonsense"));
  activity.note(undefined, agent("a", { seq: 1 }), NOW);
  assert.equal(last(), 2);
});

test("recent changes are newest first and bounded", () => {
  const recent = createRecentChanges();
  for (let n = 0; n < 70; n += 1) recent.note(agent("a", { total_tools_executed: n }));
  assert.deepEqual([recent.of("a").length, recent.of("a")[0].tools], [50, 69]);
  for (let n = 0; n < 1_000; n += 1) recent.note(agent(`b${n}`));
  assert.deepEqual(recent.of("a"), []);
  recent.forget("b7");
  assert.deepEqual(recent.of("b7"), []);
});

test("store counts received changes, not the initial state", () => {
  const store = createStore({ now: () => NOW });
  const presence = (tools) => ({ agent_id: "a", status: "active", total_tools_executed: tools });
  store.receive({ type: "presence_state", epoch: "e", seq: 1, full: true, agents: [presence(4)], removed: [] });
  assert.equal(store.activity.counts("a").events.at(-1), 0);
  store.receive({ type: "presence_update", agent_id: "a", presence: presence(6), seq: 2 });
  assert.equal(store.activity.counts("a").events.at(-1), 2);
  assert.deepEqual(store.recent("a").map(({ tools }) => tools), [6]);
  store.receive({ type: "presence_removed", agent_id: "a", seq: 3 });
  assert.deepEqual([store.activity.counts("a").events.at(-1), store.recent("a")], [0, []]);
});

test("store takes counts from a snapshot and the time from a replay batch", () => {
  const store = createStore({ now: () => NOW });
  const at = "2020-05-05T10:00:00Z";
  const presence = { agent_id: "a", status: "active" };
  const activity = { at, minutes: 15, agents: { a: { events: [7], errors: [] } } };
  store.receiveFromKernel({ kind: "snapshot", n: 1, state: { epoch: "e", seq: 1, agents: [presence], at, activity } });
  assert.equal(store.activity.counts("a", Date.parse(at)).events.at(-1), 7);
  const messages = [{ type: "presence_update", agent_id: "a", presence: { ...presence, status: "idle" }, seq: 2 }];
  store.receiveFromKernel({ kind: "batch", n: 2, messages, at: "2020-05-05T10:01:00Z" });
  assert.deepEqual(store.activity.counts("a", Date.parse(at) + MINUTE).events.slice(-2), [7, 1]);
});
