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
 * `.htmlgraph-grid`;
 * `[data-stat="total|waiting|cannot_work|done|active|idle|offline|tokens|cost"]`; on each agent
 * `[data-agent-id]`, `[data-status]`, `[data-state]`, `[data-attention]`, `[aria-selected]`, in it
 * `[data-field="name|place|id|kind|status|reason|age|feature|tool|session|activity|since|tools|tokens|
 * cost|errors|context|sparkline|model|project|branch|host|parent|children"]`, numbers with their exact
 * `data-value`; `[data-quota="account:window"]`;
 * `[data-control="search|filter|view|sort|group|columns|clear|help|dismiss|play|time|speed"]`;
 * `button[data-filter="key:value"]`, `[data-chip="key:value"]`, `[data-sort="column"]`,
 * `[data-group="value"]` with `[data-toggle="value"]`; `[data-panel="details"]` with `[data-event]` and `[data-copy]`.
 * `.hg-empty` is shown when there are no agents, `.hg-none` when the filter hides all of them.
 */

export { isRecord, readConnection, readPresence, readText, readTime } from "../model/agent.js";
export { copyButton, createFrameScheduler, h, icon, setAttribute, setStyle, setText } from "../view/elements/dom.js";
export { iconOfKind } from "../view/elements/fields.js";
export { describeConnection, describeAgent, formatAge, formatCount, formatDuration, formatMoment, formatShare, formatSpan, formatTokens, formatUsd, visibleText, STATE_NAMES } from "../view/elements/format.js";
export { createHead } from "../view/elements/page_head.js";
export { attachPopover, createPopover } from "../view/elements/popover.js";
export { kindLabel, nameAgent, shortId } from "../model/names.js";
export { resumeCommand } from "../view/details.js";
export { mountGrid } from "../view/mount.js";
export { createMirror, applyMessage, applySnapshot } from "../model/mirror.js";
export { createSettings } from "../model/settings.js";
export { createStore } from "../model/store.js";
export { countAgents } from "../model/totals.js";
export { default } from "./widget.js";
