// Totals, formats, and the part of the widget's life cycle that needs no document.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as grid from "../../../htmlgraph_nb/static/grid/host/index.js";

const {
  countAgents, describeAgent, formatAge, formatCount,
  formatDuration, formatTokens, formatUsd, readPresence, visibleText,
} = grid;

const agent = (id, more = {}) => readPresence({ agent_id: id, status: "active", ...more });

test("formatTokens uses three digits and a unit", () => {
  const shown = [0, 7, 950, 999, 1_000, 1_500, 15_230, 150_000, 999_499, 999_950, 1_523_000, 2.2e9, 5e15];
  assert.deepEqual(shown.map(formatTokens), [
    "0", "7", "950", "999", "1k", "1.5k", "15.2k", "150k", "999k", "1M", "1.52M", "2.2B", "5000T",
  ]);
});

test("formatCount separates thousands, formatUsd drops cents of large amounts", () => {
  assert.equal(formatCount(1_234_567), "1,234,567");
  assert.deepEqual([null, 0, 0.001, 0.005, 1.5, 1_234.5, 12_345.6, 617_283_979].map(formatUsd), [
    "", "$0.00", "<$0.01", "$0.01", "$1.50", "$1,234.50", "$12,346", "$617M",
  ]);
});

test("formatDuration uses the largest unit", () => {
  const shown = [-5, 0, 59_999, 60_000, 3_599_000, 3_600_000, 47 * 3_600_000, 48 * 3_600_000, 90 * 86_400_000];
  assert.deepEqual(shown.map(formatDuration), ["0s", "0s", "59s", "1m", "59m", "1h", "47h", "2d", "90d"]);
});

test("formatAge shows the future as just now and unknown times as a dash", () => {
  assert.deepEqual([100_000, 99_000, 88_000, 200_000, null, NaN].map((at) => formatAge(at, 100_000)), [
    "just now", "just now", "12s ago", "just now", "—", "—",
  ]);
});

test("countAgents sums statuses, waiting agents, tokens and known costs", () => {
  const counts = countAgents([
    agent("a", { attention: true, total_cost_tokens: 10, cost_usd: 0.5 }),
    agent("b", { status: "idle", total_cost_tokens: 5 }),
    agent("c", { status: "offline", cost_usd: 0.25 }),
    agent("d", { status: "dancing" }),
  ]);
  assert.deepEqual(counts, {
    total: 4, active: 1, idle: 1, offline: 1, waiting: 1, tokens: 15, cost: 0.75, unpriced: 1,
  });
  assert.equal(countAgents([agent("a", { total_cost_tokens: 5 })]).cost, null);
});

test("describeAgent falls back from reason to detail to attention", () => {
  assert.equal(describeAgent(agent("a", { reason: "apply_patch is running", detail: "tool" })), "apply_patch is running");
  assert.equal(describeAgent(agent("a", { detail: "background" })), "works in the background");
  assert.equal(describeAgent(agent("a", { attention: true })), "waits for an answer");
  assert.equal(describeAgent(agent("a", { detail: "constructor" })), "");
});

test("visibleText replaces control and bidi characters and truncates", () => {
  assert.equal(visibleText("a\u0000b\nc\u202egpj.exe"), "a\ufffdb\ufffdc\ufffdgpj.exe");
  assert.equal(visibleText("x".repeat(5_000)).length, 401);
  assert.equal(visibleText("<b>ü 名</b>"), "<b>ü 名</b>");
});

test("module has no render export, which hosts treat as an older interface", () => {
  assert.equal("render" in grid, false);
  assert.equal(typeof grid.default, "function");
  const widget = grid.default();
  assert.deepEqual(Object.keys(widget).sort(), ["initialize", "render"]);
});

test("widget handles messages from initialize until cleanup", () => {
  const calls = new Map();
  const model = {
    get: () => ({}),
    send: () => {},
    on: (event, callback) => calls.set(event, callback),
    off: (event, callback) => calls.get(event) === callback && calls.delete(event),
  };
  const stop = grid.default().initialize({ model });
  assert.ok(calls.has("msg:custom"));
  calls.get("msg:custom")({ kind: "batch", n: 1, messages: [] });
  stop();
  assert.equal(calls.size, 0);
});
