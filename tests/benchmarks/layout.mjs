// Time of one layout update: node tests/benchmarks/layout.mjs [--json]
//
// Of 10,000 agents, 100 or 1,000 change per update; 200 updates of each kind. In "moves" their
// status, attention and tokens change, in "counts" only their tokens. Milliseconds of real time
// (p50, p99), and "cpu", the mean CPU time, which other programs affect less. "first" is the first
// layout of all agents. There is no peer: compare versions.

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
  const layout = createLayout();
  const started = performance.now();
  layout.update(agents, agents.keys(), settings);
  const first = performance.now() - started;
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
    const cpuBefore = process.cpuUsage();
    const start = performance.now();
    const result = layout.update(agents, changed, settings);
    void result.facets.model;
    times.push(performance.now() - start);
    cpu += process.cpuUsage(cpuBefore).user;
  }
  times.sort((a, b) => a - b);
  return { first, cpu: cpu / 1_000 / ROUNDS, p50: times[ROUNDS / 2], p99: times[Math.floor(ROUNDS * 0.99)] };
}

const results = [];
for (const [name, patch] of [
  ["attention", {}], ["by project", { groupBy: "project" }], ["by session", { groupBy: "session" }],
  ["-tokens", { sort: "-tokens" }], ["search", { filter: { text: "agent-1 feat" } }],
]) {
  for (const nChanged of [100, 1_000]) {
    for (const moves of [true, false]) {
      results.push({ name, changed: nChanged, kind: moves ? "moves" : "counts", ...measure(patch, nChanged, moves) });
    }
  }
}
if (process.argv.includes("--json")) console.log(JSON.stringify(results));
else console.table(results.map((row) => ({
  ...row, first: row.first.toFixed(1), cpu: row.cpu.toFixed(2), p50: row.p50.toFixed(2), p99: row.p99.toFixed(2),
})));
