// @ts-check
/**
 * The plugins for JupyterLab and Notebook 7: the tab "Agent monitor", an item of the status bar, and
 * the tables of saved grids.
 *
 * The grid is loaded on first use, so that it does not slow down the start.
 */

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
  return [tabPlugin(modules, icon), statusPlugin(modules), savedPlugin(modules)];
}

/** @param {any} LabIcon */
async function loadIcon(LabIcon) {
  const response = await fetch(new URL("favicon.svg", import.meta.url));
  return new LabIcon({ name: ICON_NAME, svgstr: await response.text() });
}

/**
 * The connected store, shared by the whole window.
 *
 * @type {Promise<import("./agent_grid.js").Store> | null}
 */
let storePromise = null;

/** @param {any} app */
async function connect(app) {
  const [{ createStore }, { keepConnected }] = await Promise.all([
    import("./agent_grid.js"), import("./connection.js"),
  ]);
  const store = createStore();
  keepConnected(store, window, serverBase(PAGE, app.serviceManager.serverSettings));
  return store;
}

/** @param {any} app */
const liveStore = (app) => (storePromise ??= connect(app));

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
    /** @param {{settings?: unknown}} args */
    const openTab = ({ settings }) => {
      if (tab === null || tab.isDisposed) {
        tab = createTab(widgets.Widget, {
          store: () => liveStore(app),
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
    };
    app.commands.addCommand(OPEN, {
      label: ({ isPalette }) => (isPalette ? `${TITLE}: open` : TITLE),
      caption: CAPTION,
      icon,
      // Notebook 7 shows one document per page: open a new page.
      execute: services.shell ? openTab : () => { window.open(PAGE, NAMESPACE); },
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
    liveStore(app).then(start, (error) => console.error("htmlgraph-nb: cannot show the agents in the status bar", error));
  });
}

/** @param {Record<string, any>} modules */
function savedPlugin({ rendermime }) {
  const tokens = { registry: rendermime?.IRenderMimeRegistry };
  return plugin("saved", "The saved table of a grid whose kernel has ended.", tokens, (_, { registry }) => {
    if (registry) showSavedTables(registry);
  });
}
