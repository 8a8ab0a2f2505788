// Totals, formats, and the part of the widget's life cycle that needs no document.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as grid from "../../../htmlgraph_nb/static/grid/host/index.js";

const {
  countAgents, describeAgent, formatAge, formatCount,
  formatDuration, formatTokens, formatUsd, readPresence, visibleText,
} = grid;
const { describeAge, describeState, formatCosts } = await import("../../../htmlgraph_nb/static/grid/view/elements/format.js");

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

test("countAgents counts each agent once and sums tokens and known costs", () => {
  const counts = countAgents([
    agent("a", { attention: true, total_cost_tokens: 10, cost_usd: 0.5 }),
    agent("b", { status: "idle", total_cost_tokens: 5, unpriced_tokens: 5 }),
    agent("c", { status: "offline", cost_usd: 0.25 }),
    agent("d", { status: "dancing" }),
    agent("e", { status: "idle", detail: "done", unseen: true }),
    agent("f", { status: "idle", detail: "usage_limited", unseen: true }),
    agent("g", { detail: "retrying" }),
    agent("h"),
  ]);
  assert.deepEqual(counts, {
    total: 8, waiting: 1, cannot_work: 2, done: 1, active: 1, idle: 1, offline: 1, tokens: 15, cost: 0.75, unpriced: 1,
  });
  assert.equal(countAgents([agent("a", { total_cost_tokens: 5 })]).cost, null);
});

test("describeAgent says why in few words, the important one first", () => {
  const text = (more) => describeAgent(agent("a", more));
  assert.equal(text({ reason: "waits for permission to use Bash", attention: true }), "permission: Bash");
  assert.equal(text({ reason: "waits for approval of its plan", attention: true }), "approval of its plan");
  assert.equal(text({ reason: "apply_patch is running", detail: "tool" }), "runs apply_patch");
  assert.equal(text({ reason: "Bash is running and 2 more", detail: "tool" }), "runs Bash +2");
  assert.equal(text({ reason: "the usage limit is reached", detail: "usage_limited", status: "idle" }), "usage limit reached");
  assert.equal(text({ reason: "retries after an error of the API (attempt 3 of 10)", detail: "retrying" }), "API error, attempt 3 of 10");
  assert.equal(text({ reason: "the turn is over", detail: "done", status: "idle", unseen: true }), "the turn is over");
  assert.equal(text({ reason: "the turn is over", detail: "done", status: "idle" }), "resting");
  const question = { reason: "the turn ended with a question", detail: "waiting_input", status: "idle" };
  assert.equal(text({ ...question, unseen: true }), "its turn ended with a question");
  assert.equal(text(question), "the turn ended with a question");
  assert.equal(text({ reason: "no activity for too long", detail: "done", status: "offline" }), "no activity");
  assert.equal(text({ detail: "background" }), "works in the background");
  assert.equal(text({ attention: true }), "an answer");
  assert.equal(text({ detail: "constructor" }), "");
});

test("describeState has a word for failed turns and for retries", () => {
  const text = (more) => describeState(agent("a", more));
  assert.deepEqual([
    text({ attention: true }), text({ status: "idle", detail: "overloaded" }), text({ detail: "retrying" }),
    text({ status: "idle", detail: "error" }), text({ status: "idle", detail: "error", unseen: true }),
    text({ status: "idle", unseen: true }), text({ status: "idle" }), text({}), text({ status: "?" }),
    text({ status: "idle", detail: "waiting_input", unseen: true }), text({ status: "idle", detail: "waiting_input" }),
    text({ detail: "waiting_input", attention: true }),
  ], ["Waits for you", "Cannot work", "Retrying", "Failed", "Failed", "Done", "Idle", "Active", "Unknown",
    "Asks you", "Idle", "Waits for you"]);
});

test("describeAge says how long an agent waits, cannot work, is done or rests", () => {
  const now = new Date(2026, 4, 6, 12, 0).getTime();
  const before = (minutes) => new Date(now - minutes * 60_000).toISOString();
  const text = (minutes, more) => describeAge(agent("a", { detail_since: before(minutes), last_activity: before(0.2), ...more }), now);
  assert.equal(text(4, { attention: true }), "waits 4 min");
  assert.equal(text(12, { status: "idle", detail: "rate_limited" }), "for 12 min");
  assert.equal(text(12, { status: "idle", detail: "rate_limited", detail_until: before(-40) }), "until 12:40");
  assert.equal(text(4, { status: "idle", detail: "done", unseen: true }), "4 min ago");
  assert.equal(text(30, { status: "idle", detail: "done" }), "since 11:30");
  assert.equal(text(24 * 60, { status: "idle", detail: "done" }), "since yesterday");
  assert.equal(text(2, { detail: "tool" }), "for 2 min");
  assert.equal(text(2, {}), "12 s ago");
  assert.equal(text(2, { last_activity: before(0) }), "just now");
  assert.equal(text(180, { status: "offline" }), "3 h ago");
  const timedOut = { status: "offline", reason: "no activity for too long" };
  assert.equal(text(1, { ...timedOut, last_activity: before(24 * 60) }), "since yesterday");
  assert.equal(text(180, { ...timedOut, last_activity: null }), "3 h ago");
  assert.equal(describeAge(agent("a", {}), now), "—");
});

test("formatCosts counts the agents it leaves out", () => {
  assert.deepEqual([{ cost: 1.85, unpriced: 3 }, { cost: 2, unpriced: 0 }, { cost: null, unpriced: 1 }, { cost: null, unpriced: 0 }].map(formatCosts), [
    "$1.85 + 3 unpriced", "$2.00", "1 unpriced", "",
  ]);
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
