// @ts-check
/**
 * The live agent grid: one set of modules for the notebook widget and for the page at `/`.
 *
 * `model/` keeps the client's copy of the agents, `view/` draws it, `host/` connects both to a
 * notebook. No module opens a socket: the widget passes messages from the kernel to the store, the
 * page those from its WebSocket. The joined module has no imports, so it also loads from a blob: URL.
 *
 * Text supplied by agents enters the document only as text nodes and attribute values.
 *
 * Stable selectors for tests: `[data-view]`, `[data-connection]` and `[data-stale]` on
 * `.htmlgraph-grid`; `[data-stat="total|active|idle|offline|waiting|tokens|cost"]`; on each agent
 * `[data-agent-id]`, `[data-status]`, `[data-attention]`, `[aria-selected]`, in it
 * `[data-field="id|status|reason|feature|tool|session|activity|since|tools|tokens|cost|errors|
 * sparkline|model|project|host|parent|children"]`, numbers with their exact `data-value`;
 * `[data-control="search|filter|view|sort|group|columns|clear|play|time|speed"]`;
 * `button[data-filter="key:value"]`, `[data-chip="key:value"]`, `[data-sort="column"]`,
 * `[data-group="value"]`; `[data-panel="details"]` with `[data-event]` and `[data-copy]`.
 * `.hg-empty` is shown when there are no agents, `.hg-none` when the filter hides all of them.
 */

export { readPresence, readConnection } from "../model/agent.js";
export { describeConnection, describeAgent, formatAge, formatCount, formatDuration, formatTokens, formatUsd, visibleText } from "../view/elements/format.js";
export { mountGrid } from "../view/mount.js";
export { createMirror, applyMessage, applySnapshot } from "../model/mirror.js";
export { createSettings } from "../model/settings.js";
export { createStore } from "../model/store.js";
export { countAgents } from "../model/totals.js";
export { default } from "./widget.js";
