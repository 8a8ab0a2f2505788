// @ts-check
/**
 * The plugins for JupyterLab and Notebook 7: the tab "Agent monitor", an item of the status bar, the
 * notifications about alerts, and the tables of saved grids.
 *
 * The grid is loaded on first use, so that it does not slow down the start.
 */

import { loadLabAlertSettings, showLabAlerts } from "./lab_alerts.js";
import { showSavedTables } from "./lab_saved.js";
import { createStatusItem } from "./lab_status.js";
import { openReplay } from "./lab_replay.js";
import { addStyles, createTab } from "./lab_tab.js";

export const OPEN = "htmlgraph-nb:open";
const NEXT_WAITING = "htmlgraph-nb:next-waiting";
const TITLE = "Agent monitor";
const CAPTION = "Live status of coding agents";
const ICON_NAME = "htmlgraph-nb:agents";
const NAMESPACE = "htmlgraph-nb";
const STATUS_RANK = 20;
const MENU_RANK = 60;
const NONE_WAITS = "No agent is waiting for you.";
const NOTICE_MS = 4_000;

/** Modules of the front end that the plugins use. */
const NEEDED = /** @type {const} */ ({
  application: "@jupyterlab/application",
  apputils: "@jupyterlab/apputils",
  components: "@jupyterlab/ui-components",
  widgets: "@lumino/widgets",
});
const OPTIONAL = /** @type {const} */ ({
  launcher: "@jupyterlab/launcher",
  mainmenu: "@jupyterlab/mainmenu",
  rendermime: "@jupyterlab/rendermime",
  settings: "@jupyterlab/settingregistry",
  statusbar: "@jupyterlab/statusbar",
});

/** URL of the server's page; these files are served below it. */
const PAGE = new URL("..", import.meta.url).href;

/**
 * Return the server's base URL. It includes the token if the front end has another origin, because the
 * server then receives no cookies.
 *
 * @param {string} page
 * @param {{appendToken?: boolean, token?: string}} settings of the front end's connection
 */
export function serverBase(page, { appendToken = false, token = "" }) {
  const base = new URL(page);
  if (appendToken && token) base.searchParams.set("token", token);
  return base.href;
}

/**
 * Return the plugins.
 *
 * @param {(name: string) => Promise<any>} use returns a module of the front end, or null
 * @returns {Promise<any[]>}
 * @throws {Error} the front end lacks a required module
 */
export async function makePlugins(use) {
  /** @type {Record<string, any>} */
  const modules = {};
  for (const [key, name] of Object.entries({ ...NEEDED, ...OPTIONAL })) modules[key] = await use(name);
  for (const [key, name] of Object.entries(NEEDED)) {
    if (modules[key] === null) throw new Error(`the front end does not provide ${name}`);
  }
  const icon = await loadIcon(modules.components.LabIcon);
  addStyles(document);
  return [tabPlugin(modules, icon), statusPlugin(modules), alertPlugin(modules), savedPlugin(modules)];
}

/** @param {any} LabIcon */
async function loadIcon(LabIcon) {
  const response = await fetch(new URL("favicon.svg", import.meta.url));
  return new LabIcon({ name: ICON_NAME, svgstr: await response.text() });
}

/**
 * @typedef {object} Live What the whole window shares: the connected store, and the alerts.
 * @property {import("./agent_grid.js").Store} store
 * @property {import("./alerts/alert_list.js").AlertList} alerts
 * @property {ReturnType<typeof import("./alerts/alert_actions.js").alertActionsOf> & {now: () => number}} actions
 */

/** @type {Promise<Live> | null} */
let livePromise = null;

/** @param {any} app @returns {Promise<Live>} */
async function connect(app) {
  const [{ createStore }, { keepConnected }, { createAlertList }, { alertActionsOf }] = await Promise.all([
    import("./agent_grid.js"), import("./connection.js"), import("./alerts/alert_list.js"), import("./alerts/alert_actions.js"),
  ]);
  const base = serverBase(PAGE, app.serviceManager.serverSettings);
  const store = createStore();
  const alerts = createAlertList();
  keepConnected(store, window, base, alerts);
  return { store, alerts, actions: { ...alertActionsOf(base, alerts), now: () => Date.now() + store.clockOffset } };
}

/** @param {any} app */
const liveState = (app) => (livePromise ??= connect(app));

/**
 * Return a plugin with optional services, passed by name.
 *
 * @param {string} id
 * @param {string} description
 * @param {Record<string, any>} tokens
 * @param {(app: any, services: Record<string, any>) => void} activate
 */
function plugin(id, description, tokens, activate) {
  const available = Object.entries(tokens).filter(([, token]) => token);
  return {
    id: `${NAMESPACE}:${id}`,
    description,
    autoStart: true,
    optional: available.map(([, token]) => token),
    /** @param {any} app @param {any[]} services */
    activate: (app, ...services) => activate(app, Object.fromEntries(available.map(([name], i) => [name, services[i]]))),
  };
}

/** @param {Record<string, any>} modules @param {any} icon */
function tabPlugin({ application, apputils, launcher, mainmenu, widgets }, icon) {
  const tokens = {
    shell: application.ILabShell,
    restorer: application.ILayoutRestorer,
    palette: apputils.ICommandPalette,
    launcher: launcher?.ILauncher,
    menu: mainmenu?.IMainMenu,
  };
  return plugin("tab", "The live page of the coding agents as a tab.", tokens, (app, services) => {
    const tracker = new apputils.WidgetTracker({ namespace: NAMESPACE });
    /** @type {any} */
    let tab = null;
    /** @param {{settings?: unknown, agent?: unknown}} args */
    const openTab = ({ settings, agent }) => {
      if (tab === null || tab.isDisposed) {
        tab = createTab(widgets.Widget, {
          live: () => liveState(app),
          base: serverBase(PAGE, app.serviceManager.serverSettings),
          title: TITLE, caption: CAPTION, icon,
          settings: typeof settings === "string" ? settings : "",
          onSettings: (changed) => tracker.save(changed),
          onReplay: (code) => openReplay(app, code).catch((error) => {
            apputils.Notification?.error(`The notebook could not be opened: ${error}`, { autoClose: NOTICE_MS });
          }),
        });
        tracker.add(tab);
      }
      if (!tab.isAttached) app.shell.add(tab, "main");
      app.shell.activateById(tab.id);
      if (typeof agent === "string") tab.showAgent(agent);
    };
    app.commands.addCommand(OPEN, {
      label: ({ isPalette }) => (isPalette ? `${TITLE}: open` : TITLE),
      caption: CAPTION,
      icon,
      // Notebook 7 shows one document per page: open a new page.
      execute: services.shell ? openTab : ({ agent }) => { window.open(addressOf(agent), NAMESPACE); },
    });
    services.palette?.addItem({ command: OPEN, category: "Other", args: { isPalette: true } });
    if (services.shell) {
      app.commands.addCommand(NEXT_WAITING, {
        label: `${TITLE}: next waiting agent`,
        caption: "Opens the agent monitor and selects the next agent that needs you",
        icon,
        execute: async () => {
          openTab({});
          if (!await tab.nextWaiting()) apputils.Notification?.info(NONE_WAITS, { autoClose: NOTICE_MS });
        },
      });
      services.palette?.addItem({ command: NEXT_WAITING, category: "Other" });
    }
    services.launcher?.add({ command: OPEN, category: "Other", rank: 1 });
    services.menu?.viewMenu.addGroup([{ command: OPEN }], MENU_RANK);
    services.restorer?.restore(tracker, {
      command: OPEN,
      args: (/** @type {any} */ tab) => ({ settings: tab.settings }),
      name: () => "agents",
    });
  });
}

/** @param {Record<string, any>} modules */
function statusPlugin({ statusbar, widgets }) {
  const tokens = { statusBar: statusbar?.IStatusBar };
  return plugin("status", "Counts of the coding agents in the status bar.", tokens, (app, { statusBar }) => {
    if (!statusBar) return;
    const { node, start } = createStatusItem(document, () => app.commands.execute(OPEN));
    const item = new widgets.Widget({ node });
    statusBar.registerStatusItem(`${NAMESPACE}:status`, { item, align: "left", rank: STATUS_RANK });
    liveState(app).then(start, (error) => console.error("htmlgraph-nb: cannot show the agents in the status bar", error));
  });
}

/** Return the URL of the page that shows an agent. @param {unknown} agent id; the page itself if it is none */
export function addressOf(agent) {
  const page = new URL(PAGE);
  if (typeof agent === "string" && agent !== "") page.hash = String(new URLSearchParams({ selected: agent }));
  return page.href;
}

/** @param {Record<string, any>} modules */
function alertPlugin({ apputils, settings }) {
  const tokens = { registry: settings?.ISettingRegistry };
  return plugin("alerts", "Notifications about coding agents that need a person.", tokens, async (app, { registry }) => {
    if (!apputils.Notification) return;
    try {
      const [{ alerts, actions }, texts, list, current] = await Promise.all([
        liveState(app), import("./alerts/alert_texts.js"), import("./alerts/alert_list.js"),
        loadLabAlertSettings(registry, `${NAMESPACE}:alerts`),
      ]);
      showLabAlerts(alerts, apputils.Notification, {
        settings: current,
        onOpen: (agent) => app.commands.execute(OPEN, { agent }),
        onAcknowledge: actions.acknowledge,
        worth: (changed) => list.worthNotifying(changed, "jupyter", actions.now()),
        describe: texts.describePlace,
      });
    } catch (error) {
      console.error("htmlgraph-nb: cannot notify of alerts", error);
    }
  });
}

/** @param {Record<string, any>} modules */
function savedPlugin({ rendermime }) {
  const tokens = { registry: rendermime?.IRenderMimeRegistry };
  return plugin("saved", "The saved table of a grid whose kernel has ended.", tokens, (_, { registry }) => {
    if (registry) showSavedTables(registry);
  });
}
