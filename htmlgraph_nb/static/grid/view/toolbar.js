// @ts-check
/** The toolbar: search, filters, view, sort, groups, columns. */

import { h, icon, setAttribute } from "./elements/dom.js";
import { createFilters } from "./filter_bar.js";
import { createPopover } from "./elements/popover.js";
import { COLUMNS } from "../model/settings.js";
import { shownColumns, TABLE_COLUMNS } from "./table.js";

/** @typedef {import("../model/settings.js").ViewSettings} ViewSettings */

const VIEW_CHOICES = /** @type {const} */ ([["cards", "Cards"], ["table", "Table"], ["compact", "Compact"]]);
const SORTS = [
  ["attention", "Needs you first"],
  ["agent", "Name"],
  ["-activity", "Latest activity"],
  ["-since", "Latest change"],
  ["-context", "Fullest context"],
  ["-tools", "Most calls"],
  ["-tokens", "Most tokens"],
  ["-cost", "Highest cost"],
  ["-errors", "Most errors"],
  ["status", "Status"],
  ["feature", "Feature"],
  ["session", "Session"],
  ["project", "Project"],
  ["branch", "Branch"],
  ["model", "Model"],
];
const GROUPS = [
  ["", "No groups"],
  ["status", "By status"],
  ["project", "By project"],
  ["branch", "By branch"],
  ["feature", "By feature"],
  ["session", "By session"],
  ["model", "By model"],
  ["kind", "By kind of agent"],
  ["host", "By host"],
  ["parent", "By parent"],
];
const SEARCH_AFTER_MS = 80;

/** Return the label of a sort that is not in the menu. @param {string} sort */
function describeSort(sort) {
  const name = sort.replace("-", "");
  const label = TABLE_COLUMNS[name]?.label ?? name;
  return `${label}, ${sort.startsWith("-") ? "descending" : "ascending"}`;
}

/**
 * @param {Document} doc @param {string} name @param {string} label @param {string[][]} choices
 * @param {(value: string) => void} onChoice
 */
function createSelect(doc, name, label, choices, onChoice) {
  const select = /** @type {HTMLSelectElement} */ (h(doc, "select", {
    class: "hg-select", "data-control": name, "aria-label": label, title: label,
  }, choices.map(([value, text]) => h(doc, "option", { value }, [text]))));
  select.addEventListener("change", () => onChoice(select.value));
  return select;
}

/**
 * @param {HTMLElement} root
 * @param {ReturnType<typeof import("../model/settings.js").createSettings>} settings
 * @param {{onLeaveSearch: () => void}} actions
 */
export function createToolbar(root, settings, { onLeaveSearch }) {
  const doc = root.ownerDocument;
  const win = /** @type {Window} */ (doc.defaultView);
  const input = /** @type {HTMLInputElement} */ (h(doc, "input", {
    type: "search", class: "hg-search-input", "data-control": "search", placeholder: "Search", "aria-label": "Search agents",
    title: "Every word must occur in the agent's name, title, project, branch, feature, tool, session, model or reason.  /",
    spellcheck: "false", autocomplete: "off",
  }));
  const search = h(doc, "label", { class: "hg-search" }, [
    icon(doc, "search"), input, h(doc, "span", { class: "hg-key", "aria-hidden": "true" }, ["/"]),
  ]);
  const filters = createFilters(root, settings);
  const views = VIEW_CHOICES.map(([value, label]) => {
    const button = h(doc, "button", { type: "button", "data-value": value, "aria-label": label, title: label }, [icon(doc, value)]);
    button.addEventListener("click", () => settings.set({ view: value }));
    return button;
  });
  const view = h(doc, "div", { class: "hg-views", role: "group", "aria-label": "View", "data-control": "view" }, views);
  const sort = createSelect(doc, "sort", "Order", SORTS, (value) => settings.set({ sort: value }));
  const group = createSelect(doc, "group", "Groups", GROUPS, (value) =>
    settings.set({ groupBy: /** @type {ViewSettings["groupBy"]} */ (value || null) }));
  const columns = createPopover(root, {
    label: "Columns", name: "columns", icon: "columns", build: (panel) => buildColumns(panel, settings),
  });
  const bar = h(doc, "div", { class: "hg-toolbar", role: "group", "aria-label": "Display options" }, [
    search, filters.popover.button, filters.chips,
    h(doc, "div", { class: "hg-toolbar-end" }, [columns.button, group, sort, view]),
  ]);

  let timer = 0;
  const apply = () => {
    win.clearTimeout(timer);
    timer = 0;
    const { filter } = settings.get();
    const { text: _, ...rest } = filter;
    const text = input.value.trim();
    settings.set({ filter: text ? { ...rest, text } : rest });
  };
  input.addEventListener("input", () => {
    win.clearTimeout(timer);
    timer = win.setTimeout(apply, SEARCH_AFTER_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    apply();
    event.preventDefault();
    onLeaveSearch();
  });

  return {
    bar, filters,
    /** Focus the search box. */
    search() {
      input.focus();
      input.select();
    },
    /** Close an open panel or clear the search box; return false if there is neither. */
    leave() {
      // An open panel closes by itself.
      if (root.querySelector(":popover-open") !== null) return null;
      if (root.ownerDocument.activeElement !== input && /** @type {Document} */ (root.getRootNode()).activeElement !== input) return false;
      if (input.value === "") return onLeaveSearch(), true;
      input.value = "";
      apply();
      return true;
    },
    /** @param {import("../model/layout.js").Layout} layout @param {boolean} settingsChanged */
    draw(layout, settingsChanged) {
      filters.draw(layout);
      if (!settingsChanged) return;
      const current = settings.get();
      const text = current.filter.text ?? "";
      if (timer === 0 && input.value.trim() !== text) input.value = text;
      for (const button of views) setAttribute(button, "aria-pressed", String(button.dataset.value === current.view));
      if (![...sort.options].some((item) => item.value === current.sort)) {
        sort.append(h(doc, "option", { value: current.sort }, [describeSort(current.sort)]));
      }
      if (sort.value !== current.sort) sort.value = current.sort;
      if (group.value !== (current.groupBy ?? "")) group.value = current.groupBy ?? "";
      sort.toggleAttribute("data-on", current.sort !== "attention");
      group.toggleAttribute("data-on", current.groupBy !== null);
    },
    stop() {
      win.clearTimeout(timer);
    },
  };
}

/**
 * @param {HTMLElement} panel
 * @param {ReturnType<typeof import("../model/settings.js").createSettings>} settings
 */
function buildColumns(panel, settings) {
  const doc = panel.ownerDocument;
  const boxes = COLUMNS.map((name) => {
    const input = /** @type {HTMLInputElement} */ (h(doc, "input", { type: "checkbox", "data-column": name }));
    input.checked = shownColumns(settings.get().columns).includes(name);
    input.disabled = name === "agent";
    input.addEventListener("change", () => {
      const shown = new Set(shownColumns(settings.get().columns));
      if (input.checked) shown.add(name);
      else shown.delete(name);
      settings.set({ columns: COLUMNS.filter((item) => shown.has(item)) });
    });
    return h(doc, "label", { class: "hg-option" }, [input, TABLE_COLUMNS[name].label]);
  });
  const reset = h(doc, "button", { type: "button", class: "hg-more" }, ["Default columns"]);
  reset.addEventListener("click", () => {
    settings.set({ columns: null });
    buildColumns(panel, settings);
  });
  panel.replaceChildren(h(doc, "div", { class: "hg-options" }, [...boxes, reset]));
}
