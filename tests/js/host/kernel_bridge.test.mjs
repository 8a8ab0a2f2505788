// Settings, stored events and replay between grid and kernel; the host's model is a double.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createHistoryLoader, createReplayControl, sendViewed, settingsOf, syncSettings } from "../../../htmlgraph_nb/static/grid/host/kernel_bridge.js";
import { createSettings } from "../../../htmlgraph_nb/static/grid/model/settings.js";

const at = (second) => new Date(Date.UTC(2026, 0, 5, 12, 0, second)).toISOString();

/** Double of the host's model. */
function modelOf(traits) {
  const calls = new Map();
  return {
    traits, sent: [], saved: 0, calls,
    get(name) { return traits[name]; },
    set(name, value) { traits[name] = value; },
    save_changes() { this.saved += 1; },
    send(content) { this.sent.push(content); },
    on(event, callback) { calls.set(event, callback); },
    off(event, callback) { if (calls.get(event) === callback) calls.delete(event); },
    change(name, value) {
      traits[name] = value;
      calls.get(`change:${name}`)?.();
    },
  };
}

test("syncSettings keeps settings and traits in sync without echo", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const model = modelOf({ view: "table", group_by: "model", filter: { status: ["idle"] }, sort: "-tokens", columns: null, selected: null });
  const settings = createSettings(settingsOf(model));
  assert.deepEqual([settings.get().view, settings.get().groupBy, settings.get().sort], ["table", "model", "-tokens"]);
  const stop = syncSettings(model, settings);
  settings.set({ selected: "claude-1", groupBy: null });
  t.mock.timers.tick(1_000);
  assert.deepEqual([model.traits.selected, model.traits.group_by, model.saved], ["claude-1", null, 1]);
  model.change("view", "compact");
  assert.equal(settings.get().view, "compact");
  t.mock.timers.tick(1_000);
  assert.equal(model.saved, 1);
  stop();
  model.change("view", "cards");
  assert.equal(settings.get().view, "compact");
  assert.equal(model.calls.size, 0);
});

test("createHistoryLoader matches responses to requests", async () => {
  const model = modelOf({});
  const history = createHistoryLoader(model);
  const first = history.load("a", { limit: 50 });
  const second = history.load("b", { limit: 50 });
  const third = history.load("c", { limit: 50 });
  assert.deepEqual(model.sent[0], { kind: "history", request: 1, agent_id: "a", limit: 50 });
  history.receive({ kind: "history", request: 2, agent_id: "b", events: [{ seq: 1 }], error: null });
  history.receive({ kind: "history", request: 1, agent_id: "a", events: [], error: "no server" });
  history.receive({ kind: "batch", n: 1 });
  assert.deepEqual(await second, [{ seq: 1 }]);
  await assert.rejects(first, /no server/);
  history.fail("the kernel restarted");
  await assert.rejects(third, /the kernel restarted/);
});

test("createReplayControl reads the trait and sends controls to the kernel", () => {
  const late = modelOf({ replay: null });
  const lateReplay = createReplayControl(late);
  assert.equal(lateReplay.get(), null);
  lateReplay.receive({ kind: "batch", n: 1, at: at(20) });
  late.change("replay", { start: at(0), end: at(50), at: at(10), playing: false, speed: 60 });
  assert.equal(lateReplay.get().speed, 60);
  const model = modelOf({ replay: { start: at(0), end: at(50), at: at(10), playing: true, speed: 60 } });
  const replay = createReplayControl(model);
  assert.equal(replay.get().at, Date.parse(at(10)));
  let shown = 0;
  const stop = replay.subscribe(() => { shown += 1; });
  replay.receive({ kind: "batch", n: 3, at: at(20) });
  assert.equal(replay.get().at, Date.parse(at(20)));
  model.change("replay", { ...model.traits.replay, playing: false, at: at(30) });
  assert.deepEqual([replay.get().playing, shown], [false, 2]);
  stop();
  replay.seek(Date.parse(at(40)));
  replay.play(true);
  replay.speed(10);
  assert.deepEqual(model.sent, [
    { kind: "replay", seek: at(40) }, { kind: "replay", play: true }, { kind: "replay", speed: 10 },
  ]);
  replay.stop();
  assert.equal(model.calls.size, 0);
});

test("sendViewed reports an agent to the kernel, if there is one", () => {
  const model = modelOf({});
  sendViewed(model, "claude-1");
  assert.deepEqual(model.sent, [{ kind: "viewed", agent_id: "claude-1" }]);
  sendViewed({ ...model, send() { throw new Error("closed"); } }, "claude-1");
});
