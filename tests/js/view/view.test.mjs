// Pure functions of the view: sparklines, event list, headers, filters, replay time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { announcementOf } from "../../../htmlgraph_nb/static/grid/view/elements/announcer.js";
import { chosenIn, filterLabel, toggleFilter } from "../../../htmlgraph_nb/static/grid/view/filter_bar.js";
import { describeSpeed, replayTime } from "../../../htmlgraph_nb/static/grid/view/replay_bar.js";
import { COLUMNS } from "../../../htmlgraph_nb/static/grid/model/settings.js";
import { sparklinePaths, SPARK_HEIGHT } from "../../../htmlgraph_nb/static/grid/view/elements/sparkline.js";
import { nextSort, TABLE_COLUMNS, tracksOf, widthOf } from "../../../htmlgraph_nb/static/grid/view/table.js";
import { entryOfEvent, eventListOf } from "../../../htmlgraph_nb/static/grid/view/event_list.js";

const zeros = () => Array.from({ length: 15 }, () => 0);
const at = (second) => new Date(Date.UTC(2026, 0, 5, 12, 0, second)).toISOString();

test("sparklinePaths draws a bar per minute with events and its errors", () => {
  const events = zeros();
  const errors = zeros();
  events[0] = 1;
  events[14] = 100;
  errors[14] = 50;
  const { done, failed, events: n, errors: nErrors } = sparklinePaths({ events, errors });
  assert.equal(done.match(/M/g).length, 2);
  assert.equal(failed.match(/M/g).length, 1);
  assert.ok(done.includes(`M70 ${SPARK_HEIGHT}v-${SPARK_HEIGHT}h`), done);
  assert.ok(failed.includes(`v-${SPARK_HEIGHT / 2}h`), failed);
  assert.deepEqual([n, nErrors], [101, 50]);
  assert.deepEqual(sparklinePaths({ events: zeros(), errors: zeros() }), { done: "", failed: "", events: 0, errors: 0 });
});

test("sparklinePaths keeps single events visible at any scale", () => {
  const quiet = zeros();
  quiet[3] = 1;
  const height = (path) => Number(path.match(/v-(\d+)h/)[1]);
  assert.ok(height(sparklinePaths({ events: quiet, errors: zeros() }).done) < SPARK_HEIGHT / 2);
  quiet[4] = 5_000;
  assert.ok(height(sparklinePaths({ events: quiet, errors: zeros() }).done) >= 2);
});

test("every column of the settings has a table column", () => {
  assert.deepEqual(Object.keys(TABLE_COLUMNS).sort(), [...COLUMNS].sort());
  assert.equal(tracksOf(["tools", "agent"]), "56px minmax(150px, 4fr)");
  assert.equal(widthOf(["tools", "agent"]), 206);
});

test("nextSort starts with the column's sort, then reverses it", () => {
  assert.equal(nextSort("tokens", "attention"), "-tokens");
  assert.equal(nextSort("tokens", "-tokens"), "tokens");
  assert.equal(nextSort("tokens", "tokens"), "-tokens");
  assert.equal(nextSort("agent", "attention"), "agent");
  assert.equal(nextSort("agent", "agent"), "-agent");
});

test("toggleFilter adds and removes a value", () => {
  const chosen = toggleFilter({ text: "bash" }, "feature", "checkout");
  assert.deepEqual(chosen, { text: "bash", feature: ["checkout"] });
  const both = toggleFilter(chosen, "feature", "");
  assert.deepEqual(both, { text: "bash", feature: ["checkout", ""] });
  assert.deepEqual(toggleFilter(toggleFilter(both, "feature", ""), "feature", "checkout"), { text: "bash" });
  assert.deepEqual(chosenIn({ model: ["m"], status: ["idle"], text: "x" }), [["status", "idle"], ["model", "m"]]);
  assert.deepEqual([filterLabel("status", "waiting"), filterLabel("feature", ""), filterLabel("model", "m")], [
    "waiting for you", "no feature", "m",
  ]);
});

test("announcementOf has connection and waiting agents", () => {
  assert.deepEqual([0, 1, 2].map((n) => announcementOf(n, "Connected")), [
    "Connected.", "Connected. 1 agent waits for you.", "Connected. 2 agents wait for you.",
  ]);
});

test("entryOfEvent shows tool or kind, and duration", () => {
  const shown = (event) => {
    const { text, more, failed } = entryOfEvent({ timestamp: at(0), ...event });
    return [text, more, failed];
  };
  assert.deepEqual(shown({ event_type: "tool_execute", tool_name: "Bash", duration_ms: 1_250 }), ["Bash", "1.3 s", false]);
  assert.deepEqual(shown({ event_type: "tool_execute", tool_name: "Bash", status: "error" }), ["Bash", "error", true]);
  assert.deepEqual(shown({ event_type: "tool_error", tool_name: "Edit" }), ["Edit failed", "", true]);
  assert.deepEqual(shown({ event_type: "completion", cost_tokens: 12_400 }), ["model response", "12.4k tokens", false]);
  assert.deepEqual(shown({ event_type: "made_up\u202e", tool_name: null }), ["made up\ufffd", "", false]);
  assert.deepEqual(shown({}), ["event", "", false]);
});

test("eventListOf puts received changes before history without duplicates", () => {
  const change = (second, reason) => ({ at: at(second), status: "active", detail: "", tool: "", reason, tools: 1, tokens: 1 });
  const recent = [change(9, "runs Bash"), change(8, "runs Bash"), change(7, "thinks"), change(2, "old")];
  const stored = [{ timestamp: at(5), event_type: "prompt" }, { timestamp: at(1), event_type: "session_start" }];
  assert.deepEqual(eventListOf(recent, stored).map(({ text }) => text), ["runs Bash", "thinks", "prompt", "session started"]);
  assert.deepEqual(eventListOf(recent, null).map(({ text }) => text), ["runs Bash", "thinks", "old"]);
  assert.deepEqual(eventListOf([], []), []);
});

test("replayTime advances with speed, stops at the end and is not extrapolated for long", () => {
  const state = { start: 0, end: 100_000, at: 10_000, playing: true, speed: 10 };
  assert.equal(replayTime(state, 500), 15_000);
  assert.equal(replayTime({ ...state, playing: false }, 500), 10_000);
  assert.equal(replayTime(state, 60_000), 30_000);
  assert.equal(replayTime({ ...state, speed: 1_000 }, 1_000), 100_000);
  assert.deepEqual([0.5, 60, 3_600].map(describeSpeed), ["0.5×", "60×", "3600×"]);
});
