// @ts-check
/** The bar that shows how full the context of an agent's model is. */

import { readTime } from "../../model/agent.js";
import { h, setAttribute, setStyle, setText } from "./dom.js";
import { formatCount, formatShare, formatTokens } from "./format.js";

/** @typedef {import("../../model/agent.js").Agent} Agent */

/** Shares of the window from which the bar warns: agents compact the context soon after. */
const HIGH = 0.75;
const FULL = 0.9;
/** How long a compaction is marked. */
const COMPACTION_SHOWN_MS = 10 * 60_000;
const SOURCES = /** @type {Record<string, string>} */ ({
  reported: "as reported by the agent",
  table: "from the table of models",
  marked: "from the name of the model",
  raised: "larger than in the table of models, because more was seen",
});

/** @param {Document} doc @returns {HTMLElement} to be drawn by drawContext */
export function createContextBar(doc) {
  return h(doc, "span", { class: "hg-context", "data-field": "context", role: "img" }, [
    h(doc, "span", { class: "hg-context-text" }, [""]),
    h(doc, "span", { class: "hg-context-bar" }, [h(doc, "span", { class: "hg-context-fill" })]),
    h(doc, "span", { class: "hg-context-compacted", title: "The context was compacted a short time ago." }, ["↯"]),
  ]);
}

/** Return what is known of an agent's context, in a sentence. @param {Agent} agent */
export function describeContext({ contextTokens, contextWindow, context, contextSource }) {
  if (contextTokens === null) return "The size of the context is unknown.";
  if (contextWindow === null || context === null) {
    return `${formatCount(contextTokens)} tokens in the context; the window of the model is unknown.`;
  }
  const source = SOURCES[contextSource] ?? "of unknown origin";
  return `${formatCount(contextTokens)} of ${formatCount(contextWindow)} tokens in the context (${formatShare(context)}); `
    + `window ${source}.`;
}

/** @param {HTMLElement} holder of createContextBar @param {Agent} agent */
export function drawContext(holder, agent) {
  const { context, contextTokens } = agent;
  const [text, bar] = /** @type {HTMLElement[]} */ ([...holder.children]);
  const label = describeContext(agent);
  setText(text, context !== null ? formatShare(context) : contextTokens !== null ? formatTokens(contextTokens) : "—");
  bar.hidden = context === null;
  if (context !== null) setStyle(bar, "--hg-fill", `${Math.round(context * 100)}%`);
  setAttribute(holder, "data-level", context === null || context < HIGH ? "low" : context < FULL ? "high" : "full");
  setAttribute(holder, "data-value", context === null ? "" : String(Math.round(context * 100)));
  setAttribute(holder, "title", label);
  setAttribute(holder, "aria-label", label);
}

/** Mark a recent compaction. @param {HTMLElement} holder @param {Agent} agent @param {number} clock ms since 1970 */
export function markCompaction(holder, { compactedAt }, clock) {
  const at = compactedAt === "" ? null : readTime(compactedAt);
  holder.toggleAttribute("data-compacted", at !== null && clock - at < COMPACTION_SHOWN_MS);
}
