// @ts-check
/** The tab in JupyterLab: agents, costs and sessions. They are part of Lab's document, so that it uses Lab's theme. */

import { loadHistory, markViewed } from "./api.js";

const ID = "htmlgraph-nb-tab";
const STYLES = ["agent_grid.css", "pages.css", "alerts.css", "lab.css"];
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
 * @param {() => Promise<import("./lab.js").Live>} options.live
 * @param {string} options.base URL of the server's page
 * @param {string} options.title
 * @param {string} options.caption
 * @param {any} options.icon
 * @param {string} options.settings the page shown and its settings, as a URL fragment
 * @param {(tab: any) => void} options.onSettings called when they change
 * @param {(code: string) => void} [options.onReplay] opens a notebook with the code of a replay
 */
export function createTab(Widget, { live, base, title, caption, icon, settings, onSettings, onReplay }) {
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
        const [{ mountPages }, { store, alerts, actions }] = await Promise.all([import("./pages/shell.js"), live()]);
        if (disposed.signal.aborted) return;
        const count = () => { this.title.label = alerts.count === 0 ? title : `(${alerts.count}) ${title}`; };
        disposed.signal.addEventListener("abort", alerts.subscribe(count));
        count();
        this.pages = mountPages(this.node, {
          store, base, hash: settings, signal: disposed.signal, onReplay, alerts,
          alertActions: { ...actions, open: (agentId) => this.pages?.showAgent(agentId) },
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
      const { store } = await live();
      await new Promise((resolve) => {
        const check = () => { if (store.connection.state !== "connecting") resolve(null); };
        disposed.signal.addEventListener("abort", store.subscribe(check));
        disposed.signal.addEventListener("abort", resolve);
        check();
      });
      return !this.isDisposed && this.pages !== null && this.pages.nextWaiting();
    }

    /** Show an agent; without one the alerts. @param {string} agentId */
    async showAgent(agentId) {
      await this.ready;
      this.pages?.showAgent(agentId);
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
