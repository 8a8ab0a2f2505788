// The server's report about itself: parsing, and the texts about it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readServerInfo } from "../../../htmlgraph_nb/static/grid/model/server_info.js";
import { createStore } from "../../../htmlgraph_nb/static/grid/model/store.js";
import { describeBackfill, describeQuota, explainQuota, isReset, isShown, nameQuota } from "../../../htmlgraph_nb/static/grid/view/elements/server_text.js";

const NOW = new Date(2026, 4, 6, 12, 0).getTime();
const after = (minutes) => new Date(NOW + minutes * 60_000).toISOString();
const BACKFILL = {
  state: "running", days: 30, files: 412, files_done: 17, bytes: 1_000, bytes_done: 400,
  sessions: { codex: 3, claude: 7, gemini: 1 }, events: 4_410, cost_7d_usd: 4.38, unpriced_7d_tokens: 0,
};
const QUOTA = {
  account: "codex", agent_kind: "codex", plan: "plus", window: "5h", minutes: 300, used_percent: 62.4,
  resets_at: after(60), reported_at: after(-2), source: "codex-session", official: true,
  forecast: { full_at: after(40), used_percent_at_reset: 120 },
};
const quotaOf = (more) => readServerInfo({ quotas: [{ ...QUOTA, ...more }] }).quotas[0];

test("readServerInfo ignores invalid values", () => {
  assert.equal(readServerInfo(null), null);
  assert.deepEqual(readServerInfo({ quotas: "x", backfill: { state: "dancing" } }), { quotas: [], backfill: null });
  assert.deepEqual(readServerInfo({ quotas: [null, { window: "5h" }, { window: 3, used_percent: 1 }] }).quotas, []);
  assert.equal(readServerInfo({ quotas: Array.from({ length: 99 }, () => QUOTA) }).quotas.length, 16);
});

test("describeBackfill says what was found and how far the import is", () => {
  const text = (more) => describeBackfill(readServerInfo({ backfill: { ...BACKFILL, ...more } }).backfill);
  assert.equal(text({}), "11 sessions: Claude Code 7, Codex 3, Gemini CLI 1 · $4.38 in the last 7 days · reading 412 files, 40 %");
  assert.equal(text({ state: "done" }), "11 sessions: Claude Code 7, Codex 3, Gemini CLI 1 · $4.38 in the last 7 days");
  assert.equal(text({ state: "done", sessions: { claude: 1 }, cost_7d_usd: null }), "1 session: Claude Code 1");
  assert.equal(text({ state: "done", sessions: {}, cost_7d_usd: 0 }), "");
  assert.match(text({ unpriced_7d_tokens: 12_000 }), /\$4\.38 \+ 12k tokens unpriced/);
  assert.equal(text({ state: "off" }), "");
  assert.equal(describeBackfill(null), "");
});

test("describeQuota has reset, forecast, age and whether it is an estimate", () => {
  assert.equal(nameQuota(quotaOf({})), "Codex 5h");
  assert.deepEqual(describeQuota(quotaOf({}), NOW), { facts: "resets 13:00", warning: "at this pace full at 12:40" });
  assert.deepEqual(describeQuota(quotaOf({ official: false, reported_at: after(-30), forecast: { full_at: null } }), NOW),
    { facts: "resets 13:00 · 30 min old · estimated", warning: "" });
  assert.equal(explainQuota(quotaOf({}), NOW),
    "Codex 5h (plus): 62 % used; resets 13:00; at this pace full at 12:40; reported 2 min ago; as reported by the provider");
});

test("isReset and isShown: a quota after its reset warns of nothing, and is left out after a day", () => {
  const reset = quotaOf({ used_percent: 97, resets_at: after(-1), reported_at: after(-200) });
  assert.deepEqual(describeQuota(reset, NOW), { facts: "reset since", warning: "" });
  assert.equal(explainQuota(reset, NOW),
    "Codex 5h (plus): 97 % used before its reset; reported 3 h ago; as reported by the provider");
  const states = [1, 0, -1, -24 * 60 + 1, -24 * 60].map((minutes) => quotaOf({ resets_at: after(minutes) }));
  assert.deepEqual(states.map((quota) => isReset(quota, NOW)), [false, true, true, true, true]);
  assert.deepEqual(states.map((quota) => isShown(quota, NOW)), [true, true, true, true, false]);
  assert.deepEqual([isReset, isShown].map((of) => of(quotaOf({ resets_at: null }), NOW)), [false, true]);
});

test("store keeps the report of the server or of the kernel, and notifies", () => {
  const store = createStore({ now: () => NOW });
  let notified = 0;
  store.subscribe(() => { notified += 1; });
  assert.equal(store.serverInfo, null);
  store.receive({ type: "server_info", backfill: BACKFILL, quotas: [QUOTA] });
  assert.deepEqual([store.serverInfo.backfill.files, store.serverInfo.quotas[0].used, notified], [412, 62.4, 1]);
  const connection = { state: "connected", detail: "" };
  store.receiveFromKernel({ kind: "snapshot", n: 1, state: { agents: [], connection } });
  assert.equal(store.serverInfo.quotas.length, 1);
  store.receiveFromKernel({ kind: "batch", n: 2, messages: [], connection, server_info: { quotas: [], backfill: null } });
  assert.deepEqual(store.serverInfo, { quotas: [], backfill: null });
  store.receiveFromKernel({ kind: "snapshot", n: 3, state: { agents: [], connection, server_info: { quotas: [QUOTA] } } });
  assert.equal(store.serverInfo.quotas.length, 1);
});
