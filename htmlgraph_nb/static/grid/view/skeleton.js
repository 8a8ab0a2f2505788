// @ts-check
/** The elements of the grid that do not depend on agents. */

import { h, setAttribute, setText } from "./elements/dom.js";
import { formatCosts, formatCount, formatTokens, formatUsd, STATE_NAMES } from "./elements/format.js";
import { COUNTED_STATES } from "../model/totals.js";
import { createHead } from "./elements/page_head.js";
import { createServerBar, nextSteps } from "./server_bar.js";

/** @typedef {import("../model/agent.js").Counts} Counts */

/** Labels of the tiles of the states, which are also filters. */
const TILE_LABELS = { ...STATE_NAMES, done: "done" };
const SUM_TILES = /** @type {const} */ ([
  ["tokens", "total tokens"],
  ["cost", "total cost"],
]);

/**
 * @param {Document} doc
 * @param {{title?: string, hint?: string, page?: boolean, fill?: boolean, logo?: string, remember?: boolean,
 *   nav?: import("./elements/page_head.js").Navigation}} options
 */
export function buildFrame(doc, options) {
  /** @type {Record<string, HTMLElement>} */
  const stats = {};
  /** @param {string} name @param {string} className */
  const stat = (name, className) => (stats[name] = h(doc, "span", { class: className, "data-stat": name }, ["0"]));
  /** @param {string} name @param {string} label @param {string} tag @param {Record<string, string>} more */
  const tile = (name, label, tag, more) =>
    h(doc, tag, { class: `hg-stat hg-stat-${name}`, ...more }, [
      h(doc, "span", { class: "hg-figure" }, [stat(name, "hg-count")]),
      h(doc, "span", { class: "hg-label" }, [h(doc, "span", { class: "hg-shape", "aria-hidden": "true" }), label]),
    ]);
  const tiles = h(doc, "div", { class: "hg-stats", role: "group", "aria-label": "Totals" }, [
    ...COUNTED_STATES.map((name) =>
      tile(name, TILE_LABELS[name], "button", { type: "button", "data-filter": `status:${name}`, "aria-pressed": "false" })),
    ...SUM_TILES.map(([name, label]) => tile(name, label, "div", {})),
  ]);
  const unpriced = h(doc, "span", { class: "hg-unpriced", "data-stat": "unpriced" }, [""]);
  stats.cost.after(unpriced);
  const shown = h(doc, "span", { class: "hg-shown" }, [""]);
  const hint = h(doc, "div", { class: "hg-hint" }, [options.hint ?? ""]);
  const server = createServerBar(doc, options.remember, options.page);
  const emptyTitle = h(doc, "div", { class: "hg-empty-title" }, [""]);
  const empty = h(doc, "div", { class: "hg-empty" }, [emptyTitle, server.found, hint, nextSteps(doc, options.page)]);
  const clear = h(doc, "button", { type: "button", class: "hg-button", "data-control": "clear" }, ["Clear the filter"]);
  const none = h(doc, "div", { class: "hg-none" }, [h(doc, "div", {}, ["No agent matches the filter."]), clear]);
  const header = h(doc, "div", { class: "hg-header", role: "row" });
  const list = h(doc, "div", { class: "hg-list", role: "rowgroup" });
  const tree = h(doc, "div", { class: "hg-tree", role: "treegrid", "aria-label": "Agents" }, [list]);
  const box = h(doc, "div", { class: "hg-box", tabindex: "-1" }, [tree, empty, none]);
  const announcement = h(doc, "div", { class: "hg-hidden hg-announcement", role: "status" }, [""]);
  const main = h(doc, "div", { class: "hg-main" }, [box]);
  const help = h(doc, "button", {
    type: "button", class: "hg-copy hg-help-button", "data-control": "help", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts  ?",
  }, ["?"]);
  const { head, text, detail } = createHead(doc, {
    title: options.title ?? "Agents", page: options.page, nav: options.nav, logo: options.logo, beside: [stat("total", "hg-total"), shown], end: [help],
  });
  const root = h(doc, "section", { class: "htmlgraph-grid", "aria-label": "Agent presence" }, [
    head,
    ...server.elements, tiles, announcement, main,
  ]);
  root.toggleAttribute("data-fill", options.page === true || options.fill === true);
  return { root, unpriced, server, emptyTitle, help, tiles, text, detail, shown, stats, tree, header, list, hint, none, clear, box, main, announcement };
}

/**
 * Draw the totals.
 *
 * @param {ReturnType<typeof buildFrame>} frame
 * @param {Counts} counts of all agents @param {Counts} shown of the agents that match the filter
 */
export function writeStats({ root, stats, unpriced, shown: label }, counts, shown) {
  for (const name of /** @type {const} */ (["total", ...COUNTED_STATES])) setText(stats[name], formatCount(counts[name]));
  setText(stats.tokens, formatTokens(counts.tokens));
  setAttribute(stats.tokens, "title", `${formatCount(counts.tokens)} tokens`);
  setAttribute(stats.tokens, "data-value", String(counts.tokens));
  setText(stats.cost, formatUsd(counts.cost));
  setText(unpriced, counts.unpriced > 0 ? formatCosts(counts).slice(formatUsd(counts.cost).length) : "");
  const note = counts.unpriced
    ? `; ${counts.unpriced} agent${counts.unpriced > 1 ? "s" : ""} used tokens whose price is unknown` : "";
  setAttribute(stats.cost, "title", `${formatUsd(counts.cost)}${note}`);
  setAttribute(stats.cost, "data-value", counts.cost === null ? "" : String(counts.cost));
  setText(label, shown.total === counts.total ? "" : `${formatCount(shown.total)} shown`);
  root.toggleAttribute("data-waiting", counts.waiting > 0);
  root.toggleAttribute("data-cannot-work", counts.cannot_work > 0);
  root.toggleAttribute("data-done", counts.done > 0);
  root.toggleAttribute("data-priced", counts.cost !== null || counts.unpriced > 0);
  root.toggleAttribute("data-empty", counts.total === 0);
  root.toggleAttribute("data-none", counts.total > 0 && shown.total === 0);
}
