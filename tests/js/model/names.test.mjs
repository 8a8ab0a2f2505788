// Names of agents.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { readPresence } from "../../../htmlgraph_nb/static/grid/model/agent.js";
import {
  createProjects, kindLabel, projectFolder, selectsProject, shortId,
} from "../../../htmlgraph_nb/static/grid/model/names.js";

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

const PROJECTS = JSON.parse(
  readFileSync(new URL("../../payloads/project_folders.json", import.meta.url), "utf8"));
/** A working folder of which projectFolder returns this folder. */
const cwdOf = (folder) => (folder ?? "/elsewhere").replace("~", "/home/u");

test("projectFolder is as in Python", () => {
  for (const [project, cwd, folder] of PROJECTS.folders) {
    assert.equal(projectFolder(project, cwd), folder ?? "", cwd);
  }
});

test("labels of projects are as in Python", () => {
  for (const [places, labels] of PROJECTS.labels) {
    const projects = createProjects();
    places.forEach(([name, folder], i) => projects.place(`a${i}`, name, cwdOf(folder)));
    assert.deepEqual(places.map((_, i) => projects.label(`a${i}`)), labels);
  }
});

test("place returns the projects that may be called otherwise", () => {
  const projects = createProjects();
  assert.deepEqual(projects.place("a", "api", "/home/u/acme/api"), ["api"]);
  assert.deepEqual(projects.place("b", "api", "/home/u/acme/api/src"), []);
  assert.deepEqual(projects.place("c", "api", "/home/u/beta/api"), ["api"]);
  assert.deepEqual(projects.agents("api"), ["a", "b", "c"]);
  assert.deepEqual([projects.label("a"), projects.label("c")], ["acme/api", "beta/api"]);
  // An agent that works elsewhere for a moment stays in its project.
  assert.deepEqual(projects.place("c", "api", "/tmp"), []);
  assert.deepEqual(projects.place("c"), ["api"]);
  assert.deepEqual([projects.label("a"), projects.label("c")], ["api", ""]);
  assert.deepEqual([projects.place("c"), projects.place("a"), projects.place("b")], [[], [], ["api"]]);
});

test("selectsProject accepts the name and folders above", () => {
  const selects = (wanted) => selectsProject(wanted, "api", "~/clients/acme/api");
  assert.deepEqual(
    ["api", "acme/api", "clients/acme/api", "~/clients/acme/api", "beta/api", "cme/api", "acme", ""].map(selects),
    [true, true, true, true, false, false, false, false]);
});
