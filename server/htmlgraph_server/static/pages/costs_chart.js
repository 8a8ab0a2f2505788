// @ts-check
/** The chart of costs by period: stacked bars, one colour for each of the largest groups. */

import { formatCount, formatTokens, formatUsd } from "../agent_grid.js";
import { formatPeriod } from "./ranges.js";
import { groupName } from "./costs_table.js";

/** @typedef {import("./costs_table.js").CostRow} CostRow */

/** Colours of the groups, each with a contrast of 3:1 on light and on dark ground. */
export const COLORS = ["#4c7ff0", "#c97700", "#2c9b5f", "#c0569f", "#1591a5", "#9a4fe0", "#94851f", "#d65a4a"];
export const OTHER_COLOR = "#8a8d93";
const OTHER = "Other";
const KINDS = /** @type {const} */ ([["cache_read", "Cache read"], ["input", "Input"], ["cache_write", "Cache write"], ["output", "Output"]]);

/** @typedef {{label: string, color: string, values: (number | null)[]}} Series values in the order of the periods */

/**
 * Return the key of a group, by which rows of periods and groups are matched.
 *
 * @param {CostRow} row @param {string} by
 */
const keyOf = (row, by) => JSON.stringify(row[by] ?? null);

/**
 * Return the colour of each group in the chart.
 *
 * @param {any} report @param {string} by @param {"usd" | "total"} measure
 * @returns {Map<string, string>} key of the group → colour
 */
export function colorsOf(report, by, measure) {
  if (by === "day") return new Map();
  const groups = /** @type {CostRow[]} */ (report.groups).filter((row) => (row[measure] ?? 0) > 0);
  const largest = [...groups].sort((a, b) => (b[measure] ?? 0) - (a[measure] ?? 0)).slice(0, COLORS.length);
  return new Map(largest.map((row, i) => [keyOf(row, by), COLORS[i]]));
}

/**
 * Return a function that returns the colour of a row; "" if it is not in the chart.
 *
 * @param {any} report @param {string} by @param {"usd" | "total"} measure
 */
export function colorFunction(report, by, measure) {
  const colors = colorsOf(report, by, measure);
  return (/** @type {CostRow} */ row) => (by === "day" ? "" : colors.get(keyOf(row, by)) ?? OTHER_COLOR);
}

/**
 * Return the periods and the series of the chart.
 *
 * By time alone, tokens are divided by their kind.
 *
 * @param {any} report answer of /api/costs
 * @param {keyof typeof import("./page_settings.js").GROUPS} by
 * @param {"usd" | "total"} measure
 * @param {"h" | "D" | "W-MON" | "MS"} freq
 * @returns {{starts: string[], series: Series[]}}
 */
export function seriesOf(report, by, measure, freq) {
  /** @type {CostRow[]} */
  const periods = report.periods;
  const starts = report.starts.length > 0 ? report.starts : periods.map((row) => row.timestamp);
  const index = new Map(starts.map((/** @type {string} */ start, /** @type {number} */ i) => [start, i]));
  /** @param {string} label @param {string} color @returns {Series} */
  const empty = (label, color) => ({ label, color, values: starts.map(() => 0) });
  /** @param {Series} series @param {CostRow} row @param {number | null} value */
  const add = (series, row, value) => {
    const i = index.get(row.timestamp);
    if (i !== undefined) series.values[i] = (series.values[i] ?? 0) + (value ?? 0);
  };
  if (by === "day" && measure === "total") {
    const series = KINDS.map(([, label], i) => empty(label, COLORS[i]));
    for (const row of periods) {
      const values = [row.cache_read, row.input, row.cache_write_5m + row.cache_write_1h, row.output];
      for (const [i, value] of values.entries()) add(series[i], row, value);
    }
    return { starts, series };
  }
  if (by === "day") {
    const series = empty("Cost", COLORS[0]);
    for (const row of periods) add(series, row, row.usd);
    return { starts, series: [series] };
  }
  const colors = colorsOf(report, by, measure);
  const named = new Map(/** @type {CostRow[]} */ (report.groups).filter((row) => colors.has(keyOf(row, by)))
    .map((row) => [keyOf(row, by), empty(groupName(row, by, freq), colors.get(keyOf(row, by)) ?? OTHER_COLOR)]));
  const other = empty(OTHER, OTHER_COLOR);
  // The rest of each period's total: groups that the answer leaves out are in it, too.
  for (const row of periods) add(other, row, row[measure]);
  for (const row of /** @type {CostRow[]} */ (report.rows)) {
    const series = named.get(keyOf(row, by));
    if (series === undefined) continue;
    add(series, row, row[measure]);
    add(other, row, -(row[measure] ?? 0));
  }
  // Differences of floating-point sums.
  other.values = other.values.map((value) => (Math.abs(value ?? 0) < 1e-9 ? 0 : value));
  const order = [...colors.keys()].map((key) => /** @type {Series} */ (named.get(key)));
  return { starts, series: other.values.some((value) => (value ?? 0) > 0) ? [...order, other] : order };
}

/**
 * Return one sentence that says what the chart shows, for screen readers.
 *
 * @param {{starts: string[], series: Series[]}} data @param {"usd" | "total"} measure @param {"h" | "D" | "W-MON" | "MS"} freq
 */
export function describeChart({ starts, series }, measure, freq) {
  const totals = starts.map((_, i) => series.reduce((sum, { values }) => sum + (values[i] ?? 0), 0));
  const highest = Math.max(0, ...totals);
  if (highest === 0) return "No costs in this range.";
  const format = measure === "usd" ? formatUsd : formatTokens;
  const unit = measure === "usd" ? "" : " tokens";
  const at = formatPeriod(starts[totals.indexOf(highest)], freq);
  return `Stacked bars of ${starts.length} periods and ${series.length} groups. Highest: ${format(highest)}${unit}, ${at}. The table has the numbers.`;
}

/**
 * Create the chart; the library is loaded with the first drawing.
 *
 * @param {HTMLElement} box parent of the canvas
 */
export function createCostChart(box) {
  const doc = box.ownerDocument;
  const win = /** @type {Window & typeof globalThis} */ (doc.defaultView);
  const canvas = doc.createElement("canvas");
  canvas.setAttribute("role", "img");
  box.append(canvas);
  /** @type {any} */
  let chart = null;
  /** @type {{starts: string[], series: Series[], measure: "usd" | "total", freq: "h" | "D" | "W-MON" | "MS"} | null} */
  let shown = null;
  let stopped = false;

  const colorsOfTheme = () => {
    const style = win.getComputedStyle(box);
    return { text: style.color, line: style.borderTopColor, ground: style.backgroundColor, font: style.fontFamily };
  };

  const draw = async () => {
    const { Chart } = await import("../vendor/chart.js");
    if (stopped || shown === null) return;
    const { starts, series, measure, freq } = shown;
    const theme = colorsOfTheme();
    const format = measure === "usd" ? formatUsd : formatTokens;
    const still = win.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const data = {
      labels: starts.map((start) => formatPeriod(start, freq)),
      datasets: series.map(({ label, color, values }) => ({
        label, data: values, backgroundColor: color, hoverBackgroundColor: color, borderColor: theme.ground, borderWidth: { top: 1 }, maxBarThickness: 64,
        categoryPercentage: 0.86, barPercentage: 1,
      })),
    };
    const options = {
      responsive: true, maintainAspectRatio: false, animation: still ? false : { duration: 180 }, locale: "en-US",
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: true, grid: { display: false }, border: { color: theme.line },
          ticks: { color: theme.text, maxRotation: 0, autoSkipPadding: 14, font: { family: theme.font, size: 11 } } },
        y: { stacked: true, beginAtZero: true, grid: { color: theme.line }, border: { display: false },
          ticks: { color: theme.text, maxTicksLimit: 6, font: { family: theme.font, size: 11 },
            callback: (/** @type {number} */ value) => (measure === "usd" ? tickOfUsd(value) : formatTokens(value)) } },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          position: "nearest", itemSort: (/** @type {any} */ a, /** @type {any} */ b) => b.raw - a.raw,
          filter: (/** @type {any} */ item) => item.raw > 0, boxPadding: 4, usePointStyle: true,
          titleFont: { family: theme.font, size: 12 }, bodyFont: { family: theme.font, size: 12 }, footerFont: { family: theme.font, size: 12 },
          callbacks: {
            label: (/** @type {any} */ item) => ` ${item.dataset.label}: ${format(item.raw)}`,
            footer: (/** @type {any[]} */ items) => (items.length > 1
              ? `Total: ${measure === "usd" ? formatUsd(sumOf(items)) : `${formatCount(sumOf(items))} tokens`}` : ""),
          },
        },
      },
    };
    if (chart === null) chart = new Chart(canvas, { type: "bar", data, options });
    else {
      Object.assign(chart, { options });
      chart.data = data;
      chart.update();
    }
    canvas.setAttribute("aria-label", describeChart(shown, measure, freq));
    canvas.setAttribute("data-drawn", String(series.length));
  };

  // The theme of the page follows the system, that of JupyterLab an attribute of the body.
  const dark = win.matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => { if (shown !== null) draw(); };
  dark.addEventListener("change", redraw);
  const observer = new win.MutationObserver(redraw);
  observer.observe(doc.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });

  return {
    /** @param {NonNullable<typeof shown>} next @returns {Promise<void>} */
    draw(next) {
      shown = next;
      return draw();
    },
    stop() {
      stopped = true;
      dark.removeEventListener("change", redraw);
      observer.disconnect();
      chart?.destroy();
    },
  };
}

/** @param {any[]} items */
const sumOf = (items) => items.reduce((sum, item) => sum + item.raw, 0);

/** Return a tick of the axis, whose steps may be fractions of a cent. @param {number} usd */
export function tickOfUsd(usd) {
  return usd === 0 || usd >= 1 ? `$${usd >= 10_000 ? formatTokens(usd) : Number(usd.toPrecision(12))}` : `$${Number(usd.toPrecision(3))}`;
}
