// @ts-check
/** The tab in JupyterLab: agents, costs and sessions. They are part of Lab's document, so that it uses Lab's theme. */

import { loadHistory, markViewed } from "./api.js";

/** @typedef {import("./agent_grid.js").Store} Store */

const ID = "htmlgraph-nb-tab";
const STYLES = ["agent_grid.css", "pages.css", "lab.css"];
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
 * @param {string} options.settings the page shown and its settings, as a URL fragment
 * @param {(tab: any) => void} options.onSettings called when they change
 * @param {(code: string) => void} [options.onReplay] opens a notebook with the code of a replay
 */
export function createTab(Widget, { store, base, title, caption, icon, settings, onSettings, onReplay }) {
  const disposed = new AbortController();
  let saveTimer = 0;

  class Tab extends Widget {
    constructor() {
      super();
      this.id = ID;
      this.settings = settings;
      Object.assign(this.title, { label: title, caption, icon, closable: true });
      this.addClass(ID);
      this.node.tabIndex = -1;
      /** What mountPages returned. @type {ReturnType<typeof import("./pages/shell.js").mountPages> | null} */
      this.pages = null;
      this.ready = this.fill();
    }

    async fill() {
      try {
        const [{ mountPages }, liveStore] = await Promise.all([import("./pages/shell.js"), store()]);
        if (disposed.signal.aborted) return;
        this.pages = mountPages(this.node, {
          store: liveStore, base, hash: settings, signal: disposed.signal, onReplay,
          onHash: (hash) => this.save(hash),
          grid: {
            fill: true, hint: HINT, remember: true,
            loadHistory: (agentId, options) => loadHistory(base, agentId, options),
            markViewed: (agentId) => markViewed(base, agentId),
          },
        });
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
      return !this.isDisposed && this.pages !== null && this.pages.nextWaiting();
    }

    /** Save the settings, so that a reload restores them. @param {string} hash */
    save(hash) {
      this.settings = hash;
      saveTimer ||= setTimeout(() => {
        saveTimer = 0;
        if (!this.isDisposed) onSettings(this);
      }, SAVE_AFTER_MS);
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
