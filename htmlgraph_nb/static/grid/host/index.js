// @ts-check
/**
 * The live agent grid: one set of modules for the notebook widget and for the page at `/`.
 *
 * They own the client's copy of the agents (a store that folds the server's messages) and the view
 * of it. They open no socket: the widget feeds the store from the kernel, the page from a WebSocket.
 * Joined they import nothing, so that they also load from a blob: URL.
 *
 * Text of agents reaches the document only as text nodes and attribute values.
 *
 * What tests may hold on to: `[data-view]`, `[data-connection]` and `[data-stale]` on
 * `.htmlgraph-grid`; `[data-stat="total|active|idle|offline|waiting|tokens|cost"]`; on each agent
 * `[data-agent-id]`, `[data-status]`, `[data-attention]`, `[aria-selected]`, in it
 * `[data-field="id|status|reason|feature|tool|session|activity|since|tools|tokens|cost|errors|
 * sparkline|model|project|host|parent|children"]`, numbers with their exact `data-value`;
 * `[data-control="search|filter|view|sort|group|columns|clear|play|time|speed"]`;
 * `button[data-filter="key:value"]`, `[data-chip="key:value"]`, `[data-sort="column"]`,
 * `[data-group="value"]`; `[data-panel="details"]` with `[data-event]` and `[data-copy]`.
 * `.hg-empty` is shown while there is no agent, `.hg-none` while the filter hides all.
 */

export { readPresence, readConnection } from "../model/agent.js";
export { describeConnection, describeAgent, formatAge, formatCount, formatDuration, formatTokens, formatUsd, visibleText } from "../view/elements/format.js";
export { mountGrid } from "../view/mount.js";
export { createRoster, foldMessage, foldKeyframe } from "../model/mirror.js";
export { createSettings } from "../model/settings.js";
export { createStore } from "../model/store.js";
export { countAgents } from "../model/totals.js";
export { default } from "./widget.js";
