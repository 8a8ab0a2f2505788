// @ts-check
/** The tab in JupyterLab. The grid is part of Lab's document, so that it uses Lab's theme. */

import { loadHistory, markViewed } from "./api.js";
import { hashOfSettings, settingsFromHash } from "./url_settings.js";

/** @typedef {import("./agent_grid.js").Store} Store */

const ID = "htmlgraph-nb-tab";
const STYLES = ["agent_grid.css", "lab.css"];
const SAVE_AFTER_MS = 500;
const HINT = "Commands are typed in a terminal.";

/** Add the style sheets to the document, once. @param {Document} doc */
export function addStyles(doc) {
  for (const name of STYLES) {
    const href = new URL(name, import.meta.url).href;
    if (doc.head.querySelector(`link[href="${href}"]`) !== null) continue;
    const link = doc.createElement("link");
    Object.assign(link, { rel: "stylesheet", href });
    doc.head.append(link);
  }
}

/**
 * Create the tab.
 *
 * @param {any} Widget Lumino's class
 * @param {object} options
 * @param {() => Promise<Store>} options.store
 * @param {string} options.base URL of the server's page
 * @param {string} options.title
 * @param {string} options.caption
 * @param {any} options.icon
 * @param {string} options.settings settings of the grid, as a URL fragment
 * @param {(tab: any) => void} options.onSettings called when they change
 */
export function createTab(Widget, { store, base, title, caption, icon, settings, onSettings }) {
  const disposed = new AbortController();

  class Tab extends Widget {
    constructor() {
      super();
      this.id = ID;
      this.settings = settings;
      Object.assign(this.title, { label: title, caption, icon, closable: true });
      this.addClass(ID);
      this.node.tabIndex = -1;
      /** The function that mountGrid returned. @type {ReturnType<typeof import("./agent_grid.js").mountGrid> | null} */
      this.grid = null;
      this.ready = this.fill();
    }

    async fill() {
      try {
        const [{ createSettings, mountGrid }, liveStore] = await Promise.all([import("./agent_grid.js"), store()]);
        if (disposed.signal.aborted) return;
        const view = createSettings(settingsFromHash(settings));
        this.grid = mountGrid(this.node, liveStore, {
          fill: true, hint: HINT, settings: view, signal: disposed.signal, remember: true,
          loadHistory: (agentId, options) => loadHistory(base, agentId, options),
          markViewed: (agentId) => markViewed(base, agentId),
        });
        this.saveChanges(view);
      } catch (error) {
        this.node.textContent = `The agent monitor could not be loaded: ${error}. Reload the page to try again.`;
      }
    }

    /** Select the next agent that needs a person, when the agents are known. @returns {Promise<boolean>} false if none does */
    async nextWaiting() {
      await this.ready;
      const liveStore = await store();
      await new Promise((resolve) => {
        const check = () => { if (liveStore.connection.state !== "connecting") resolve(null); };
        disposed.signal.addEventListener("abort", liveStore.subscribe(check));
        disposed.signal.addEventListener("abort", resolve);
        check();
      });
      return !this.isDisposed && this.grid !== null && this.grid.nextWaiting();
    }

    /** Save changed settings, so that a reload restores them. @param {ReturnType<typeof import("./agent_grid.js").createSettings>} view */
    saveChanges(view) {
      let timer = 0;
      const save = () => {
        timer = 0;
        if (this.isDisposed) return;
        this.settings = hashOfSettings(view.get());
        onSettings(this);
      };
      view.subscribe(() => { timer ||= setTimeout(save, SAVE_AFTER_MS); });
    }

    onActivateRequest() {
      this.node.focus({ preventScroll: true });
    }

    dispose() {
      disposed.abort();
      super.dispose();
    }
  }

  return new Tab();
}
