// Pure functions of the view: sparklines, event list, headers, filters, replay time.

import assert from "node:assert/strict";
import { test } from "node:test";

import { announcementOf } from "../../../htmlgraph_nb/static/grid/view/elements/announcer.js";
import { chosenIn, filterLabel, toggleFilter } from "../../../htmlgraph_nb/static/grid/view/filter_bar.js";
import { describeSpeed, replayTime } from "../../../htmlgraph_nb/static/grid/view/replay_bar.js";
import { COLUMNS } from "../../../htmlgraph_nb/static/grid/model/settings.js";
import { sparklinePaths, SPARK_HEIGHT } from "../../../htmlgraph_nb/static/grid/view/elements/sparkline.js";
import { cardsView, usedRows } from "../../../htmlgraph_nb/static/grid/view/cards.js";
import { resumeCommand } from "../../../htmlgraph_nb/static/grid/view/details.js";
import { readPresence } from "../../../htmlgraph_nb/static/grid/model/agent.js";
import { describeContext } from "../../../htmlgraph_nb/static/grid/view/elements/context_bar.js";
import { nextSort, TABLE_COLUMNS, tracksOf, widthOf } from "../../../htmlgraph_nb/static/grid/view/table.js";
import { entryOfChange, entryOfEvent, eventListOf } from "../../../htmlgraph_nb/static/grid/view/event_list.js";

const zeros = () => Array.from({ length: 15 }, () => 0);
const at = (second) => new Date(Date.UTC(2026, 0, 5, 12, 0, second)).toISOString();

test("cardsView makes cards at least 320 px wide where the page is wide", () => {
  const columns = [300, 343, 900, 1_352, 2_512].map((width) => cardsView.geometry(width, 3).columns);
  assert.deepEqual(columns, [1, 1, 3, 4, 7]);
});

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
  assert.equal(tracksOf(["tools", "agent"]), "58px minmax(156px, 4fr)");
  assert.equal(widthOf(["tools", "agent"]), 214);
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
  assert.deepEqual([
    filterLabel("status", "waiting"), filterLabel("feature", ""), filterLabel("model", "m"), filterLabel("kind", "gemini"),
  ], ["waiting for you", "no feature", "m", "Gemini CLI"]);
});

test("announcementOf has connection and agents that need a person", () => {
  const text = (waiting, cannot_work = 0) => announcementOf({ waiting, cannot_work }, "Connected");
  assert.deepEqual([text(0), text(1), text(2, 1)], [
    "Connected.", "Connected. 1 agent waits for you.", "Connected. 2 agents wait for you. 1 agent cannot work.",
  ]);
});

test("entryOfEvent shows tool or kind, and duration", () => {
  const shown = (event) => {
    const { text, more, failed } = entryOfEvent({ timestamp: at(0), ...event });
    return [text, more, failed];
  };
  assert.deepEqual(shown({ event_type: "tool_execute", tool_name: "Bash", duration_ms: 1_250 }), ["Bash", "1.3 s", false]);
  assert.deepEqual(shown({ event_type: "tool_execute", tool_name: "Bash", status: "error" }), ["Bash", "failed", true]);
  assert.deepEqual(shown({ event_type: "tool_error", tool_name: "Edit" }), ["Edit", "failed", true]);
  assert.deepEqual(shown({ event_type: "completion", cost_tokens: 12_400 }), ["model response", "12.4k tokens", false]);
  assert.deepEqual(shown({ event_type: "made_up\u202e", tool_name: null }), ["made up\ufffd", "", false]);
  assert.deepEqual(shown({}), ["event", "", false]);
});

const change = (second, reason, more = {}) => (
  { at: at(second), status: "active", detail: "", tool: "", reason, tools: 1, tokens: 1, ...more });
const listed = (recent, history) => eventListOf(recent, history).map(({ text, more }) => `${text} ${more}`.trim());

test("eventListOf puts received changes before history without duplicates", () => {
  const recent = [change(9, "thinks"), change(8, "thinks"), change(7, "got a prompt"), change(2, "old")];
  const stored = [{ timestamp: at(5), event_type: "prompt" }, { timestamp: at(1), event_type: "session_start" }];
  assert.deepEqual(listed(recent, stored), ["thinks", "prompt", "prompt", "session started"]);
  assert.deepEqual(listed(recent, null), ["thinks", "prompt", "old"]);
  assert.deepEqual(listed([], []), []);
});

test("eventListOf uses the same words for received changes and stored events", () => {
  const reasons = {
    "got a prompt": "prompt", "the model answered": "completion", "the turn is over": "stop", "got an answer": "answered",
    "the turn ended with an error": "error", "interrupted by the user": "interrupt", "started a subagent": "subagent_start",
  };
  for (const [reason, event_type] of Object.entries(reasons)) {
    assert.deepEqual(listed([change(1, reason)], null)[0], entryOfEvent({ timestamp: at(1), event_type }).text);
  }
  assert.deepEqual(listed([change(1, "waits for permission to use Bash")], null), ["Bash permission requested"]);
  assert.deepEqual(entryOfEvent({ event_type: "permission_request", tool_name: "Bash" }).text, "Bash permission requested");
});

test("eventListOf joins the start and the end of a call", () => {
  const start = (second, id, tool) => ({ timestamp: at(second), event_type: "tool_start", tool_name: tool, tool_use_id: id });
  const end = (second, id, tool) => ({ ...start(second, id, tool), event_type: "tool_execute", duration_ms: 2_000 });
  assert.deepEqual(listed([], [end(9, "b", "Bash"), start(8, "a", "Read"), start(7, "b", "Bash")]), ["Bash 2.0 s", "Read running"]);
  assert.deepEqual(listed([], [{ timestamp: at(9), event_type: "stop" }, start(8, "a", "Read")]), ["turn ended", "Read"]);
  const live = [change(9, "used Bash", { tool: "Bash" }), change(8, "Bash is running")];
  assert.deepEqual(listed(live, null), ["Bash"]);
  assert.deepEqual(listed([change(8, "Bash is running and 2 more")], null), ["Bash running"]);
  assert.deepEqual(listed([live[0]], [start(7, "b", "Bash"), end(6, "a", "Bash"), start(5, "a", "Bash")]), ["Bash", "Bash 2.0 s"]);
});

test("resumeCommand names the session of agents that can be resumed", () => {
  const command = (kind, session, parent = "") => resumeCommand({ kind, session, parent });
  assert.equal(command("claude", "4a9c1ab2-7d41"), "claude --resume 4a9c1ab2-7d41");
  assert.equal(command("codex", "019e56a6"), "codex resume 019e56a6");
  assert.equal(command("gemini", "a-1"), "gemini --resume a-1");
  assert.deepEqual([command("copilot", "a"), command("claude", ""), command("claude", "a", "p"), command("claude", "-x")], ["", "", "", ""]);
  assert.equal(command("claude", "a; rm -rf ~"), "");
});

test("usedRows leaves out rows that are empty on all cards", () => {
  const used = { feature: 0, model: 2, contextWindow: 0 };
  assert.deepEqual(usedRows({ used, host: new Map([["a", 2]]) }), ["tool", "model"]);
  assert.deepEqual(usedRows({ used: { ...used, contextWindow: 1 }, host: new Map([["a", 2], ["b", 1]]) }),
    ["tool", "context", "model", "host"]);
});

test("describeContext names the numbers and where the window is known from", () => {
  const context = (more) => describeContext(readPresence({ agent_id: "a", context_tokens: 150_000, ...more }));
  assert.equal(context({ context_window: 200_000, context_source: "table" }),
    "150,000 of 200,000 tokens in the context (75 %); window from the table of models.");
  assert.match(context({ context_window: 1_000_000, context_source: "marked" }), /15 %.*from the name of the model/);
  assert.match(context({}), /150,000 tokens.*window of the model is unknown/);
  assert.match(context({ context_tokens: null }), /unknown/);
});

test("replayTime advances with speed, stops at the end and is not extrapolated for long", () => {
  const state = { start: 0, end: 100_000, at: 10_000, playing: true, speed: 10 };
  assert.equal(replayTime(state, 500), 15_000);
  assert.equal(replayTime({ ...state, playing: false }, 500), 10_000);
  assert.equal(replayTime(state, 60_000), 30_000);
  assert.equal(replayTime({ ...state, speed: 1_000 }, 1_000), 100_000);
  assert.deepEqual([0.5, 60, 3_600].map(describeSpeed), ["0.5×", "60×", "3600×"]);
});

test("entryOfChange uses the words of the stored event", () => {
  const at = "2025-01-14T14:50:30Z";
  const change = (reason) => entryOfChange({ at, status: "active", detail: "working", tool: "", reason, tools: 0, tokens: 0 });
  const pairs = [
    ["the turn ended with a question", "stop"], ["marked offline", "offline"], ["reported itself idle", "idle"],
    ["retries after an error of the API (attempt 3 of 10)", "retry"], ["waits for approval of its plan", "permission_request"],
    ["used a tool", "tool_execute"],
  ];
  for (const [reason, kind] of pairs) {
    assert.equal(change(reason).text, entryOfEvent({ timestamp: at, event_type: kind }).text, reason);
  }
  for (const kind of ["session_info", "quota", "process_start", "forget"]) {
    assert.notEqual(entryOfEvent({ timestamp: at, event_type: kind }).text, kind.replaceAll("_", " "), kind);
  }
});
