// @ts-check
/** The pages Agents, Costs and Sessions in one element. Which one is shown, and its settings, are a URL fragment. */

import { createSettings, mountGrid } from "../agent_grid.js";
import { attachAlerts } from "../alerts/alert_panel.js";
import { hashOfSettings, settingsFromHash } from "../url_settings.js";
import { costsFromHash, hashOfCosts, hashOfSessions, pageOfHash, PAGES, sessionsFromHash } from "./page_settings.js";

/** @typedef {import("./page_settings.js").PageName} PageName */

const WRITE_AFTER_MS = 200;

/**
 * @template T
 * @typedef {object} PageOptions
 * @property {import("../agent_grid.js").Store} store
 * @property {string} base URL of the server's page
 * @property {import("../../../../htmlgraph_nb/static/grid/view/elements/page_head.js").Navigation} nav
 * @property {string} [logo]
 * @property {boolean} page whether it is the whole document
 * @property {T} settings
 * @property {(settings: T, isStep: boolean) => void} onSettings called after the person changed them; `isStep`: the back button undoes it
 * @property {(hash: string) => string} hrefOf returns the link of a fragment
 * @property {((code: string) => void) | null} [onReplay] opens a notebook with the code of a replay
 */

/**
 * Show the page of a fragment.
 *
 * @param {HTMLElement} el
 * @param {object} options
 * @param {import("../agent_grid.js").Store} options.store
 * @param {string} options.base URL of the server's page
 * @param {string} options.hash the fragment, with or without the #
 * @param {(hash: string, isStep: boolean) => void} options.onHash called after a change by the person; `isStep`: the back button undoes it
 * @param {boolean} [options.page] whether it is the whole document
 * @param {string} [options.logo]
 * @param {Partial<import("../../../../htmlgraph_nb/static/grid/view/mount.js").MountOptions>} options.grid options of the grid
 * @param {((code: string) => void) | null} [options.onReplay] opens a notebook with the code of a replay
 * @param {import("../alerts/alert_list.js").AlertList} [options.alerts] shown in the header
 * @param {import("../alerts/alert_panel.js").AlertActions} [options.alertActions]
 * @param {AbortSignal} [options.signal] removes the page
 */
export function mountPages(el, { store, base, hash: first, onHash, page = false, logo, grid, onReplay, alerts, alertActions, signal }) {
  const win = /** @type {Window & typeof globalThis} */ (el.ownerDocument.defaultView);
  /** The last fragment of each page. @type {Record<PageName, string>} */
  const hashes = { agents: "", costs: "page=costs", sessions: "page=sessions" };
  /** @type {PageName | null} */
  let current = null;
  /** @typedef {{show: (hash: string) => void, stop: () => void, nextWaiting?: () => boolean}} Shown */
  /** @type {Shown | null} */
  let shown = null;
  /** @type {PageName | null} */
  let shownName = null;
  /** @type {ReturnType<typeof attachAlerts> | null} */
  let panel = null;
  let visit = 0;
  let ready = Promise.resolve();

  const hrefOf = (/** @type {string} */ hash) => {
    const url = new URL(base);
    url.searchParams.delete("token");
    url.hash = hash;
    return url.href;
  };
  /** @param {PageName} name */
  const navOf = (name) => ({
    current: name,
    pages: /** @type {PageName[]} */ (Object.keys(PAGES)).map((other) => ({ name: other, label: PAGES[other], href: hrefOf(hashes[other]) })),
  });

  /** @param {PageName} name @param {string} hash @param {boolean} isStep */
  const write = (name, hash, isStep) => {
    hashes[name] = hash;
    if (current === name) onHash(hash, isStep);
  };

  const stop = () => {
    panel?.stop();
    panel = null;
    shown?.stop();
    shown = null;
  };
  /** Add the alerts to the header of the page that was mounted. */
  const addAlerts = () => {
    const root = /** @type {HTMLElement | null} */ (el.querySelector(".htmlgraph-grid"));
    if (root !== null && alerts !== undefined && alertActions !== undefined) panel = attachAlerts(root, alerts, alertActions);
  };

  /** @param {string} hash */
  const showAgents = (hash) => {
    const settings = createSettings(settingsFromHash(hash));
    let timer = 0;
    const unsubscribe = settings.subscribe(() => {
      // Browsers limit changes of the URL, and typing must not add an entry per letter to the history.
      timer ||= win.setTimeout(() => {
        timer = 0;
        write("agents", hashOfSettings(settings.get()), false);
      }, WRITE_AFTER_MS);
    });
    const unmount = mountGrid(el, store, { ...grid, page, logo, settings, nav: navOf("agents") });
    return {
      show: (/** @type {string} */ next) => settings.set(settingsFromHash(next)),
      nextWaiting: unmount.nextWaiting,
      stop() {
        win.clearTimeout(timer);
        hashes.agents = hashOfSettings(settings.get());
        unsubscribe();
        unmount();
      },
    };
  };

  /**
   * @template T
   * @param {"costs" | "sessions"} name
   * @param {(el: HTMLElement, options: PageOptions<T>) => {show: (settings: T) => void, stop: () => void}} mount
   * @param {(hash: string) => T} parse
   * @param {(settings: T) => string} format
   * @param {string} hash
   */
  const showReport = (name, mount, parse, format, hash) => {
    const view = mount(el, {
      store, base, nav: navOf(name), logo, page, settings: parse(hash), hrefOf, onReplay,
      onSettings: (settings, isStep) => write(name, format(settings), isStep),
    });
    return { show: (/** @type {string} */ next) => view.show(parse(next)), stop: view.stop };
  };

  /** Return a function that shows a page; load its modules first. @param {PageName} name @param {string} hash @returns {Promise<() => Shown>} */
  const open = async (name, hash) => {
    if (name === "agents") return () => showAgents(hash);
    if (name === "costs") {
      const { mountCosts } = await import("./costs_page.js");
      return () => showReport(name, mountCosts, costsFromHash, hashOfCosts, hash);
    }
    const { mountSessions } = await import("./sessions_page.js");
    return () => showReport(name, mountSessions, sessionsFromHash, hashOfSessions, hash);
  };

  /** Show the page of a fragment. @param {string} hash */
  const show = (hash) => {
    const text = hash.replace(/^#/, "");
    const name = pageOfHash(text);
    hashes[name] = text;
    if (name === current) {
      // Else its modules are still loading, and the fragment is read afterwards.
      if (shownName === name) shown?.show(text);
      return;
    }
    const focused = el.ownerDocument.activeElement;
    const hadFocus = focused !== el && el.contains(focused);
    current = name;
    visit += 1;
    const number = visit;
    ready = (async () => {
      try {
        const mount = await open(name, text);
        // Another page was chosen while its module was loading.
        if (number !== visit || signal?.aborted) return;
        stop();
        shown = mount();
        shownName = name;
        addAlerts();
        // The fragment may have changed meanwhile.
        if (hashes[name] !== text) shown.show(hashes[name]);
        if (hadFocus) /** @type {HTMLElement | null} */ (el.querySelector("[data-page-link][aria-current]"))?.focus({ preventScroll: true });
      } catch (error) {
        if (number !== visit) return;
        stop();
        shownName = current = null;
        el.textContent = `This page could not be loaded: ${error}. Reload to try again.`;
      }
    })();
  };

  /** @param {string} hash @param {boolean} isStep */
  const go = (hash, isStep) => {
    onHash(hash, isStep);
    show(hash);
  };

  // In JupyterLab a link to another page would replace the whole window.
  el.addEventListener("click", (event) => {
    const link = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest("a[href]"));
    const [address, hash = ""] = (link?.href ?? "").split("#");
    if (link === null || address !== hrefOf("") || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(hash, true);
  }, { signal });
  signal?.addEventListener("abort", stop, { once: true });
  show(first);

  return {
    show,
    /** Show an agent; without one open the list of alerts. @param {string} agentId */
    async showAgent(agentId) {
      if (agentId === "") return panel?.open();
      const parameters = new URLSearchParams(current === "agents" ? hashes.agents : "");
      parameters.set("selected", agentId);
      go(parameters.toString(), true);
      return ready;
    },
    /** Show the agents and select the next one that waits. @returns {Promise<boolean>} false if none does */
    async nextWaiting() {
      if (current !== "agents") go(hashes.agents, true);
      await ready;
      return shown?.nextWaiting?.() ?? false;
    },
  };
}
