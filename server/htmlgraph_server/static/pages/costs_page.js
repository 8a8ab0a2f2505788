// @ts-check
/** The page "Costs": what agents cost in a range of time, by period and group, and what is left out. */

import { formatCount, formatShare, formatTokens, formatUsd, h, kindLabel, setText, visibleText } from "../agent_grid.js";
import { loadCsv, loadReport } from "../api.js";
import { colorFunction, createCostChart, seriesOf } from "./costs_chart.js";
import { drawCostTable, formatCost } from "./costs_table.js";
import { createChoice, createDownload, createMenu, createPageFrame, createRange } from "./page_parts.js";
import { GROUPS, hashOfSessions, MEASURES, SESSION_DEFAULTS } from "./page_settings.js";
import { boundsOf, rangeParameters } from "./ranges.js";
import { createLoader } from "./report_loader.js";

/** @typedef {import("./page_settings.js").CostSettings} CostSettings */

const MAX_GROUPS = 200;
const MAX_NAMES = 8;
const RANGE_NAMES = /** @type {const} */ (["today", "7d", "30d", "month", "12m", "custom"]);

/** Return the query of the report. @param {CostSettings} settings @param {Date} now */
export function costQuery(settings, now) {
  const query = rangeParameters(settings, now);
  query.set("by", settings.by);
  query.set("freq", boundsOf(settings, now).freq);
  query.set("limit", String(MAX_GROUPS));
  return query;
}

/** @param {string[]} names @param {number} [n] number of all */
function listNames(names, n = names.length) {
  const shown = names.slice(0, MAX_NAMES).map((name) => visibleText(name, 80));
  return n > shown.length ? `${shown.join(", ")} and ${formatCount(n - shown.length)} more` : shown.join(", ");
}

/** @param {number} n @param {string} word */
const plural = (n, word) => `${formatCount(n)} ${word}${n === 1 ? "" : "s"}`;

/**
 * Return sentences that say what the costs leave out.
 *
 * @param {any} report
 * @returns {string[]}
 */
export function gapsOf(report) {
  const gaps = [];
  if (report.unpriced.length > 0) {
    const names = report.unpriced.map((/** @type {any} */ row) => `${row.model ?? "no model"} (${formatTokens(row.unpriced_tokens)} tokens)`);
    gaps.push(`No price is known: ${listNames(names)}. These tokens are counted, but cost nothing here.`);
  }
  for (const { agent_kind: kind, agents, calls, days } of report.uncovered) {
    const who = kind === null ? "Agents of unknown kind" : kindLabel(kind);
    const work = calls > 0 ? ` with ${plural(calls, "call")}` : "";
    gaps.push(`Not covered: ${visibleText(who, 60)}, ${plural(agents, "agent")}${work} and no token counts, on ${listNames(days)}.`);
  }
  for (const note of report.notes) gaps.push(visibleText(`${note[0].toUpperCase()}${note.slice(1)}${/[.!?]$/.test(note) ? "" : "."}`));
  return gaps;
}

/**
 * Show the page.
 *
 * @param {HTMLElement} el
 * @param {import("./shell.js").PageOptions<CostSettings>} options
 */
export function mountCosts(el, { store, base, nav, logo, page, settings: initial, onSettings, hrefOf }) {
  const doc = el.ownerDocument;
  const win = /** @type {Window} */ (doc.defaultView);
  let settings = initial;
  /** @param {Partial<CostSettings>} changes */
  const change = (changes) => {
    settings = { ...settings, ...changes };
    onSettings(settings, true);
    apply();
  };

  const range = createRange(doc, RANGE_NAMES, change);
  const by = createMenu(doc, "by", "Groups", Object.fromEntries(Object.entries(GROUPS).map(([value, text]) => [value, `By ${text.toLowerCase()}`])),
    (value) => change({ by: /** @type {CostSettings["by"]} */ (value), sort: "" }));
  const measure = createChoice(doc, "measure", "Measure", MEASURES, (value) => change({ measure: /** @type {CostSettings["measure"]} */ (value) }));
  const download = createDownload(doc, "costs.csv", () => loadCsv(base, "costs", costQuery(settings, new Date())),
    (error) => frame.drawStatus({ ...loader.state, status: "failed", error }, ""));
  const frame = createPageFrame(el, {
    title: "Costs", name: "costs", store, nav, logo, page,
    tools: [...range.elements, by, measure.element, h(doc, "div", { class: "hg-toolbar-end" }, [download])],
  });
  frame.retry.addEventListener("click", () => loader.retry());

  /** @type {Record<string, HTMLElement>} */
  const figures = {};
  const tile = (/** @type {string} */ name, /** @type {string} */ label) => {
    figures[name] = h(doc, "span", { class: "hg-count", "data-stat": name }, ["—"]);
    return h(doc, "div", { class: "hg-stat" }, [h(doc, "span", { class: "hg-figure" }, [figures[name]]), h(doc, "span", { class: "hg-label" }, [label])]);
  };
  const tiles = h(doc, "div", { class: "hg-stats", role: "group", "aria-label": "Totals" }, [
    tile("usd", "cost"), tile("total", "tokens"), tile("output", "output tokens"), tile("hit", "cache hits"), tile("answers", "answers"),
  ]);
  const unpriced = h(doc, "span", { class: "hg-unpriced", "data-stat": "unpriced" }, [""]);
  figures.usd.after(unpriced);
  const box = h(doc, "div", { class: "hg-chart" });
  const gaps = h(doc, "ul", { class: "hg-gaps", "aria-label": "What the costs leave out" });
  const table = /** @type {HTMLTableElement} */ (h(doc, "table", { class: "hg-rows" }));
  const tableBox = h(doc, "div", { class: "hg-table-box", tabindex: "0", role: "group", "aria-label": "Table of costs" }, [table]);
  const empty = h(doc, "div", { class: "hg-empty-report", hidden: "" }, [
    h(doc, "div", { class: "hg-empty-title" }, ["No tokens were reported in this range."]),
    h(doc, "div", { class: "hg-hint" }, ["Choose a longer range. Session files of Claude Code, Codex and Gemini CLI are read when the server starts."]),
  ]);
  const note = h(doc, "p", { class: "hg-footnote" }, [""]);
  frame.body.append(tiles, gaps, box, tableBox, empty, note);
  const chart = createCostChart(box);

  const draw = () => {
    const { report, current } = loader.state;
    frame.drawStatus(loader.state, "");
    if (report === null || !current) return;
    const { freq } = boundsOf(settings, new Date());
    const { total } = report;
    empty.hidden = total !== null;
    for (const element of [tiles, box, tableBox]) element.hidden = total === null;
    const sentences = gapsOf(report);
    gaps.replaceChildren(...sentences.map((text) => h(doc, "li", {}, [text])));
    gaps.hidden = sentences.length === 0;
    const { source, version, date } = report.prices;
    setText(note, `Times in ${report.tz}. Prices: ${[source, version, date].filter(Boolean).join(" ")}. Calls that agents do not record, such as those for titles and recaps, are not included.`);
    if (total === null) return;
    setText(figures.usd, total.usd === null ? "—" : formatUsd(total.usd));
    figures.usd.setAttribute("data-value", String(total.usd ?? ""));
    setText(unpriced, total.unpriced_tokens > 0 ? ` + ${formatCost({ usd: null, unpriced_tokens: total.unpriced_tokens })}` : "");
    setText(figures.total, formatTokens(total.total));
    figures.total.setAttribute("data-value", String(total.total));
    setText(figures.output, formatTokens(total.output));
    setText(figures.hit, total.cache_hit_rate === null ? "—" : formatShare(total.cache_hit_rate));
    setText(figures.answers, formatCount(total.answers));
    const rows = settings.by === "day" ? report.periods : report.groups;
    drawCostTable(table, {
      rows, total, by: settings.by, freq, sort: settings.sort || (settings.by === "day" ? "-time" : "-usd"), more: settings.by === "day" ? 0 : report.n_groups - report.groups.length,
      colorOf: colorFunction(report, settings.by, settings.measure),
      hrefOf: (row) => sessionsOf(row), onSort: (sort) => change({ sort }),
    });
    const data = seriesOf(report, settings.by, settings.measure, freq);
    chart.draw({ ...data, measure: settings.measure, freq }).catch((error) => {
      setText(note, `The chart could not be loaded: ${error}`);
    });
  };
  /** Return the link to the sessions of a group; "" if there is none. @param {Record<string, any>} row */
  const sessionsOf = (row) => {
    if (settings.by === "day") return "";
    return hrefOf(hashOfSessions({
      ...SESSION_DEFAULTS, range: settings.range, from: settings.from, to: settings.to, filter: { [settings.by]: [row[settings.by] ?? ""] },
    }));
  };

  const loader = createLoader({
    store, win, onChange: draw, load: (query, signal) => loadReport(base, "costs", query, signal),
  });
  const apply = () => {
    range.draw(settings);
    by.value = settings.by;
    measure.draw(settings.measure);
    loader.show(costQuery(settings, new Date()));
    draw();
  };
  // A new day begins.
  const timer = win.setInterval(() => { if (!doc.hidden) loader.show(costQuery(settings, new Date())); }, 60_000);
  apply();

  return {
    /** @param {CostSettings} next */
    show(next) {
      settings = next;
      apply();
    },
    stop() {
      win.clearInterval(timer);
      loader.stop();
      chart.stop();
      frame.stop();
    },
  };
}
