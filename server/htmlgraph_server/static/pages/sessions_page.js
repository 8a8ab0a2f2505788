// @ts-check
/** The page "Sessions": search, filter and sort the sessions of a range of time, and their details. */

import { createPopover, formatCount, h, icon, setText } from "../agent_grid.js";
import { loadCsv, loadReport } from "../api.js";
import { createDownload, createPageFrame, createRange } from "./page_parts.js";
import { FACETS } from "./page_settings.js";
import { localZone, rangeParameters } from "./ranges.js";
import { createLoader } from "./report_loader.js";
import { createSessionDetails } from "./session_details.js";
import { drawSessionTable, drawStates, facetLabel, keyOfSession } from "./sessions_table.js";

/** @typedef {import("./page_settings.js").SessionSettings} SessionSettings */
/** @typedef {import("./page_settings.js").FacetName} FacetName */
/** @typedef {import("./sessions_table.js").SessionRow} SessionRow */

const PAGE_ROWS = 200;
const MAX_ROWS = 5_000;
const SEARCH_AFTER_MS = 250;
const STATES_AFTER_MS = 300;
const RANGE_NAMES = /** @type {const} */ (["today", "7d", "30d", "month", "all", "custom"]);
const FACET_NAMES = /** @type {FacetName[]} */ (Object.keys(FACETS));

/** Return the query of the report. @param {SessionSettings} settings @param {number} limit @param {Date} now */
export function sessionQuery(settings, limit, now) {
  const query = rangeParameters(settings, now);
  query.set("sort", settings.sort);
  query.set("limit", String(limit));
  const search = settings.search.trim().slice(0, 200);
  if (search) query.set("search", search);
  for (const name of FACET_NAMES) for (const value of settings.filter[name] ?? []) query.append(name, value);
  return query;
}

/** Return a filter with a value added or removed. @param {SessionSettings["filter"]} filter @param {FacetName} name @param {string} value */
export function toggleFacet(filter, name, value) {
  const before = filter[name] ?? [];
  const values = before.includes(value) ? before.filter((item) => item !== value) : [...before, value];
  const { [name]: _, ...rest } = filter;
  return values.length > 0 ? { ...rest, [name]: values } : rest;
}

/**
 * Show the page.
 *
 * @param {HTMLElement} el
 * @param {import("./shell.js").PageOptions<SessionSettings>} options
 */
export function mountSessions(el, { store, base, nav, logo, page, settings: initial, onSettings, hrefOf, onReplay }) {
  const doc = el.ownerDocument;
  const win = /** @type {Window} */ (doc.defaultView);
  let settings = initial;
  let limit = PAGE_ROWS;
  /** A selected session that is not among the rows. @type {SessionRow | null} */
  let selectedRow = null;
  let requested = "";
  /** @param {Partial<SessionSettings>} changes @param {boolean} [isStep] whether the back button undoes it */
  const change = (changes, isStep = true) => {
    settings = { ...settings, ...changes };
    if (!("selected" in changes)) limit = PAGE_ROWS;
    onSettings(settings, isStep);
    apply();
  };

  const input = /** @type {HTMLInputElement} */ (h(doc, "input", {
    type: "search", class: "hg-search-input", "data-control": "search", placeholder: "Search", "aria-label": "Search sessions", maxlength: "200",
    title: "Every word must occur in title, id, kind, project, branch or model.", spellcheck: "false", autocomplete: "off",
  }));
  let searchTimer = 0;
  input.addEventListener("input", () => {
    win.clearTimeout(searchTimer);
    searchTimer = win.setTimeout(() => { if (input.value.trim() !== settings.search) change({ search: input.value.trim() }, false); }, SEARCH_AFTER_MS);
  });
  const search = h(doc, "label", { class: "hg-search" }, [icon(doc, "search"), input]);
  const range = createRange(doc, RANGE_NAMES, change);
  const chips = h(doc, "div", { class: "hg-chosen" });
  const download = createDownload(doc, "sessions.csv", () => loadCsv(base, "sessions", sessionQuery(settings, limit, new Date())),
    (error) => frame.drawStatus({ ...loader.state, status: "failed", error }, ""));
  const holder = h(doc, "span", { class: "hg-popover-holder" });
  const frame = createPageFrame(el, {
    title: "Sessions", name: "sessions", store, nav, logo, page,
    tools: [search, ...range.elements, holder, chips, h(doc, "div", { class: "hg-toolbar-end" }, [download])],
  });
  frame.retry.addEventListener("click", () => loader.retry());
  const filters = createPopover(frame.root, { label: "Filter", name: "filter", build: (panel) => buildFilters(panel) });
  holder.replaceWith(filters.button);

  const table = /** @type {HTMLTableElement} */ (h(doc, "table", { class: "hg-rows hg-sessions" }));
  const more = h(doc, "button", { type: "button", class: "hg-button", "data-control": "more", hidden: "" }, ["Show more"]);
  more.addEventListener("click", () => {
    limit = Math.min(MAX_ROWS, limit + PAGE_ROWS);
    apply();
  });
  const empty = h(doc, "div", { class: "hg-empty-report", hidden: "" }, [h(doc, "div", { class: "hg-empty-title" }, [""]), h(doc, "div", { class: "hg-hint" }, [""])]);
  const clear = h(doc, "button", { type: "button", class: "hg-button", "data-control": "clear" }, ["Clear search and filter"]);
  clear.addEventListener("click", () => change({ search: "", filter: {} }));
  empty.append(clear);
  const tableBox = h(doc, "div", { class: "hg-table-box", tabindex: "0", role: "group", "aria-label": "Table of sessions" }, [table, more]);
  const main = h(doc, "div", { class: "hg-main" }, [h(doc, "div", { class: "hg-session-list" }, [tableBox, empty])]);
  frame.body.append(main);
  frame.body.classList.add("hg-page-fill");
  const details = createSessionDetails(doc, {
    store, onReplay: onReplay ?? null,
    liveHref: (row) => hrefOf(new URLSearchParams({ selected: row.agent_id }).toString()),
    onClose: () => {
      const key = settings.selected === "" ? "" : `${settings.agent}\n${settings.selected}`;
      change({ selected: "", agent: "" });
      const row = [...table.querySelectorAll("tr[data-key]")].find((item) => item.getAttribute("data-key") === key);
      /** @type {HTMLElement | null | undefined} */ (row?.querySelector(".hg-open"))?.focus({ preventScroll: true });
    },
  });

  /** @param {HTMLElement} panel */
  const buildFilters = (panel) => {
    const facets = loader.state.report?.facets ?? {};
    panel.replaceChildren(...FACET_NAMES.map((name) => {
      const counts = /** @type {Record<string, number>} */ (facets[name] ?? {});
      const chosen = settings.filter[name] ?? [];
      const values = [...new Set([...chosen, ...Object.keys(counts)])];
      const buttons = values.map((value) => {
        const button = h(doc, "button", { type: "button", class: "hg-chip", "data-filter": `${name}:${value}`, "aria-pressed": String(chosen.includes(value)) }, [
          h(doc, "span", { class: "hg-chip-text" }, [facetLabel(name, value, FACETS[name])]),
          h(doc, "span", { class: "hg-chip-count" }, [formatCount(counts[value] ?? 0)]),
        ]);
        button.addEventListener("click", () => {
          change({ filter: toggleFacet(settings.filter, name, value) });
          buildFilters(panel);
          /** @type {HTMLElement | undefined} */ ([...panel.querySelectorAll("[data-filter]")]
            .map((item) => /** @type {HTMLElement} */ (item)).find((item) => item.dataset.filter === `${name}:${value}`))?.focus();
        });
        return button;
      });
      return h(doc, "div", { class: "hg-facet" }, [h(doc, "div", { class: "hg-facet-label" }, [FACETS[name]]), h(doc, "div", { class: "hg-chips" }, buttons)]);
    }));
  };

  const drawChips = () => {
    chips.replaceChildren(...FACET_NAMES.flatMap((name) => (settings.filter[name] ?? []).map((value) => {
      const text = facetLabel(name, value, FACETS[name]);
      const chip = h(doc, "button", { type: "button", class: "hg-chip", "data-chip": `${name}:${value}`, "aria-label": `Remove the filter ${FACETS[name]}: ${text}` }, [
        h(doc, "span", { class: "hg-chip-key" }, [FACETS[name]]), h(doc, "span", { class: "hg-chip-text" }, [text]), icon(doc, "close"),
      ]);
      chip.addEventListener("click", () => change({ filter: toggleFacet(settings.filter, name, value) }));
      return chip;
    })));
    filters.button.toggleAttribute("data-on", Object.keys(settings.filter).length > 0);
  };

  /** @param {any} report */
  const describeCount = (report) => {
    const all = `${formatCount(report.n_all)} session${report.n_all === 1 ? "" : "s"} in this range`;
    const shown = report.sessions.length;
    if (report.n_sessions !== report.n_all) return `${formatCount(report.n_sessions)} of ${all}${shown < report.n_sessions ? `, ${formatCount(shown)} shown` : ""}`;
    return shown < report.n_all ? `${all}, ${formatCount(shown)} shown` : all;
  };

  const drawDetails = () => {
    if (settings.selected === "" && settings.agent === "") {
      details.panel.remove();
      frame.root.removeAttribute("data-details");
      selectedRow = null;
      requested = "";
      return;
    }
    const key = `${settings.agent}\n${settings.selected}`;
    const rows = /** @type {SessionRow[]} */ (loader.state.report?.sessions ?? []);
    const matches = (/** @type {SessionRow} */ row) => (settings.agent === "" ? (row.session_id ?? "") === settings.selected : keyOfSession(row) === key);
    const row = rows.find(matches) ?? (selectedRow !== null && matches(selectedRow) ? selectedRow : null);
    if (row === null) return loadSelected(key, matches);
    selectedRow = row;
    const isNew = !details.panel.isConnected || details.panel.getAttribute("data-key") !== key;
    details.panel.setAttribute("data-key", key);
    // Do not replace what has the focus.
    if (isNew || !details.panel.contains(doc.activeElement)) details.draw(row, Date.now());
    if (!details.panel.isConnected) main.append(details.panel);
    frame.root.setAttribute("data-details", "");
    return undefined;
  };
  /** Load a session of a link that is not in the list. @param {string} key @param {(row: SessionRow) => boolean} matches */
  const loadSelected = async (key, matches) => {
    if (requested === key || settings.selected === "") return;
    requested = key;
    try {
      const report = await loadReport(base, "sessions", new URLSearchParams({ session: settings.selected, tz: localZone() }));
      selectedRow = report.sessions.find(matches) ?? null;
    } catch (error) {
      console.warn("htmlgraph-nb: cannot load the session of the link:", error);
    }
    if (selectedRow !== null) drawDetails();
  };

  const draw = () => {
    const { report, current } = loader.state;
    frame.drawStatus(loader.state, report === null ? "" : `${describeCount(report)}. Times in ${report.tz}.`);
    drawDetails();
    if (report === null || !current) return;
    const rows = report.sessions;
    drawSessionTable(table, {
      rows, sort: settings.sort, selected: `${settings.agent}\n${settings.selected}`, store, now: Date.now(),
      onSelect: (row) => change({ selected: row.session_id ?? "", agent: row.agent_id }),
      onSort: (sort) => change({ sort }),
    });
    tableBox.hidden = rows.length === 0;
    empty.hidden = rows.length > 0;
    const none = report.n_all === 0;
    setText(/** @type {Element} */ (empty.children[0]), none ? "No session worked in this range." : "No session matches.");
    setText(/** @type {Element} */ (empty.children[1]), none ? "Choose a longer range. Session files of Claude Code, Codex and Gemini CLI are read when the server starts." : "");
    clear.hidden = none;
    more.hidden = rows.length >= report.n_sessions || limit >= MAX_ROWS;
  };

  const loader = createLoader({
    store, win, onChange: draw, load: (query, signal) => loadReport(base, "sessions", query, signal),
  });
  let stateTimer = 0;
  const unsubscribe = store.subscribe(() => {
    // Busy agents change many times a second.
    stateTimer ||= win.setTimeout(() => {
      stateTimer = 0;
      const { report, current } = loader.state;
      if (report !== null && current) drawStates(table, report.sessions, store);
    }, STATES_AFTER_MS);
  });
  const apply = () => {
    range.draw(settings);
    drawChips();
    if (doc.activeElement !== input && input.value !== settings.search) input.value = settings.search;
    loader.show(sessionQuery(settings, limit, new Date()));
    draw();
  };
  const timer = win.setInterval(() => { if (!doc.hidden) loader.show(sessionQuery(settings, limit, new Date())); }, 60_000);
  frame.root.addEventListener("keydown", (event) => {
    const isTyping = /** @type {Element} */ (event.target).closest("input, select, textarea") !== null;
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
  apply();

  return {
    /** @param {SessionSettings} next */
    show(next) {
      settings = next;
      input.value = next.search;
      apply();
    },
    stop() {
      win.clearTimeout(searchTimer);
      win.clearTimeout(stateTimer);
      win.clearInterval(timer);
      unsubscribe();
      loader.stop();
      frame.stop();
    },
  };
}
