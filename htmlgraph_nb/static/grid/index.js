// @ts-check
/**
 * The live agent grid: one set of modules for the notebook widget and for the page at `/`.
 *
 * They own the client's copy of the agents (a store that folds the server's messages) and the view
 * of it. They open no socket: the widget feeds the store from the kernel, the page from a WebSocket.
 * Joined they import nothing, so that they also load from a blob: URL.
 *
 * Text of agents reaches the document only as text nodes and attribute values.
 */

export { readPresence, readConnection } from "./agent.js";
export { createArrangement } from "./arrange.js";
export { describeConnection, describeAgent, formatAge, formatCount, formatDuration, formatTokens, formatUsd, visibleText } from "./format.js";
export { mountGrid } from "./mount.js";
export { compareAgents, compareIds, countAgents, createOrder } from "./order.js";
export { createRoster, foldMessage, foldKeyframe } from "./roster.js";
export { COLUMNS, DEFAULT_COLUMNS, FILTER_KEYS, GROUP_KEYS, SORT_KEYS, createSettings, readSettings } from "./settings.js";
export { createStore } from "./store.js";
export { default } from "./widget.js";
