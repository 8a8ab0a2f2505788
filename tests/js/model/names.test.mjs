// Names of agents.

import assert from "node:assert/strict";
import { test } from "node:test";

import { readPresence } from "../../../htmlgraph_nb/static/grid/model/agent.js";
import { kindLabel, shortId } from "../../../htmlgraph_nb/static/grid/model/names.js";

const named = (id, more = {}) => {
  const { name, place } = readPresence({ agent_id: id, ...more });
  return [name, place];
};

test("shortId keeps the part of a UUID that differs", () => {
  assert.equal(shortId("claude-4a9c1ab2"), "claude-4a9c1ab2");
  assert.equal(shortId("codex-019e56a6-a7f0-75d0-a6ed-b560f4a1d899"), "codex-f4a1d899");
  assert.equal(shortId("claude-4a9c1ab2-7d41-4e0b-9c1e-7a2b5d0000ff"), "claude-4a9c1ab2");
  assert.equal(shortId("my-agent"), "my-agent");
});

test("agents are called by title, else project and branch, else id", () => {
  const place = { project: "shop", branch: "fix/login" };
  assert.deepEqual(named("claude-1", { title: "Fix login", ...place }), ["Fix login", "shop · fix/login"]);
  assert.deepEqual(named("claude-1", place), ["shop · fix/login", ""]);
  assert.deepEqual(named("claude-1", { project: "shop" }), ["shop", ""]);
  assert.deepEqual(named("claude-1", { branch: "main" }), ["claude-1", "main"]);
  assert.deepEqual(named("claude-1"), ["claude-1", ""]);
});

test("subagents are called by their own title, not by the project of the parent", () => {
  const sub = { parent_agent_id: "claude-1", project: "shop", branch: "main" };
  assert.deepEqual(named("claude-2", { ...sub, title: "Explore" }), ["Explore", "shop · main"]);
  assert.deepEqual(named("claude-2", sub), ["claude-2", "shop · main"]);
});

test("kindLabel names known kinds and keeps others", () => {
  assert.deepEqual(["claude", "my-kind", "", "constructor"].map(kindLabel), ["Claude Code", "my-kind", "", "constructor"]);
});
