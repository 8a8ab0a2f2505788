// @ts-check
/** The item of JupyterLab's status bar: active agents, waiting agents, alerts, tokens. */

/** @typedef {import("./agent_grid.js").Counts} Counts */

const WRITE_EVERY_MS = 500;
const SEPARATOR = " · ";
const NO_BREAK_SPACE = "\u00a0";

/**
 * Return the item's text.
 *
 * @param {Counts} counts
 * @param {string} state of the connection
 * @param {(n: number) => string} formatTokens
 * @param {number} [alerts] number of alerts that fire
 */
export function statusText(counts, state, formatTokens, alerts = 0) {
  if (state === "connecting") return "Agents: connecting…";
  if (state !== "connected") return "Agents: not connected";
  const firing = alerts === 0 ? [] : [alerts === 1 ? "1 alert" : `${alerts} alerts`];
  if (counts.total === 0) return ["No agents", ...firing].join(SEPARATOR);
  const tokens = formatTokens(counts.tokens).replace(/(?=[a-z]$)/i, NO_BREAK_SPACE);
  const parts = [`${counts.active} active`];
  if (counts.waiting > 0) parts.push(`${counts.waiting} waiting`);
  if (counts.cannot_work > 0) parts.push(`${counts.cannot_work} cannot work`);
  parts.push(...firing);
  if (counts.tokens > 0) parts.push(`${tokens} tokens`);
  return parts.join(SEPARATOR);
}

/**
 * Return the tooltip of the item.
 *
 * @param {Counts} counts
 * @param {{state: string, detail: string}} connection
 */
export function statusTitle(counts, { state, detail }) {
  const opens = "Opens the agent monitor.";
  if (state === "connected") {
    return `${counts.total} agents: ${counts.waiting} waiting for you, ${counts.cannot_work} cannot work, `
      + `${counts.done} done, ${counts.active} active, ${counts.idle} idle, ${counts.offline} offline. ${opens}`;
  }
  const why = detail ? `: ${detail}` : "";
  return `${state === "connecting" ? "Connecting to" : "No connection to"} the agent server${why}. ${opens}`;
}

/**
 * Create the item.
 *
 * @param {Document} doc
 * @param {() => void} onOpen
 */
export function createStatusItem(doc, onOpen) {
  const node = doc.createElement("div");
  const button = doc.createElement("button");
  node.className = "htmlgraph-nb-status";
  button.type = "button";
  button.className = "jp-StatusBar-TextItem";
  button.addEventListener("click", onOpen);
  node.append(button);

  /** @param {string} text @param {string} title */
  const show = (text, title) => {
    if (button.textContent !== text) {
      button.textContent = text;
      // Screen readers read the item without its context.
      button.setAttribute("aria-label", `Agent monitor: ${text}`);
    }
    if (button.title !== title) button.title = title;
  };
  show("Agents: connecting…", "");

  return {
    node,
    /** Show the agents and the number of alerts. @param {import("./lab.js").Live} live */
    async start({ store, alerts }) {
      const { countAgents, formatTokens, visibleText } = await import("./agent_grid.js");
      let timer = 0;
      const render = () => {
        timer = 0;
        const counts = countAgents(store.agents.values());
        const { state, detail } = store.connection;
        show(statusText(counts, state, formatTokens, alerts.count), visibleText(statusTitle(counts, { state, detail })));
        button.toggleAttribute("data-waiting", state === "connected" && (counts.waiting > 0 || alerts.count > 0));
        button.toggleAttribute("data-stale", state !== "connected");
      };
      const schedule = () => { timer ||= setTimeout(render, WRITE_EVERY_MS); };
      store.subscribe(schedule);
      alerts.subscribe(schedule);
      render();
    },
  };
}
