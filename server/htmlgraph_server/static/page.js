// @ts-check
/** The page at `/`: agents, costs and sessions of this server. */

import { countAgents, createStore } from "./agent_grid.js";
import { keepBadge } from "./alerts/alert_badge.js";
import { alertActionsOf } from "./alerts/alert_actions.js";
import { createAlertList } from "./alerts/alert_list.js";
import { createNotifier } from "./alerts/browser_notifier.js";
import { loadHistory, markViewed } from "./api.js";
import { keepConnected } from "./connection.js";
import { mountPages } from "./pages/shell.js";

/** @typedef {import("./agent_grid.js").Store} Store */

const NAME = "htmlgraph-nb";

/**
 * Return the window title.
 *
 * @param {import("./agent_grid.js").Counts} counts
 * @param {boolean} connected
 * @param {number} [alerts] number of alerts that fire
 */
export function windowTitle(counts, connected, alerts = 0) {
  if (!connected) return `Not connected — ${NAME}`;
  const parts = [];
  if (counts.waiting > 0) parts.push(`${counts.waiting} waiting`);
  if (counts.cannot_work > 0) parts.push(`${counts.cannot_work} cannot work`);
  if (counts.active > 0) parts.push(`${counts.active} active`);
  const title = parts.length > 0 ? `${parts.join(" · ")} — ${NAME}` : NAME;
  return alerts > 0 ? `(${alerts}) ${title}` : title;
}

/** @param {Store} store @param {import("./alerts/alert_list.js").AlertList} alerts @param {Document} doc */
function keepTitle(store, alerts, doc) {
  let timer = 0;
  const write = () => {
    timer = 0;
    const connected = store.connection.state === "connected";
    doc.title = windowTitle(countAgents(store.agents.values()), connected, alerts.count);
  };
  const schedule = () => { timer ||= setTimeout(write, 500); };
  store.subscribe(schedule);
  alerts.subscribe(schedule);
}

/** Remove the token from the address bar and the browser history. @param {Window} win */
function dropToken({ location, history }) {
  const parameters = new URLSearchParams(location.search);
  if (!parameters.has("token")) return;
  parameters.delete("token");
  const search = parameters.size > 0 ? `?${parameters}` : "";
  history.replaceState(null, "", `${location.pathname}${search}${location.hash}`);
}

/** @param {Window} win */
function start(win) {
  dropToken(win);
  const store = createStore();
  const main = /** @type {HTMLElement} */ (win.document.getElementById("agents"));
  main.replaceChildren();
  const events = new URL("api/events", win.document.baseURI).href;
  const base = win.location.href;
  const alerts = createAlertList();
  const now = () => Date.now() + store.clockOffset;
  const notifier = createNotifier(win, alerts, {
    icon: new URL("static/favicon.svg", win.document.baseURI).href, now,
    onOpen: (agentId) => pages.showAgent(agentId),
  });
  const pages = mountPages(main, {
    store, base, hash: win.location.hash, page: true, logo: "static/favicon.svg",
    onHash: (hash, isStep) => {
      const { pathname, search } = win.location;
      const url = `${pathname}${search}${hash ? `#${hash}` : ""}`;
      if (isStep) win.history.pushState(null, "", url);
      else win.history.replaceState(null, "", url);
    },
    alerts,
    alertActions: { ...alertActionsOf(base, alerts), now, notifier, open: (agentId) => pages.showAgent(agentId) },
    grid: {
      hint: `Agents report to ${events}.`, remember: true,
      loadHistory: (agentId, options) => loadHistory(base, agentId, options),
      // The server sets it for a token that may not change anything.
      markViewed: win.document.body.dataset.may === "read" ? undefined : (agentId) => markViewed(base, agentId),
    },
  });
  // The back button, and an edited address.
  win.addEventListener("hashchange", () => pages.show(win.location.hash));
  keepTitle(store, alerts, win.document);
  keepBadge(win.document, alerts);
  keepConnected(store, win, base, alerts);
}

if (typeof window !== "undefined") start(window);
