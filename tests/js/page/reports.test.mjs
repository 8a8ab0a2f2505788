// The pages Costs and Sessions: ranges of time, URL, order, chart, what is left out, reloads.

import assert from "node:assert/strict";
import { register } from "node:module";
import { mock, test } from "node:test";

// The server serves both static directories under one URL.
const gridUrl = new URL("../../../htmlgraph_nb/static/grid/host/index.js", import.meta.url).href;
register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) =>
  next(name.endsWith("/agent_grid.js") ? ${JSON.stringify(gridUrl)} : name, context);`)}`);

const PAGES = "../../../server/htmlgraph_server/static/pages/";
const { boundsOf, formatDay, formatPeriod, parseDay } = await import(`${PAGES}ranges.js`);
const settings = await import(`${PAGES}page_settings.js`);
const { formatCost, sortRows } = await import(`${PAGES}costs_table.js`);
const { colorFunction, COLORS, describeChart, OTHER_COLOR, seriesOf, tickOfUsd } = await import(`${PAGES}costs_chart.js`);
const { costQuery, gapsOf } = await import(`${PAGES}costs_page.js`);
const { sessionQuery, toggleFacet } = await import(`${PAGES}sessions_page.js`);
const { iconOfKind } = await import(gridUrl);
const { facetLabel, formatLength, nameSession, stateOfSession } = await import(`${PAGES}sessions_table.js`);
const { replayCode, resumeLine } = await import(`${PAGES}session_details.js`);
const { createLoader, isBehind, REFRESH_AFTER_MS } = await import(`${PAGES}report_loader.js`);

const NOW = new Date(2026, 2, 30, 15, 20);
const day = (date) => (date === null ? null : formatDay(date));

test("boundsOf counts days from local midnight", () => {
  const bounds = (range, from = "", to = "") => {
    const { since, until, freq } = boundsOf({ range, from, to }, NOW);
    assert.ok(since === null || since.getHours() === 0);
    return [day(since), day(until), freq];
  };
  assert.deepEqual(bounds("today"), ["2026-03-30", null, "h"]);
  assert.deepEqual(bounds("7d"), ["2026-03-24", null, "D"]);
  assert.deepEqual(bounds("30d"), ["2026-03-01", null, "D"]);
  assert.deepEqual(bounds("month"), ["2026-03-01", null, "D"]);
  assert.deepEqual(bounds("12m"), ["2025-04-01", null, "MS"]);
  assert.deepEqual(bounds("all"), [null, null, "MS"]);
});

test("boundsOf includes the last chosen day and divides long ranges coarsely", () => {
  const bounds = (from, to) => {
    const { since, until, freq } = boundsOf({ range: "custom", from, to }, NOW);
    return [day(since), day(until), freq];
  };
  assert.deepEqual(bounds("2026-02-28", "2026-02-28"), ["2026-02-28", "2026-03-01", "h"]);
  assert.deepEqual(bounds("2026-02-01", "2026-02-28"), ["2026-02-01", "2026-03-01", "D"]);
  assert.deepEqual(bounds("2026-01-01", "2026-12-31"), ["2026-01-01", "2027-01-01", "W-MON"]);
  assert.deepEqual(bounds("", "never"), [null, null, "MS"]);
});

test("parseDay refuses what is no day", () => {
  assert.equal(formatDay(parseDay("2026-02-28")), "2026-02-28");
  assert.deepEqual(["2026-02-30", "2026-2-1", "", "1999-01-01", "x"].map(parseDay), [null, null, null, null, null]);
});

test("formatPeriod keeps the clock of the text", () => {
  assert.equal(formatPeriod("2026-03-29T00:00:00+05:45", "D"), "Sun 29 Mar");
  assert.equal(formatPeriod("2026-03-29T23:00:00-03:30", "h"), "23:00");
  assert.equal(formatPeriod("2026-03-01T00:00:00+01:00", "MS"), "Mar 2026");
});

test("settings of the pages round-trip through the fragment with any characters", () => {
  const costs = { range: "custom", from: "2026-01-01", to: "2026-01-31", by: "project", measure: "total", sort: "name" };
  assert.deepEqual(settings.costsFromHash(`#${settings.hashOfCosts(costs)}`), costs);
  const sessions = {
    range: "all", from: "", to: "", search: "a + b&c", filter: { project: ["", "x=1"], status: ["waiting"] }, sort: "-usd",
    selected: "s#1&x=%2f ü", agent: "claude/1",
  };
  assert.deepEqual(settings.sessionsFromHash(settings.hashOfSessions(sessions)), sessions);
  assert.equal(settings.hashOfCosts(settings.COST_DEFAULTS), "page=costs");
  assert.equal(settings.hashOfSessions(settings.SESSION_DEFAULTS), "page=sessions");
});

test("invalid settings of a fragment have their defaults", () => {
  assert.deepEqual(settings.costsFromHash("#page=costs&range=constructor&by=extra&measure=eur"), settings.COST_DEFAULTS);
  assert.deepEqual(["", "#page=costs", "#page=toString", "view=table"].map(settings.pageOfHash), ["agents", "costs", "agents", "agents"]);
});

test("queries have the bounds, the zone and only what was chosen", () => {
  const query = costQuery({ ...settings.COST_DEFAULTS, range: "custom", from: "2026-01-05", to: "2026-01-06" }, NOW);
  assert.equal(query.get("since"), new Date(2026, 0, 5).toISOString());
  assert.equal(query.get("until"), new Date(2026, 0, 7).toISOString());
  assert.deepEqual([query.get("by"), query.get("freq"), query.has("tz")], ["model", "h", true]);
  const sessions = sessionQuery({ ...settings.SESSION_DEFAULTS, range: "all", search: "  ", filter: { branch: ["", "b"] } }, 200, NOW);
  assert.deepEqual(sessions.getAll("branch"), ["", "b"]);
  assert.deepEqual(["since", "until", "search"].map((name) => sessions.has(name)), [false, false, false]);
});

const row = (more) => ({
  answers: 1, input: 0, cache_read: 0, cache_write_5m: 0, cache_write_1h: 0, output: 0, total: 0, usd: null, unpriced_tokens: 0, ...more,
});

test("formatCost names the tokens without a price", () => {
  assert.equal(formatCost(row({ usd: 1.5 })), "$1.50");
  assert.equal(formatCost(row({ usd: 1.5, unpriced_tokens: 2_000 })), "$1.50 + 2k tokens unpriced");
  assert.equal(formatCost(row({ unpriced_tokens: 2_000 })), "2k tokens unpriced");
  assert.equal(formatCost(row({})), "—");
});

test("sortRows puts groups without a price last", () => {
  const rows = [row({ model: "a", usd: 1 }), row({ model: "b", total: 9 }), row({ model: "c", usd: 3 }), row({ model: "d", total: 10 })];
  const names = (sort) => sortRows(rows, sort, (item) => item.model).map((item) => item.model).join("");
  assert.equal(names("-usd"), "cadb");
  assert.equal(names("usd"), "acdb");
  assert.equal(names("-name"), "dcba");
  assert.equal(names("-time"), "dcba");
});

const report = (models) => {
  const starts = ["2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00"];
  const groups = models.map((model, i) => row({ model, usd: models.length - i, total: 10 }));
  const rows = groups.map((group) => ({ ...group, timestamp: starts[1] }));
  const usd = groups.reduce((sum, group) => sum + group.usd, 0);
  return { starts, groups, rows, periods: [row({ timestamp: starts[1], usd: usd + 2, total: 10 * models.length + 5 })] };
};

test("seriesOf has a bar for each period and the rest as Other", () => {
  const models = Array.from({ length: COLORS.length + 2 }, (_, i) => `m${i}`);
  const { starts, series } = seriesOf(report(models), "model", "usd", "D");
  assert.equal(starts.length, 2);
  assert.deepEqual(series.map(({ label }) => label), [...models.slice(0, COLORS.length), "Other"]);
  assert.deepEqual(series[0].values, [0, 10]);
  // Two more models, and groups that the answer left out.
  assert.deepEqual(series.at(-1).values, [0, 2 + 1 + 2]);
  const colorOf = colorFunction(report(models), "model", "usd");
  assert.deepEqual([colorOf({ model: "m0" }), colorOf({ model: "m9" })], [COLORS[0], OTHER_COLOR]);
});

test("seriesOf divides tokens by kind where there are no groups", () => {
  const one = report(["m"]);
  one.periods[0] = row({ timestamp: one.starts[0], input: 1, cache_read: 2, cache_write_5m: 3, cache_write_1h: 4, output: 5, usd: 7 });
  assert.deepEqual(seriesOf(one, "day", "total", "D").series.map(({ label, values }) => [label, values[0]]),
    [["Cache read", 2], ["Input", 1], ["Cache write", 7], ["Output", 5]]);
  assert.deepEqual(seriesOf(one, "day", "usd", "D").series.map(({ values }) => values), [[7, 0]]);
});

test("describeChart says what is highest", () => {
  const data = seriesOf(report(["m"]), "model", "usd", "D");
  assert.match(describeChart(data, "usd", "D"), /^Stacked bars of 2 periods and 2 groups\. Highest: \$3\.00, Mon 2 Mar\./);
  assert.equal(describeChart({ starts: data.starts, series: [] }, "usd", "D"), "No costs in this range.");
  assert.deepEqual([0, 0.002, 1.5, 12_000].map(tickOfUsd), ["$0", "$0.002", "$1.5", "$12k"]);
});

test("gapsOf names models without a price and agents without token counts", () => {
  const gaps = gapsOf({
    unpriced: [{ model: "house", unpriced_tokens: 1_500 }, { model: null, unpriced_tokens: 1 }],
    uncovered: [{ agent_kind: "gemini", agents: 1, calls: 12, days: ["2026-03-01"], agent_ids: ["g"] }],
    notes: ["prices of gpt-9 are guessed"],
  });
  assert.match(gaps[0], /^No price is known: house \(1\.5k tokens\), no model \(1 tokens\)\./);
  assert.equal(gaps[1], "Not covered: Gemini CLI, 1 agent with 12 calls and no token counts, on 2026-03-01.");
  assert.equal(gaps[2], "Prices of gpt-9 are guessed.");
  assert.deepEqual(gapsOf({ unpriced: [], uncovered: [], notes: [] }), []);
});

test("toggleFacet adds and removes values", () => {
  assert.deepEqual(toggleFacet({}, "project", ""), { project: [""] });
  assert.deepEqual(toggleFacet({ project: ["", "a"], model: ["m"] }, "project", ""), { project: ["a"], model: ["m"] });
  assert.deepEqual(toggleFacet({ project: ["a"] }, "project", "a"), {});
});

test("formatLength uses two units", () => {
  assert.deepEqual([null, 400, 65_000, 12 * 60_000, 200 * 60_000, 52 * 3_600_000].map(formatLength),
    ["—", "0 s", "65 s", "12 min", "3 h 20 min", "2 d 4 h"]);
});

const session = (more) => ({
  agent_id: "claude-4a9c1ab2", session_id: "4a9c1ab2-7d41", title: null, agent_kind: "claude", project: "shop", branch: null, cwd: "/home/user/shop",
  parent_agent_id: null, status: "ended", ...more,
});

test("kinds and states with the name of an object's property are text", () => {
  assert.deepEqual(["codex", "constructor", null].map(iconOfKind), ["codex", "agent", "agent"]);
  assert.deepEqual(["ended", "toString"].map((state) => facetLabel("status", state, "Status")), ["ended", "toString"]);
});

test("nameSession shows an id where title and branch are missing", () => {
  assert.deepEqual(nameSession(session({})), { name: "shop", place: "claude-4a9c1ab2" });
  assert.deepEqual(nameSession(session({ title: "Fix it", branch: "main" })), { name: "Fix it", place: "shop · main" });
  assert.deepEqual(nameSession(session({ project: null })), { name: "claude-4a9c1ab2", place: "" });
});

test("stateOfSession prefers what the connected store knows", () => {
  const store = { agents: new Map([["claude-4a9c1ab2", { session: "4a9c1ab2-7d41", state: "waiting" }]]) };
  assert.equal(stateOfSession(session({}), store), "waiting");
  assert.equal(stateOfSession(session({ session_id: "old", status: "idle" }), store), "ended");
  assert.equal(stateOfSession(session({ agent_id: "other", status: "offline" }), store), "offline");
});

test("resumeLine changes into the folder, if its name is plain", () => {
  assert.equal(resumeLine(session({})), "cd /home/user/shop && claude --resume 4a9c1ab2-7d41");
  assert.equal(resumeLine(session({ cwd: "/home/my shop" })), "cd '/home/my shop' && claude --resume 4a9c1ab2-7d41");
  for (const cwd of [null, "/x; rm -rf ~", "-x", "/a'b", "$(id)", "/a\nb"]) assert.equal(resumeLine(session({ cwd })), "claude --resume 4a9c1ab2-7d41");
  assert.equal(resumeLine(session({ session_id: null })), "");
  assert.equal(resumeLine(session({ agent_kind: "demo" })), "");
});

test("replayCode quotes ids for Python", () => {
  assert.equal(replayCode(session({})), 'import htmlgraph_nb as hg\nhg.AgentGrid.replay(hg.load_history(sessions="4a9c1ab2-7d41"))');
  assert.ok(replayCode(session({ session_id: 'a"\\\n\u2028ü' })).endsWith('sessions="a\\"\\\\\\n\\u2028\\u00fc"))'));
  assert.ok(replayCode(session({ session_id: null })).endsWith('agents="claude-4a9c1ab2"))'));
});

test("isBehind compares cursors of one database", () => {
  assert.deepEqual(
    [["e:1", "e:2"], ["e:2", "e:2"], ["e:10", "e:9"], ["e:1", "f:1"], [undefined, "e:1"], ["e:1", null]].map(([a, b]) => isBehind(a, b)),
    [true, false, false, true, false, false],
  );
});

/** A loader with a fake store and clock, whose requests the test answers. */
function loader(t) {
  mock.timers.enable({ apis: ["setTimeout"], now: 0 });
  t.after(() => mock.timers.reset());
  let now = 1_000;
  const requests = [];
  const listeners = new Set();
  const store = {
    cursor: "e:1", connection: { state: "connected" },
    subscribe: (listener) => { listeners.add(listener); return () => listeners.delete(listener); },
  };
  const doc = Object.assign(new EventTarget(), { hidden: false });
  const win = { document: doc, setTimeout: (...args) => setTimeout(...args), clearTimeout: (id) => clearTimeout(id) };
  const load = (query, signal) => new Promise((resolve, reject) => {
    requests.push({ query: String(query), resolve, reject, signal });
  });
  const reports = createLoader({ store, win, load, onChange: () => {}, now: () => now });
  return {
    reports, requests, store, doc,
    async pass(ms) {
      now += ms;
      mock.timers.tick(ms);
      await new Promise(setImmediate);
    },
    async answer(i, report) {
      requests[i].resolve(report);
      await new Promise(setImmediate);
    },
    notify: () => { for (const listener of listeners) listener(); },
  };
}

test("createLoader loads again after a change, not more often than allowed", async (t) => {
  const { reports, requests, store, pass, answer, notify } = loader(t);
  reports.show(new URLSearchParams({ by: "model" }));
  reports.show(new URLSearchParams({ by: "model" }));
  assert.equal(requests.length, 1);
  await pass(3_000);
  await answer(0, { cursor: "e:1" });
  assert.deepEqual([reports.state.status, reports.state.current], ["ready", true]);
  notify();
  await pass(60_000);
  assert.equal(requests.length, 1);
  store.cursor = "e:2";
  notify();
  await pass(0);
  assert.equal(requests.length, 2);
  await answer(1, { cursor: "e:2" });
  store.cursor = "e:3";
  notify();
  await pass(REFRESH_AFTER_MS - 1);
  assert.equal(requests.length, 2);
  await pass(1);
  assert.equal(requests.length, 3);
  reports.stop();
});

test("createLoader keeps the last report while another query loads, and ignores late answers", async (t) => {
  const { reports, requests, answer } = loader(t);
  reports.show(new URLSearchParams({ by: "model" }));
  await answer(0, { cursor: "e:1", n: 0 });
  reports.show(new URLSearchParams({ by: "project" }));
  assert.deepEqual([reports.state.report.n, reports.state.current], [0, false]);
  reports.show(new URLSearchParams({ by: "branch" }));
  assert.equal(requests[1].signal.aborted, true);
  await answer(2, { cursor: "e:1", n: 2 });
  await answer(1, { cursor: "e:1", n: 1 });
  assert.deepEqual([reports.state.report.n, reports.state.current], [2, true]);
  reports.stop();
});

test("createLoader shows an error and tries again later", async (t) => {
  const { reports, requests, pass } = loader(t);
  reports.show(new URLSearchParams());
  requests[0].reject(new Error("no response from the server"));
  await pass(0);
  assert.deepEqual([reports.state.status, reports.state.error], ["failed", "no response from the server"]);
  await pass(19_999);
  assert.equal(requests.length, 1);
  await pass(1);
  assert.equal(requests.length, 2);
  reports.stop();
});

test("createLoader waits while the page is hidden", async (t) => {
  const { reports, requests, store, doc, pass, answer, notify } = loader(t);
  reports.show(new URLSearchParams());
  await answer(0, { cursor: "e:1" });
  doc.hidden = true;
  store.cursor = "e:9";
  notify();
  await pass(60_000);
  assert.equal(requests.length, 1);
  doc.hidden = false;
  doc.dispatchEvent(new Event("visibilitychange"));
  await pass(0);
  assert.equal(requests.length, 2);
  reports.stop();
});
