// @ts-check
/** The table of costs by group, its order, and the numbers of the page. */

import { formatCount, formatShare, formatTokens, formatUsd, h, kindLabel, setStyle, visibleText } from "../agent_grid.js";
import { createSorter } from "./page_parts.js";
import { formatPeriod, PERIOD_NAMES } from "./ranges.js";
import { GROUPS } from "./page_settings.js";

/**
 * @typedef {Record<string, any> & {answers: number, input: number, cache_read: number, cache_write_5m: number,
 *   cache_write_1h: number, output: number, total: number, cache_hit_rate: number | null, usd: number | null, unpriced_tokens: number}} CostRow
 */

/** Columns of numbers: label, title, value. @type {Record<string, [string, string, (row: CostRow) => number | null]>} */
export const COST_COLUMNS = {
  usd: ["Cost", "US dollars, as reported by the agent or computed from the price of the model", (row) => row.usd],
  total: ["Tokens", "All tokens", (row) => row.total],
  input: ["Input", "Uncached input tokens", (row) => row.input],
  cache_read: ["Cache read", "Input tokens read from the cache", (row) => row.cache_read],
  cache_write: ["Cache write", "Input tokens written to the cache, for 5 minutes or an hour", (row) => row.cache_write_5m + row.cache_write_1h],
  output: ["Output", "Output tokens, with reasoning", (row) => row.output],
  hit: ["Cache hits", "Share of the input tokens that were read from the cache", (row) => row.cache_hit_rate],
  answers: ["Answers", "Answers of models", (row) => row.answers],
};

/** Return dollars, and the tokens they leave out. @param {{usd: number | null, unpriced_tokens: number}} row */
export function formatCost({ usd, unpriced_tokens: unpriced }) {
  const rest = unpriced > 0 ? `${formatTokens(unpriced)} tokens unpriced` : "";
  if (usd === null) return rest || "—";
  return rest ? `${formatUsd(usd)} + ${rest}` : formatUsd(usd);
}

/**
 * Return what a group is called.
 *
 * @param {CostRow} row @param {keyof typeof GROUPS} by @param {keyof typeof PERIOD_NAMES} freq
 */
export function groupName(row, by, freq) {
  if (by === "day") return formatPeriod(row.timestamp, freq);
  const value = row[by];
  if (value === null) return `no ${GROUPS[by].toLowerCase()}`;
  return visibleText(by === "agent_kind" ? kindLabel(value) : value, 120);
}

/**
 * Return the rows in the order of the table; missing values are last.
 *
 * @param {CostRow[]} rows @param {string} sort @param {(row: CostRow) => string} nameOf
 */
export function sortRows(rows, sort, nameOf) {
  const name = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  const valueOf = COST_COLUMNS[name]?.[2];
  // Names of periods do not sort by time, but their rows come in that order.
  if (valueOf === undefined) return name === "time" ? (sign < 0 ? [...rows].reverse() : rows) : [...rows].sort((a, b) => sign * nameOf(a).localeCompare(nameOf(b)));
  return [...rows].sort((a, b) => {
    const [x, y] = [valueOf(a), valueOf(b)];
    if (x === null || y === null) return Number(x === null) - Number(y === null) || b.total - a.total;
    return sign * (x - y) || b.total - a.total;
  });
}

/** @param {string} name @param {CostRow} row */
function cellText(name, row) {
  const value = COST_COLUMNS[name][2](row);
  if (name === "usd") return formatCost(row);
  if (value === null) return "—";
  if (name === "hit") return formatShare(value);
  return name === "answers" ? formatCount(value) : formatTokens(value);
}

/**
 * Draw the table.
 *
 * @param {HTMLTableElement} table
 * @param {object} options
 * @param {CostRow[]} options.rows
 * @param {CostRow | null} options.total
 * @param {keyof typeof GROUPS} options.by
 * @param {keyof typeof PERIOD_NAMES} options.freq
 * @param {string} options.sort
 * @param {number} options.more groups that are not in `rows`
 * @param {(row: CostRow) => string} options.colorOf colour in the chart; "" for none
 * @param {(row: CostRow) => string} options.hrefOf link to the sessions of a group; "" for none
 * @param {(sort: string) => void} options.onSort
 */
export function drawCostTable(table, { rows, total, by, freq, sort, more, colorOf, hrefOf, onSort }) {
  const doc = table.ownerDocument;
  const first = by === "day" ? "time" : "name";
  const columns = Object.keys(COST_COLUMNS);
  /** @param {string} name @param {string} label @param {string} title */
  const header = (name, label, title) =>
    createSorter(doc, { name, label, title, classes: name === first ? "hg-first" : "hg-end", ascending: name === "name" }, sort, (next) => {
      onSort(next);
      /** @type {HTMLElement | null} */ (table.querySelector(`[data-sort="${name}"]`))?.focus();
    });
  /** @param {CostRow} row @param {number} highest */
  const cells = (row, highest) => columns.map((name) => {
    const cell = h(doc, "td", { class: `hg-end hg-cost-${name}`, "data-field": name, "data-value": String(COST_COLUMNS[name][2](row) ?? "") },
      [h(doc, "span", {}, [cellText(name, row)])]);
    if (name === "usd" && highest > 0) {
      cell.prepend(h(doc, "span", { class: "hg-bar", "aria-hidden": "true" }));
      setStyle(cell, "--hg-share", String(Math.max(0, (row.usd ?? 0) / highest)));
    }
    return cell;
  });
  const label = by === "day" ? PERIOD_NAMES[freq] : GROUPS[by];
  const highest = Math.max(0, ...rows.map((row) => row.usd ?? 0));
  const sorted = sortRows(rows, sort, (row) => groupName(row, by, freq));
  const body = sorted.map((row) => {
    const name = groupName(row, by, freq);
    const color = colorOf(row);
    const mark = h(doc, "span", { class: "hg-swatch", "aria-hidden": "true" });
    if (color) setStyle(mark, "background", color);
    const href = hrefOf(row);
    const text = href ? h(doc, "a", { href, class: "hg-link", title: "Sessions of this group" }, [name]) : h(doc, "span", {}, [name]);
    return h(doc, "tr", { "data-group": String(row[by === "day" ? "timestamp" : by] ?? "") }, [
      h(doc, "th", { scope: "row", class: "hg-first" }, [...(color ? [mark] : []), text]), ...cells(row, highest),
    ]);
  });
  const rest = more > 0 ? [h(doc, "tr", { class: "hg-rest" }, [
    h(doc, "td", { class: "hg-first", colspan: String(columns.length + 1) }, [`and ${formatCount(more)} more with lower costs, which the total includes`]),
  ])] : [];
  const foot = total === null ? [] : [h(doc, "tr", { "data-group": "total" }, [
    h(doc, "th", { scope: "row", class: "hg-first" }, ["Total"]), ...cells(total, 0),
  ])];
  table.replaceChildren(
    h(doc, "caption", { class: "hg-hidden" }, [`Costs by ${label.toLowerCase()}`]),
    h(doc, "thead", {}, [h(doc, "tr", {}, [header(first, label, `Sort by ${label.toLowerCase()}`), ...columns.map((name) => header(name, COST_COLUMNS[name][0], COST_COLUMNS[name][1]))])]),
    h(doc, "tbody", {}, [...body, ...rest]),
    h(doc, "tfoot", {}, foot),
  );
}
