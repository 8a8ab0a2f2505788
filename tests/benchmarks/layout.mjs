// Cost of one layout update, run with node: node tests/benchmarks/layout.mjs [--json]
//
// Milliseconds by the clock, and "cpu": mean of processor time, which other programs disturb less.
// 10,000 agents, of which a number changes; 200 updates of each kind. "moves": their status,
// attention and tokens change; "counts": only tokens. "first": a new layout of all agents.

import { performance } from "node:perf_hooks";

import { readPresence } from "../../htmlgraph_nb/static/grid/model/agent.js";
import { createLayout } from "../../htmlgraph_nb/static/grid/model/layout.js";
import { createSettings } from "../../htmlgraph_nb/static/grid/model/settings.js";

const AGENTS = 10_000;
const ROUNDS = 200;
const STATUSES = ["active", "idle", "offline"];

const presence = (n, round, tokens) => readPresence({
  agent_id: `agent-${n}`, status: STATUSES[(n + round) % 3], attention: (n + round) % 97 === 0,
  current_feature_id: `feat-${n % 40}`, session_id: `s-${n % 2000}`, project: `p-${n % 12}`,
  model: `m-${n % 5}`, total_tools_executed: n, total_cost_tokens: n * 7 + tokens,
  parent_agent_id: n % 4 === 0 ? null : `agent-${n - (n % 4)}`,
});

function measure(patch, nChanged, moves) {
  const agents = new Map();
  for (let n = 0; n < AGENTS; n += 1) agents.set(`agent-${n}`, presence(n, 0, 0));
  const settings = createSettings(patch).get();
  const engine = createLayout();
  const begun = performance.now();
  engine.update(agents, agents.keys(), settings);
  const first = performance.now() - begun;
  const times = [];
  let cpu = 0;
  for (let round = 1; round <= ROUNDS; round += 1) {
    const changed = new Set();
    for (let i = 0; i < nChanged; i += 1) {
      const n = (i * 7919 + round * 104_729) % AGENTS;
      const id = `agent-${n}`;
      agents.set(id, presence(n, moves ? round : 0, round));
      changed.add(id);
    }
    const used = process.cpuUsage();
    const start = performance.now();
    const layout = engine.update(agents, changed, settings);
    void layout.facets.model;
    times.push(performance.now() - start);
    cpu += process.cpuUsage(used).user;
  }
  times.sort((a, b) => a - b);
  return { first, cpu: cpu / 1_000 / ROUNDS, p50: times[ROUNDS / 2], p99: times[Math.floor(ROUNDS * 0.99)] };
}

const found = [];
for (const [name, patch] of [
  ["attention", {}], ["by project", { groupBy: "project" }], ["by session", { groupBy: "session" }],
  ["-tokens", { sort: "-tokens" }], ["search", { filter: { text: "agent-1 feat" } }],
]) {
  for (const nChanged of [100, 1_000]) {
    for (const moves of [true, false]) {
      found.push({ name, changed: nChanged, kind: moves ? "moves" : "counts", ...measure(patch, nChanged, moves) });
    }
  }
}
if (process.argv.includes("--json")) console.log(JSON.stringify(found));
else console.table(found.map((row) => ({
  ...row, first: row.first.toFixed(1), cpu: row.cpu.toFixed(2), p50: row.p50.toFixed(2), p99: row.p99.toFixed(2),
})));
