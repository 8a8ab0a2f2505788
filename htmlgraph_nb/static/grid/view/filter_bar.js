// @ts-check
/** The filter bar: a panel with the values of each field, and a chip per selected value. */

import { h, icon, setAttribute, setText } from "./elements/dom.js";
import { formatCount, STATE_NAMES, visibleText } from "./elements/format.js";
import { createPopover } from "./elements/popover.js";
import { kindLabel } from "../model/names.js";

/** @typedef {import("../model/settings.js").Filter} Filter */
/** @typedef {import("../model/layout.js").Layout} Layout */

const FACETS = /** @type {const} */ (["status", "kind", "project", "branch", "feature", "model", "host"]);
const LABELS = { status: "Status", kind: "Kind", project: "Project", branch: "Branch", feature: "Feature", session: "Session",
  model: "Model", host: "Host", agent: "Agent", parent: "Parent" };
const SHOWN_AT_ONCE = 8;
const SHOWN_AT_MOST = 200;
const CHIPS_AT_MOST = 12;

/** @typedef {keyof typeof LABELS} FilterKey */

/** @param {string} key @param {string} value */
export function filterLabel(key, value) {
  if (key === "status") return STATE_NAMES[value] ?? value;
  if (key === "kind" && value !== "") return visibleText(kindLabel(value), 80);
  return value === "" ? `no ${LABELS[/** @type {FilterKey} */ (key)].toLowerCase()}` : visibleText(value, 80);
}

/**
 * Return the filter with a value added or removed.
 *
 * @param {Filter} filter @param {FilterKey} key @param {string} value
 * @returns {Filter}
 */
export function toggleFilter(filter, key, value) {
  const before = filter[key] ?? [];
  const values = before.includes(value) ? before.filter((item) => item !== value) : [...before, value];
  const { [key]: _, ...rest } = filter;
  return values.length > 0 ? { ...rest, [key]: values } : rest;
}

/** @param {Filter} filter @returns {[FilterKey, string][]} the values chosen, in order */
export function chosenIn(filter) {
  return /** @type {FilterKey[]} */ (Object.keys(LABELS)).flatMap((key) =>
    (filter[key] ?? []).map((value) => /** @type {[FilterKey, string]} */ ([key, value])));
}

/**
 * @param {HTMLElement} root
 * @param {ReturnType<typeof import("../model/settings.js").createSettings>} settings
 */
export function createFilters(root, settings) {
  const doc = root.ownerDocument;
  /** @type {Layout | null} */
  let layout = null;
  /** @type {Filter | null} */
  let drawnFor = null;

  /** @param {FilterKey} key @param {string} value */
  const toggle = (key, value) => settings.set({ filter: toggleFilter(settings.get().filter, key, value) });

  /** @param {FilterKey} key @param {string} value @param {number} n */
  const option = (key, value, n) => {
    const button = h(doc, "button", {
      type: "button", class: "hg-chip", "data-filter": `${key}:${value}`,
      "aria-pressed": String(settings.get().filter[key]?.includes(value) === true),
      title: filterLabel(key, value),
    }, [
      h(doc, "span", { class: "hg-chip-text" }, [filterLabel(key, value)]),
      h(doc, "span", { class: "hg-chip-count" }, [formatCount(n)]),
    ]);
    button.addEventListener("click", () => toggle(key, value));
    return button;
  };

  /** @param {typeof FACETS[number]} key */
  const section = (key) => {
    const values = [...(layout?.facets[key] ?? [])];
    for (const value of settings.get().filter[key] ?? []) {
      if (!values.some(([listed]) => listed === value)) values.unshift([value, 0]);
    }
    // A single value of a field without choice filters nothing.
    const isChosen = (settings.get().filter[key]?.length ?? 0) > 0;
    if (!isChosen && (values.length === 0 || (values.length === 1 && (values[0][0] === "" || key === "host")))) return null;
    const chips = h(doc, "div", { class: "hg-chips" }, values.slice(0, SHOWN_AT_ONCE)
      .map(([value, n]) => option(key, value, n)));
    if (values.length > SHOWN_AT_ONCE) {
      const rest = values.slice(SHOWN_AT_ONCE, SHOWN_AT_MOST);
      const more = h(doc, "button", { type: "button", class: "hg-more", "data-more": key }, [`${rest.length} more`]);
      more.addEventListener("click", () => {
        const added = rest.map(([value, n]) => option(key, value, n));
        more.replaceWith(...added);
        added[0].focus();
      });
      chips.append(more);
    }
    return h(doc, "div", { class: "hg-facet", role: "group", "aria-label": LABELS[key], "data-facet": key }, [
      h(doc, "div", { class: "hg-facet-label", "aria-hidden": "true" }, [LABELS[key]]), chips,
    ]);
  };

  const clear = h(doc, "button", { type: "button", class: "hg-more", "data-control": "clear-all" }, ["Clear all filters"]);
  clear.addEventListener("click", () => {
    const { text } = settings.get().filter;
    settings.set({ filter: text ? { text } : {} });
    popover.close();
    popover.button.focus();
  });
  const popover = createPopover(root, {
    label: "Filter",
    name: "filter",
    build: (panel) => {
      const sections = FACETS.map(section).filter((item) => item !== null);
      panel.replaceChildren(...sections, clear);
    },
  });

  const chips = h(doc, "div", { class: "hg-chosen", role: "group", "aria-label": "Filters in use" });

  /** @param {Filter} filter */
  const drawChips = (filter) => {
    // The tiles show which statuses are selected.
    const all = chosenIn(filter);
    const chosen = all.filter(([key]) => key !== "status");
    clear.hidden = all.length === 0;
    chips.replaceChildren(...chosen.slice(0, CHIPS_AT_MOST).map(([key, value]) => {
      const name = `${LABELS[key]}: ${filterLabel(key, value)}`;
      const chip = h(doc, "button", {
        type: "button", class: "hg-chip", "data-chip": `${key}:${value}`, "aria-label": `Remove the filter ${name}`,
        title: name,
      }, [
        h(doc, "span", { class: "hg-chip-key" }, [LABELS[key]]),
        h(doc, "span", { class: "hg-chip-text" }, [filterLabel(key, value)]), icon(doc, "close"),
      ]);
      chip.addEventListener("click", () => {
        toggle(key, value);
        popover.button.focus();
      });
      return chip;
    }));
    setText(popover.labelText, chosen.length > 0 ? `Filter · ${chosen.length}` : "Filter");
    popover.button.toggleAttribute("data-on", chosen.length > 0);
    const n = chosen.length - CHIPS_AT_MOST;
    if (n > 0) chips.append(h(doc, "span", { class: "hg-nothing" }, [`and ${n} more`]));
  };

  return {
    popover, chips, toggle,

    /** @param {Layout} next */
    draw(next) {
      layout = next;
      const { filter } = settings.get();
      if (filter === drawnFor) return;
      drawnFor = filter;
      drawChips(filter);
      for (const button of root.querySelectorAll("[data-filter]")) {
        const [, key, value] = /** @type {RegExpMatchArray} */ (
          /** @type {string} */ (button.getAttribute("data-filter")).match(/^(\w+):([^]*)$/));
        setAttribute(button, "aria-pressed", String(filter[/** @type {FilterKey} */ (key)]?.includes(value) === true));
      }
    },
  };
}
