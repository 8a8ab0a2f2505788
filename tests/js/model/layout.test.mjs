// Layout. The property test compares an incrementally updated layout with one made from scratch.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readPresence } from "../../../htmlgraph_nb/static/grid/model/agent.js";
import { createLayout } from "../../../htmlgraph_nb/static/grid/model/layout.js";
import { naturalKey } from "../../../htmlgraph_nb/static/grid/model/sort.js";
import { GROUP_KEYS, SORT_KEYS, createSettings } from "../../../htmlgraph_nb/static/grid/model/settings.js";
import { countAgents, createTotals } from "../../../htmlgraph_nb/static/grid/model/totals.js";

const agent = (id, more = {}) => readPresence({ agent_id: id, status: "active", ...more });
const mapOf = (...agents) => new Map(agents.map((item) => [item.id, item]));
const laidOut = (agents, patch = {}) =>
  createLayout().update(agents, agents.keys(), createSettings(patch).get());
const shown = ({ rows }) => rows.map((row) =>
  row.kind === "group" ? `[${row.label} ${row.n}]` : `${">".repeat(row.depth)}${row.id}`);

test("layout sorts unseen questions before other unseen turns, the longest first", () => {
  const asks = (id, minute, more = {}) => agent(id, {
    status: "idle", detail: "waiting_input", unseen: true, detail_since: `2026-05-06T12:0${minute}:00Z`, ...more,
  });
  const agents = mapOf(
    asks("b", 2), asks("c", 1), asks("a", 0, { unseen: false }), agent("done", { status: "idle", detail: "done", unseen: true }),
    agent("z", { attention: true }), agent("y", { status: "idle", detail: "signed_out" }), agent("works"),
  );
  assert.deepEqual(shown(laidOut(agents)), ["z", "y", "c", "b", "done", "works", "a"]);
});

test("layout sorts waiting agents first, then by status, ids in natural order", () => {
  const agents = mapOf(
    agent("a10"), agent("a2"), agent("off", { status: "offline" }), agent("idle", { status: "idle" }),
    agent("z", { attention: true }),
  );
  assert.deepEqual(shown(laidOut(agents)), ["z", "a2", "a10", "idle", "off"]);
  assert.deepEqual(shown(laidOut(agents, { sort: "-agent" })), ["z", "off", "idle", "a10", "a2"]);
});

test("layout sorts names naturally; case only breaks ties", () => {
  const names = ["a01", "B2", "a10", "b", "A", "a1", "a2", "a", "a-1", "a1-10", "a1-9", "a99999999999999999999"];
  const agents = mapOf(...names.map((name) => agent(name)));
  assert.deepEqual(shown(laidOut(agents, { sort: "agent" })), [
    "A", "a", "a-1", "a01", "a1", "a1-9", "a1-10", "a2", "a10", "a99999999999999999999", "b", "B2",
  ]);
  assert.ok(naturalKey("7") < naturalKey("a"));
});

test("totals are unaffected by removed agents", () => {
  const tally = createTotals();
  const agents = [0.1, 0.2, 1e300, -3, null].map((cost_usd, n) =>
    agent(`a${n}`, { cost_usd, total_cost_tokens: n === 2 ? 1e308 : 7, attention: n === 1 }));
  const nothing = tally.counts();
  for (const item of agents.slice(0, 2)) tally.add(item, 1);
  assert.deepEqual([tally.counts().cost, tally.counts().tokens, tally.counts().waiting], [0.3, 14, 1]);
  for (const item of agents) tally.add(item, 1);
  for (const item of [...agents, ...agents.slice(0, 2)]) tally.add(item, -1);
  assert.deepEqual(tally.counts(), nothing);
});

test("layout nests children; a waiting child moves its parents up", () => {
  const agents = mapOf(
    agent("b"), agent("a"), agent("a-kid", { parent_agent_id: "a", status: "idle" }),
    agent("b-child", { parent_agent_id: "b", attention: true }),
    agent("b-child-kid", { parent_agent_id: "b-child" }), agent("orphan", { parent_agent_id: "removed" }),
  );
  assert.deepEqual(shown(laidOut(agents)), ["b", ">b-child", ">>b-child-kid", "a", ">a-kid", "orphan"]);
  assert.deepEqual(laidOut(agents).rows[0], { kind: "agent", id: "b", depth: 0, children: 1, ended: 0, open: false });
  assert.deepEqual(shown(laidOut(agents, { sort: "tools" })).every((row) => !row.startsWith(">")), true);
});

test("layout shows agents in a parent cycle at the top level", () => {
  const agents = mapOf(
    agent("a", { parent_agent_id: "b" }), agent("b", { parent_agent_id: "a" }),
    agent("self", { parent_agent_id: "self" }), agent("kid", { parent_agent_id: "a" }),
  );
  assert.deepEqual(new Set(shown(laidOut(agents)).map((row) => row.replace(/>/g, ""))),
    new Set(["a", "b", "self", "kid"]));
});

test("layout moves all ancestors of a waiting agent up", () => {
  const agents = mapOf(
    agent("root"), agent("kid-1", { parent_agent_id: "root" }), agent("kid-2", { parent_agent_id: "root" }),
    agent("deep", { parent_agent_id: "kid-2", attention: true }),
  );
  const layout = createLayout();
  const settings = createSettings().get();
  assert.deepEqual(shown(layout.update(agents, [], settings)), ["root", ">kid-2", ">>deep", ">kid-1"]);
  agents.set("deep", agent("deep", { parent_agent_id: "kid-2" }));
  assert.deepEqual(shown(layout.update(agents, ["deep"], settings)), ["root", ">kid-1", ">kid-2", ">>deep"]);
});

test("layout nests at most 8 levels", () => {
  const chain = Array.from({ length: 12 }, (_, n) => agent(`a${n}`, { parent_agent_id: n > 0 ? `a${n - 1}` : null }));
  const { rows } = laidOut(mapOf(...chain));
  assert.deepEqual(rows.map(({ depth }) => depth), [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0]);
});

test("facets keep the 100 most frequent values", () => {
  const many = Array.from({ length: 400 }, (_, n) => agent(`a${n}`, { branch: `s${n % 250}` }));
  const { facets } = laidOut(mapOf(...many));
  const all = [...new Set(many.map(({ branch }) => branch))].map((branch) =>
    [branch, many.filter((item) => item.branch === branch).length]);
  all.sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  assert.deepEqual([...facets.branch], all.slice(0, 100));
});

test("numeric sort puts unknown values last in both directions", () => {
  const agents = mapOf(agent("a", { session_cost_usd: 1 }), agent("b"), agent("c", { session_cost_usd: 0 }));
  assert.deepEqual(shown(laidOut(agents, { sort: "cost" })), ["c", "a", "b"]);
  assert.deepEqual(shown(laidOut(agents, { sort: "-cost" })), ["a", "c", "b"]);
  const named = mapOf(agent("a", { model: "x" }), agent("b"), agent("c", { model: "m" }));
  assert.deepEqual(shown(laidOut(named, { sort: "model" })), ["c", "a", "b"]);
  assert.deepEqual(shown(laidOut(named, { sort: "-model" })), ["a", "c", "b"]);
});

test("groups have totals, sort empty values last and keep the status order", () => {
  const agents = mapOf(
    agent("a", { project: "shop", total_cost_tokens: 5 }), agent("b"),
    agent("c", { project: "shop", total_cost_tokens: 7, attention: true }),
    agent("d", { project: "api", status: "idle" }),
  );
  const byProject = laidOut(agents, { groupBy: "project" });
  assert.deepEqual(shown(byProject), ["[api 1]", "d", "[shop 2]", "c", "a", "[no project 1]", "b"]);
  const shop = byProject.rows[2];
  assert.deepEqual([shop.counts.tokens, shop.waiting, shop.key], [12, 1, "shop"]);
  assert.deepEqual(shown(laidOut(agents, { groupBy: "status" })), ["[waiting 1]", "c", "[active 2]", "b", "a", "[idle 1]", "d"]);
});

test("filter narrows the shown agents but not the totals of all", () => {
  const agents = mapOf(
    agent("claude-1", { current_feature_id: "feat-login", total_cost_tokens: 3 }),
    agent("claude-2", { status: "idle", attention: true }), agent("codex-1", { status: "offline" }),
  );
  const shown = (filter) => laidOut(agents, { filter }).ids;
  assert.deepEqual(shown({ text: "CLAUDE login" }), ["claude-1"]);
  assert.deepEqual(shown({ status: ["waiting", "offline"] }), ["claude-2", "codex-1"]);
  assert.deepEqual(shown({ feature: [""] }), ["claude-2", "codex-1"]);
  assert.deepEqual(shown({ feature: ["feat-login"], status: ["idle"] }), []);
  const layout = laidOut(agents, { filter: { text: "claude-1" } });
  assert.deepEqual([layout.all.total, layout.shown.total, layout.shown.tokens], [3, 1, 3]);
  assert.deepEqual([...layout.facets.status], [["active", 1], ["offline", 1], ["waiting", 1]]);
});

test("layout keeps rows when unsorted numbers change", () => {
  const agents = mapOf(agent("a"), agent("b"));
  const layout = createLayout();
  const settings = createSettings().get();
  const first = layout.update(agents, agents.keys(), settings);
  agents.set("a", agent("a", { total_cost_tokens: 9 }));
  const second = layout.update(agents, ["a"], settings);
  assert.equal(second.rows, first.rows);
  assert.deepEqual([second.moved, second.changedStructure, second.all.tokens], [null, false, 9]);
  assert.equal(layout.update(agents, [], settings).moved, null);
});

// A seeded generator, so that failures can be reproduced.
function random(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * n);
  };
}

const pick = (rnd, values) => values[rnd(values.length)];
const anyAgent = (rnd, id) => agent(id, {
  status: pick(rnd, ["active", "idle", "offline", "strange"]),
  attention: rnd(10) === 0,
  current_feature_id: pick(rnd, [null, "f1", "f2", "f10"]),
  title: pick(rnd, [null, null, "Fix login", "Port the importer"]),
  branch: pick(rnd, [null, "main", "fix"]),
  agent_kind: pick(rnd, [null, "claude", "codex"]),
  detail: pick(rnd, ["working", "done", "rate_limited"]),
  unseen: rnd(5) === 0,
  hooks: pick(rnd, [null, true, false]),
  context_tokens: rnd(5),
  context_window: pick(rnd, [null, 4]),
  detail_since: new Date(1e12 + rnd(50) * 1000).toISOString(),
  session_tokens: rnd(5),
  session_cost_usd: pick(rnd, [null, 0.5, 2]),
  unpriced_tokens: rnd(2),
  session_id: pick(rnd, [null, "s1", "s2"]),
  project: pick(rnd, [null, "p", "q"]),
  model: pick(rnd, [null, "m1", "m2"]),
  host: pick(rnd, [null, "h"]),
  last_tool_name: pick(rnd, [null, "Bash", "Edit"]),
  parent_agent_id: pick(rnd, [null, null, ...Array.from({ length: 12 }, (_, n) => `a${n}`)]),
  last_activity: new Date(1e12 + rnd(50) * 1000).toISOString(),
  since: pick(rnd, [null, new Date(1e12 + rnd(9) * 1000).toISOString()]),
  total_tools_executed: rnd(5),
  total_cost_tokens: rnd(5),
  total_errors: rnd(3),
  cost_usd: pick(rnd, [null, 0.5, 2]),
});
const filters = [{}, {}, { status: ["active", "waiting", "done"] }, { text: "f1" }, { feature: ["", "f2"] }];

test("incremental layout equals a layout from scratch", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const rnd = random(seed * 7919);
    const agents = new Map();
    const layout = createLayout();
    const settings = createSettings();
    for (let step = 0; step < 60; step += 1) {
      const changed = new Set();
      for (let n = rnd(6); n > 0; n -= 1) {
        const id = `a${rnd(25)}`;
        changed.add(id);
        if (rnd(6) === 0) agents.delete(id);
        else agents.set(id, anyAgent(rnd, id));
      }
      if (rnd(5) === 0) {
        settings.set({
          sort: pick(rnd, ["", "-"]) + pick(rnd, SORT_KEYS), filter: pick(rnd, filters),
          groupBy: pick(rnd, [null, ...GROUP_KEYS]),
        });
      }
      // Positions may lag behind, until an update does not hold them.
      if (rnd(2) === 0) {
        layout.update(agents, changed, settings.get(), true);
        changed.clear();
      }
      const previous = layout.update(agents, [], settings.get(), true).ids;
      const updated = layout.update(agents, changed, settings.get());
      // Rows that did not move keep their order.
      const stayed = (ids, others) => ids.filter((id) => !updated.moved?.has(id) && others.has(id));
      const was = new Set(previous);
      const is = new Set(updated.ids);
      const rebuilt = createLayout().update(agents, agents.keys(), settings.get());
      const about = `seed ${seed}, step ${step}, ${JSON.stringify(settings.get())}`;
      assert.deepEqual(updated.rows, rebuilt.rows, about);
      assert.deepEqual(updated.ids, rebuilt.ids, about);
      assert.deepEqual(stayed(updated.ids, was), stayed(previous, is), about);
      assert.deepEqual([updated.facets.used, [...updated.facets.withoutHooks].sort()],
        [rebuilt.facets.used, [...rebuilt.facets.withoutHooks].sort()], about);
      assert.deepEqual([updated.all, updated.shown], [rebuilt.all, rebuilt.shown], about);
      assert.deepEqual(updated.all, countAgents(agents.values()), about);
      for (const field of ["status", "kind", "feature", "project", "branch", "model", "host"]) {
        assert.deepEqual([...updated.facets[field]], [...rebuilt.facets[field]], about);
      }
    }
  }
});

test("layout puts the longest wait first, then agents that cannot work, then those done", () => {
  const at = (second) => new Date(1e12 + second * 1_000).toISOString();
  const agents = mapOf(
    agent("active"), agent("late", { attention: true, detail_since: at(9) }), agent("long", { attention: true, detail_since: at(1) }),
    agent("limited", { status: "idle", detail: "usage_limited", detail_since: at(0) }),
    agent("new", { status: "idle", detail: "done", unseen: true }), agent("rest", { status: "idle", detail: "done" }),
  );
  assert.deepEqual(laidOut(agents).ids, ["long", "late", "limited", "new", "active", "rest"]);
});

test("layout sorts by what agents are called", () => {
  const agents = mapOf(agent("a", { title: "Zebra" }), agent("z", { title: "Ant 10" }), agent("m", { title: "ant 2" }));
  assert.deepEqual(laidOut(agents, { sort: "agent" }).ids, ["m", "z", "a"]);
  const layout = createLayout();
  const settings = createSettings().get();
  layout.update(agents, agents.keys(), settings);
  agents.set("a", agent("a", { title: "Aardvark" }));
  assert.deepEqual(layout.update(agents, ["a"], settings).ids, ["a", "m", "z"]);
});

test("layout folds ended subagents into their parent until they are opened", () => {
  const agents = mapOf(
    agent("p"), agent("live", { parent_agent_id: "p" }), agent("over", { parent_agent_id: "p", status: "offline" }),
    agent("returned", { parent_agent_id: "p", status: "idle", detail: "done" }),
    agent("busy", { parent_agent_id: "p", status: "offline" }), agent("busy-kid", { parent_agent_id: "busy" }),
  );
  const layout = createLayout();
  const settings = createSettings().get();
  const first = layout.update(agents, agents.keys(), settings);
  assert.deepEqual(shown(first), ["p", ">live", ">busy", ">>busy-kid"]);
  assert.deepEqual(first.rows[0], { kind: "agent", id: "p", depth: 0, children: 2, ended: 2, open: false });
  layout.toggleEnded("p");
  assert.deepEqual(shown(layout.update(agents, [], settings)), ["p", ">live", ">returned", ">busy", ">>busy-kid", ">over"]);
  layout.toggleEnded("p");
  assert.equal(layout.update(agents, [], settings).ids.includes("over"), false);
  layout.open("over");
  assert.ok(layout.update(agents, [], settings).ids.includes("over"));
});

test("layout closes groups and keeps them closed", () => {
  const agents = mapOf(agent("a", { project: "p" }), agent("b", { project: "q" }));
  const layout = createLayout();
  const settings = createSettings({ groupBy: "project" });
  layout.update(agents, agents.keys(), settings.get());
  layout.toggleGroup("p");
  const closed = layout.update(agents, [], settings.get());
  assert.deepEqual(shown(closed), ["[p 1]", "[q 1]", "b"]);
  assert.deepEqual([closed.rows[0].open, closed.rows[1].open], [false, true]);
  settings.set({ groupBy: null });
  assert.deepEqual(shown(layout.update(agents, [], settings.get())), ["a", "b"]);
  settings.set({ groupBy: "project" });
  assert.deepEqual(shown(layout.update(agents, [], settings.get())), ["[p 1]", "[q 1]", "b"]);
  layout.open("a");
  assert.deepEqual(shown(layout.update(agents, [], settings.get())), ["[p 1]", "a", "[q 1]", "b"]);
});

test("layout holds positions, but not of agents that need a person", () => {
  const agents = mapOf(agent("a"), agent("b"), agent("c"));
  const layout = createLayout();
  const settings = createSettings().get();
  layout.update(agents, agents.keys(), settings);
  agents.set("a", agent("a", { status: "idle" }));
  const held = layout.update(agents, ["a"], settings, true);
  assert.deepEqual([held.ids, held.held, held.all.idle], [["a", "b", "c"], true, 1]);
  agents.set("c", agent("c", { attention: true }));
  assert.deepEqual(layout.update(agents, ["c"], settings, true).ids, ["c", "a", "b"]);
  agents.set("d", agent("d"));
  agents.delete("b");
  assert.deepEqual(layout.update(agents, ["b", "d"], settings, true).ids, ["c", "a", "d"]);
  const released = layout.update(agents, [], settings);
  assert.deepEqual([released.ids, released.held], [["c", "d", "a"], false]);
});

test("layout keeps the place of a renamed agent that is held while old names are dropped", () => {
  const layout = createLayout();
  const settings = createSettings().get();
  const agents = new Map();
  for (let n = 0; n < 600; n += 1) {
    agents.delete(`other-${n - 1}`);
    agents.set("renamed", agent("renamed", { title: `title ${n}` })).set(`other-${n}`, agent(`other-${n}`));
    layout.update(agents, ["renamed", `other-${n - 1}`, `other-${n}`], settings, true);
    assert.deepEqual(layout.update(agents, [], settings).ids, [`other-${n}`, "renamed"]);
  }
});
