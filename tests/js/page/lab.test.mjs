// The JupyterLab extension: container, plugins, status bar. Lab is a double; tests/e2e uses the real one.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { register } from "node:module";
import { mock, test } from "node:test";

import { formatTokens } from "../../../htmlgraph_nb/static/grid/view/elements/format.js";
import { addressOf, makePlugins, OPEN, serverBase } from "../../../server/htmlgraph_server/static/lab.js";
import { loadLabAlertSettings, readLabAlertSettings, showLabAlerts } from "../../../server/htmlgraph_server/static/lab_alerts.js";
import { statusText, statusTitle } from "../../../server/htmlgraph_server/static/lab_status.js";

const EXTENSION = new URL("../../../server/htmlgraph_server/labextension/", import.meta.url);
const NONE = { total: 0, waiting: 0, cannot_work: 0, done: 0, active: 0, idle: 0, offline: 0, tokens: 0, cost: null, unpriced: 0 };

test("statusText counts active agents, waiting agents and tokens", () => {
  const text = (counts, state = "connected") =>
    statusText({ ...NONE, ...counts }, state, formatTokens).replace(/\u00a0/g, " ");
  assert.equal(text({ total: 8, active: 5, waiting: 1, tokens: 1_200_000 }), "5 active · 1 waiting · 1.2 M tokens");
  assert.equal(text({ total: 8, active: 5, tokens: 950 }), "5 active · 950 tokens");
  assert.equal(text({ total: 2, idle: 2 }), "0 active");
  assert.equal(text({}), "No agents");
  assert.equal(text({}, "connecting"), "Agents: connecting…");
  for (const state of ["reconnecting", "closed", "ended"]) {
    assert.equal(text({ total: 8, active: 5 }, state), "Agents: not connected");
  }
});

test("statusText counts alerts before the tokens", () => {
  const counts = { ...NONE, total: 2, active: 1, tokens: 950 };
  assert.equal(statusText(counts, "connected", formatTokens, 1), "1 active · 1 alert · 950 tokens");
  assert.equal(statusText(NONE, "connected", formatTokens, 12), "No agents · 12 alerts");
  assert.equal(statusText(counts, "closed", formatTokens, 12), "Agents: not connected");
});

test("statusTitle explains the item", () => {
  const counts = { ...NONE, total: 5, active: 2, idle: 1, offline: 1, waiting: 1 };
  assert.match(statusTitle(counts, { state: "connected", detail: "" }), /^5 agents: 1 waiting for you, 0 cannot work, 0 done, 2 active, 1 idle, 1 offline\./);
  assert.match(statusTitle(counts, { state: "reconnecting", detail: "server shutting down" }),
    /^No connection to the agent server: server shutting down\. Opens/);
});

test("serverBase adds the token only for another origin", () => {
  const page = "https://hub.example/user/ada/htmlgraph/";
  assert.equal(serverBase(page, { appendToken: false, token: "t" }), page);
  assert.equal(serverBase(page, { appendToken: true, token: "" }), page);
  assert.equal(serverBase(page, { appendToken: true, token: "t&1" }), `${page}?token=t%261`);
});

// Module served below /here/; other URLs are not found.
const asksForModules = `export const makePlugins = async (use) => [
  await use("@lumino/widgets"), await use("@jupyterlab/launcher"), await use("@jupyterlab/statusbar"),
];`;
register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) => {
  if (!name.startsWith("http:")) return next(name, context);
  if (name !== "http://127.0.0.1:8888/here/htmlgraph/static/lab.js") throw new Error("404 " + name);
  return { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(asksForModules)}`)}, shortCircuit: true };
};`)}`);

/** Run the container's script like a front end. @param {string} baseUrl of Jupyter Server */
async function load(baseUrl) {
  const { jupyterlab } = JSON.parse(await readFile(new URL("package.json", EXTENSION), "utf8"));
  const text = await readFile(new URL(jupyterlab._build.load, EXTENSION), "utf8");
  const warnings = [];
  const win = {};
  const doc = {
    baseURI: "http://127.0.0.1:8888/anywhere/lab/tree/x.ipynb",
    getElementById: (id) => (id === "jupyter-config-data" ? { textContent: JSON.stringify({ baseUrl }) } : null),
  };
  const log = { warn: (...words) => warnings.push(words.join(" ")) };
  new Function("window", "document", "console", text)(win, doc, log);
  return { box: win._JUPYTERLAB["htmlgraph-nb"], warnings, name: jupyterlab._build.extension };
}

const shared = (module, more = {}) => ({ get: async () => () => module, ...more });

test("container prefers the loaded version of a module, else the latest", async () => {
  const { box, warnings, name } = await load("/here/");
  const scope = {
    "@lumino/widgets": { "2.10.0": shared("old, in use", { loaded: 1 }), "2.11.0": shared("new") },
    "@jupyterlab/launcher": { "4.9.0": shared("older"), "4.10.0": shared("newer") },
  };
  box.init(scope);
  const module = (await box.get(name))();
  assert.deepEqual(module, { __esModule: true, default: ["old, in use", "newer", null] });
  assert.equal(scope["@jupyterlab/launcher"]["4.10.0"].loaded, 1);
  assert.deepEqual(warnings, []);
  await assert.rejects(box.get("./other"), /no module \.\/other/);
});

test("container has no plugins without the server extension and logs why", async () => {
  const { box, warnings, name } = await load("/elsewhere/");
  box.init({});
  assert.deepEqual((await box.get(name))().default, []);
  assert.match(warnings[0], /jupyter server extension list.*404 http:\/\/127\.0\.0\.1:8888\/elsewhere\/htmlgraph/);
});

/** Return the modules of a front end and a record of calls. @param {string[]} absent */
function frontEnd(absent = []) {
  const tokens = (...names) => Object.fromEntries(names.map((name) => [name, { name }]));
  const modules = {
    "@jupyterlab/application": tokens("ILabShell", "ILayoutRestorer"),
    "@jupyterlab/apputils": { ...tokens("ICommandPalette"), WidgetTracker: class {} },
    "@jupyterlab/ui-components": { LabIcon: class { constructor(options) { Object.assign(this, options); } } },
    "@jupyterlab/launcher": tokens("ILauncher"),
    "@jupyterlab/mainmenu": tokens("IMainMenu"),
    "@jupyterlab/rendermime": tokens("IRenderMimeRegistry"),
    "@jupyterlab/settingregistry": tokens("ISettingRegistry"),
    "@jupyterlab/statusbar": tokens("IStatusBar"),
    "@lumino/widgets": { Widget: class {} },
  };
  return async (name) => (absent.includes(name) ? null : modules[name]);
}

/** Fake document for style sheets, and the icon file. */
function page(t) {
  const links = [];
  globalThis.document = {
    createElement: () => ({}), head: { append: (link) => links.push(link.href), querySelector: () => null },
  };
  mock.method(globalThis, "fetch", async (url) => new Response(await readFile(new URL(url), "utf8")));
  t.after(() => {
    mock.restoreAll();
    delete globalThis.document;
  });
  return links;
}

test("plugins require no optional module", async (t) => {
  const links = page(t);
  const plugins = await makePlugins(frontEnd([
    "@jupyterlab/launcher", "@jupyterlab/mainmenu", "@jupyterlab/rendermime", "@jupyterlab/settingregistry", "@jupyterlab/statusbar",
  ]));
  assert.deepEqual(plugins.map(({ id, autoStart }) => [id, autoStart]), [
    ["htmlgraph-nb:tab", true], ["htmlgraph-nb:status", true], ["htmlgraph-nb:alerts", true], ["htmlgraph-nb:saved", true],
  ]);
  assert.equal(plugins.some(({ requires }) => requires?.length > 0), false);
  assert.deepEqual(plugins.map(({ optional }) => optional.map(({ name }) => name)), [
    ["ILabShell", "ILayoutRestorer", "ICommandPalette"], [], [], [],
  ]);
  assert.deepEqual(links.map((href) => href.split("/").at(-1)), ["agent_grid.css", "pages.css", "alerts.css", "lab.css"]);
  await assert.rejects(makePlugins(frontEnd(["@lumino/widgets"])), /does not provide @lumino\/widgets/);
});

test("open command opens the page if there is no shell", async (t) => {
  page(t);
  const [tab] = await makePlugins(frontEnd());
  const commands = new Map();
  const opened = [];
  globalThis.window = { open: (url, name) => opened.push([new URL(url).pathname.split("/").at(-2), name]) };
  t.after(() => { delete globalThis.window; });
  const palette = [];
  const app = { commands: { addCommand: (id, options) => commands.set(id, options) } };
  const services = tab.optional.map(({ name }) => (name === "ICommandPalette" ? { addItem: (item) => palette.push(item) } : null));
  tab.activate(app, ...services);
  assert.deepEqual(palette.map(({ command }) => command), [OPEN]);
  assert.equal(commands.get(OPEN).label({}), "Agent monitor");
  assert.equal(commands.get(OPEN).label(palette[0].args), "Agent monitor: open");
  assert.match(commands.get(OPEN).icon.svgstr, /^<svg/);
  commands.get(OPEN).execute({});
  assert.deepEqual(opened, [["htmlgraph_server", "htmlgraph-nb"]]);
});

test("addressOf selects an agent", () => {
  assert.equal(new URL(addressOf("a&b c")).hash, "#selected=a%26b+c");
  for (const none of [undefined, "", 4]) assert.equal(new URL(addressOf(none)).hash, "");
});

test("settings of alerts have defaults", async () => {
  const all = { critical: true, warning: true, info: true, mute: false };
  assert.deepEqual(readLabAlertSettings(undefined), all);
  assert.deepEqual(readLabAlertSettings({ info: 4, mute: "x", other: true }), all);
  assert.deepEqual(readLabAlertSettings({ info: false, mute: true }), { ...all, info: false, mute: true });
  mock.method(console, "debug", () => {});
  assert.deepEqual((await loadLabAlertSettings(undefined, "x"))(), all);
  assert.deepEqual((await loadLabAlertSettings({ load: async () => { throw new Error("404"); } }, "x"))(), all);
  mock.restoreAll();
  const settings = { composite: { mute: true } };
  const current = await loadLabAlertSettings({ load: async () => settings }, "x");
  settings.composite = { mute: false };
  assert.equal(current().mute, false);
});

/** A list of alerts, a front end's notifications, and what was called. */
function labAlerts(settings = readLabAlertSettings({}), before = []) {
  const calls = [];
  let listener = null;
  const Notification = {
    emit: (text, type, options) => calls.push(["emit", text, type, options]) && `n${calls.length}`,
    dismiss: (id) => calls.push(["dismiss", id]),
    error: (text) => calls.push(["error", text]),
  };
  const alerts = { subscribe: (take) => { listener = take; }, section: () => before };
  showLabAlerts(alerts, Notification, {
    settings: () => settings, worth: (changed) => changed.filter(({ state, acknowledgedAt }) => state === "firing" && acknowledgedAt === null), describe: ({ project }) => project,
    onOpen: (id) => calls.push(["open", id]), onAcknowledge: async (id) => { throw new Error(`no ${id}`); },
  });
  return { calls, take: (...changed) => listener(changed) };
}
const labAlert = (id, more = {}) => ({
  id, message: `${id} waits.`, severity: "warning", state: "firing", acknowledgedAt: null, agentId: `agent-${id}`, project: "shop", ...more,
});

test("showLabAlerts shows an alert once and dismisses it at its end", async () => {
  const { calls, take } = labAlerts();
  take(labAlert("a"));
  take(labAlert("a"));
  const [[, text, type, { autoClose, actions }]] = calls;
  assert.deepEqual([calls.length, text, type, autoClose, actions.map(({ label }) => label)],
    [1, "a waits.\nshop", "warning", 12_000, ["Open", "Acknowledge"]]);
  actions[0].callback();
  await actions[1].callback();
  assert.deepEqual(calls.slice(1), [["open", "agent-a"], ["error", "The alert could not be acknowledged: no a"]]);
  take(labAlert("a", { acknowledgedAt: 1 }));
  assert.deepEqual(calls.at(-1), ["dismiss", "n1"]);
  take(labAlert("b", { severity: "critical" }));
  assert.deepEqual([calls.at(-1)[2], calls.at(-1)[3].autoClose], ["error", false]);
});

test("showLabAlerts respects the settings and shows what fired before", () => {
  const muted = labAlerts(readLabAlertSettings({ mute: true }), [labAlert("a")]);
  const severe = labAlerts(readLabAlertSettings({ warning: false }), [labAlert("a"), labAlert("b", { severity: "critical" })]);
  assert.deepEqual(muted.calls, []);
  assert.deepEqual(severe.calls.map(([, text]) => text), ["b waits.\nshop"]);
});

test("showLabAlerts joins many alerts", () => {
  const { calls, take } = labAlerts();
  take(...["a", "b", "c", "d"].map((id) => labAlert(id)));
  assert.deepEqual(calls.map(([, text]) => text), ["4 alerts, the first: a waits."]);
  calls[0][3].actions[0].callback();
  assert.deepEqual(calls.at(-1), ["open", ""]);
  take(labAlert("a", { state: "resolved" }));
  assert.deepEqual(calls.at(-1), ["open", ""]);
});
