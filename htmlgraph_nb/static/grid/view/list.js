// @ts-check
/**
 * The elements of agents and groups: creation, order and focus.
 *
 * Up to `windowAbove` rows all have elements, so that the browser's search finds them; above that
 * only visible rows do. Drawing never reads the document's layout: sizes come from observers.
 */

import { focusedIn, setAttribute, setStyle, setText } from "./elements/dom.js";
import { itemOf, writeAges, writeAgent, writeChildren, writeSparkline } from "./elements/fields.js";
import { createGroup, writeGroup } from "./group_header.js";
import { boundsOfRow, measureRows, rowBeyond, rowsBetween } from "../model/virtual_rows.js";

/** @typedef {import("../model/agent.js").Agent} Agent */
/** @typedef {import("../model/layout.js").Layout} Layout */
/** @typedef {import("../model/layout.js").Row} Row */
/** @typedef {import("./elements/fields.js").Item} Item */

const OVERSCAN_PX = 240;
const HEADER_PX = 30;
/** With more changes than this in one frame, none flash. */
const FLASH_MAX = 40;
const FLASH_EVERY_MS = 1_500;
const FLASH_FRAMES = [{ backgroundColor: "var(--hg-flash)" }, { backgroundColor: "transparent" }];

/** @param {Row} row */
const keyOf = (row) => (row.kind === "group" ? `\u0000${row.key}` : row.id);

/**
 * Put elements into the list in this order with as few moves as possible.
 *
 * @param {HTMLElement} list @param {HTMLElement[]} elements
 * @param {ReadonlySet<string>} moved ids whose position may have changed
 */
function reorder(list, elements, moved) {
  let next = list.firstElementChild;
  for (const el of elements) {
    while (next && next !== el && moved.has(next.getAttribute("data-agent-id") ?? "")) {
      next = next.nextElementSibling;
    }
    // A single moved element must not move all elements after it.
    if (next && next !== el && next.nextElementSibling === el) next = el;
    if (next === el) next = el.nextElementSibling;
    else list.insertBefore(el, next);
  }
}

/**
 * @typedef {object} ListOptions
 * @property {number} windowAbove
 * @property {() => number} now ms
 * @property {() => number} clock ms since 1970, the server's clock
 * @property {import("../model/store.js").Store} store
 * @property {() => void} onResize called when a redraw is needed
 */

/**
 * @param {ReturnType<typeof import("./skeleton.js").buildFrame>} frame
 * @param {ListOptions} options
 */
export function createList({ root, tree, list, box, main }, options) {
  const { store, now, clock } = options;
  const doc = root.ownerDocument;
  const win = /** @type {Window & typeof globalThis} */ (doc.defaultView);
  const reducedMotion = win.matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {Map<string, Item>} */
  const items = new Map();
  /** @type {Map<string, import("./group_header.js").GroupItem>} */
  const groups = new Map();
  /** Unused elements, kept for reuse. @type {Item[]} */
  const spare = [];
  /** @type {import("./cards.js").View | null} */
  let view = null;
  /** @type {HTMLElement | null} */
  let template = null;
  let templateKey = "";
  /** @type {readonly Row[]} */
  let rows = [];
  /** @type {Layout | null} */
  let layout = null;
  let extent = measureRows([], { columns: 1, itemHeight: 1, gap: 0, groupHeight: 1 });
  let geometryKey = "";
  let windowed = false;
  let grouped = false;
  let focusId = "";
  /** The element with tabindex 0. @type {HTMLElement | null} */
  let tabStop = null;
  let selected = "";
  let width = box.clientWidth || root.clientWidth || 800;
  let height = box.clientHeight || 600;
  let scrollTop = 0;
  /** Least width of the table, px. */
  let tableWidth = 0;

  /** @param {Row & {kind: "agent"}} row */
  const makeItem = (row) => {
    const agent = /** @type {Agent} */ (store.agents.get(row.id));
    const item = spare.shift()
      ?? itemOf(/** @type {HTMLElement} */ (/** @type {HTMLElement} */ (template).cloneNode(true)));
    item.flashedAt = -Infinity;
    item.el.setAttribute("data-agent-id", row.id);
    item.el.setAttribute("aria-selected", String(row.id === selected));
    items.set(row.id, item);
    writeAgent(item, agent);
    writeAges(item, agent, clock());
    writeSparkline(item, store.activity.counts(row.id, clock()));
    return item;
  };

  /** @param {Item} item @param {Row & {kind: "agent"}} row */
  const writePosition = (item, row) => {
    setAttribute(item.el, "aria-level", String(row.depth + (grouped ? 2 : 1)));
    setAttribute(item.el, "data-depth", String(Math.min(row.depth, 4)));
    writeChildren(item, row);
  };

  /** @param {Row} row @returns {HTMLElement} */
  const elementOf = (row) => {
    if (row.kind === "agent") {
      const item = items.get(row.id) ?? makeItem(row);
      writePosition(item, row);
      return item.el;
    }
    let group = groups.get(row.key);
    if (group === undefined) groups.set(row.key, group = createGroup(doc, row.key));
    writeGroup(group, row);
    return group.el;
  };

  /** @returns {{first: number, last: number}} rows that need elements */
  const visible = () => {
    if (!windowed) return { first: 0, last: rows.length };
    const visibleHeight = height - (view?.hasHeader ? HEADER_PX : 0);
    const { first, last, offset } = rowsBetween(extent, scrollTop - OVERSCAN_PX, scrollTop + visibleHeight + OVERSCAN_PX);
    setStyle(list, "height", `${extent.height}px`);
    setStyle(list, "padding-top", `${offset}px`);
    return { first, last };
  };

  /**
   * Remove the other elements. Elements of agents are kept for reuse, in list order.
   *
   * @param {Set<string>} keys elements to keep @param {Element | null} focused the focused element
   */
  const discardOthers = (keys, focused) => {
    for (const el of [...list.children]) {
      const id = el.getAttribute("data-agent-id");
      if (id === null || keys.has(id)) continue;
      const item = /** @type {Item} */ (items.get(id));
      items.delete(id);
      if (focused !== null && el.contains(focused)) el.remove();
      else spare.push(item);
    }
    for (const [key, group] of groups) {
      if (keys.has(`\u0000${key}`)) continue;
      group.el.remove();
      groups.delete(key);
    }
  };

  /** @param {ReadonlySet<string>} moved */
  const placeRows = (moved) => {
    const { first, last } = visible();
    const shown = rows.slice(first, last);
    const focused = focusedIn(list);
    discardOthers(new Set(shown.map(keyOf)), focused);
    const elements = shown.map(elementOf);
    for (const { el } of spare.splice(0)) el.remove();
    reorder(list, elements, moved);
    if (windowed) {
      for (const [i, row] of shown.entries()) {
        const el = row.kind === "agent" ? items.get(row.id)?.el : groups.get(row.key)?.el;
        if (el) setAttribute(el, "aria-rowindex", String(first + i + 1));
      }
    }
    if (focused instanceof win.HTMLElement && focusedIn(list) === null) {
      (focused.isConnected ? focused : box).focus({ preventScroll: true });
    }
    markFocusable();
  };

  const markFocusable = () => {
    if (!items.has(focusId)) {
      if (!store.agents.has(focusId)) focusId = layout?.ids[0] ?? "";
    }
    const stop = (items.get(focusId) ?? items.values().next().value)?.el ?? null;
    if (stop !== tabStop) tabStop?.setAttribute("tabindex", "-1");
    tabStop = stop;
    if (stop) setAttribute(stop, "tabindex", "0");
  };

  const clear = () => {
    list.replaceChildren();
    items.clear();
    groups.clear();
  };

  /** Update the geometry for the current width. @param {number} cardRows */
  const updateGeometry = (cardRows) => {
    if (view === null) return false;
    const geometry = view.geometry(width, cardRows);
    const key = JSON.stringify(geometry);
    const same = key === geometryKey;
    geometryKey = key;
    if (!same) {
      setStyle(root, "--hg-columns", String(geometry.columns));
      setStyle(root, "--hg-item-height", `${geometry.itemHeight}px`);
      setStyle(root, "--hg-group-height", `${geometry.groupHeight}px`);
    }
    return !same;
  };

  const chooseMode = () => {
    const next = rows.length > options.windowAbove;
    if (next === windowed) return;
    windowed = next;
    if (!windowed) for (const name of ["height", "padding-top"]) list.style.removeProperty(name);
    clear();
  };

  /** @param {Item} item @param {HTMLElement[]} fields */
  const flash = (item, fields) => {
    if (fields.length === 0 || now() - item.flashedAt < FLASH_EVERY_MS) return;
    item.flashedAt = now();
    for (const field of fields) field.animate(FLASH_FRAMES, { duration: 1_200, easing: "ease-out" });
  };

  /** @param {readonly string[]} changed */
  const writeChanged = (changed) => {
    const flashing = changed.length <= FLASH_MAX && !reducedMotion.matches && !doc.hidden;
    for (const id of changed) {
      const item = items.get(id);
      const agent = store.agents.get(id);
      if (item === undefined || agent === undefined) continue;
      const changedFields = writeAgent(item, agent);
      writeAges(item, agent, clock());
      writeSparkline(item, store.activity.counts(id, clock()));
      if (flashing) flash(item, changedFields);
    }
  };

  /** Scroll only the list box so that an agent is visible. @param {string} id */
  const reveal = (id) => {
    const row = rows.findIndex((item) => item.kind === "agent" && item.id === id);
    if (row < 0) return;
    const { top, bottom } = boundsOfRow(extent, row);
    const visibleHeight = box.clientHeight - (view?.hasHeader ? HEADER_PX : 0);
    if (top < box.scrollTop) box.scrollTop = top;
    else if (bottom > box.scrollTop + visibleHeight) box.scrollTop = bottom - visibleHeight;
    scrollTop = box.scrollTop;
    if (windowed) placeRows(new Set());
  };

  const resized = new win.ResizeObserver((entries) => {
    const size = entries[entries.length - 1].contentRect;
    if (size.width === width && size.height === height) return;
    width = size.width || width;
    height = size.height || height;
    markMoreColumns();
    options.onResize();
  });
  let moreColumns = false;
  let scrollLeft = 0;
  /** Show whether columns are beyond the right edge. */
  const markMoreColumns = () => {
    const more = view?.hasHeader === true && scrollLeft + width < tableWidth - 2;
    if (more === moreColumns) return;
    moreColumns = more;
    main.toggleAttribute("data-more-columns", more);
  };
  box.addEventListener("scroll", () => {
    scrollTop = box.scrollTop;
    scrollLeft = box.scrollLeft;
    markMoreColumns();
    if (windowed) options.onResize();
  }, { passive: true });
  list.addEventListener("focusin", (event) => {
    const el = event.target instanceof win.Element ? event.target.closest("[data-agent-id]") : null;
    focusId = el?.getAttribute("data-agent-id") ?? focusId;
    markFocusable();
  });
  resized.observe(box);

  return {
    get focusId() { return focusId; },

    /** @param {import("./cards.js").View} next @param {readonly string[]} columns of a table @param {number} least px */
    setView(next, columns, least) {
      tableWidth = least;
      const key = next.hasHeader ? columns.join() : "";
      if (view === next && templateKey === key) return;
      view = next;
      markMoreColumns();
      templateKey = key;
      template = next.template(doc, columns);
      geometryKey = "";
      clear();
    },

    /**
     * @param {Layout} next @param {readonly string[]} changed ids
     * @param {number} cardRows number of rows of a card
     */
    draw(next, changed, cardRows) {
      const reordered = layout === null || next.rows !== rows || next.changedStructure || next.moved !== null;
      layout = next;
      rows = next.rows;
      grouped = rows.length > 0 && rows[0].kind === "group";
      const resizedNow = updateGeometry(cardRows);
      chooseMode();
      if (reordered || resizedNow) {
        extent = measureRows(rows, JSON.parse(geometryKey));
        setAttribute(tree, "aria-rowcount", String(rows.length));
      }
      writeChanged(changed);
      if (reordered || resizedNow || windowed || items.size === 0) placeRows(next.moved ?? new Set());
      // A new width changes the lines: keep the selected agent visible.
      if (resizedNow && selected) reveal(selected);
      if (!reordered && !resizedNow && !windowed && grouped) for (const row of rows) if (row.kind === "group") elementOf(row);
    },

    /** @param {string | null} id */
    select(id) {
      if (selected === (id ?? "")) return;
      items.get(selected)?.el.setAttribute("aria-selected", "false");
      selected = id ?? "";
      items.get(selected)?.el.setAttribute("aria-selected", "true");
    },

    /** Focus an agent, visible or not. @param {string} id */
    focus(id) {
      focusId = id;
      reveal(id);
      markFocusable();
      items.get(id)?.el.focus();
    },

    reveal,

    /**
     * Return the agent one step from the focused one.
     *
     * @param {"next" | "previous" | "down" | "up" | "first" | "last" | "here"} step
     * @returns {string | null}
     */
    neighbor(step) {
      const ids = layout?.ids ?? [];
      if (ids.length === 0) return null;
      const at = Math.max(0, ids.indexOf(focusId));
      if (step === "first") return ids[0];
      if (step === "last") return ids[ids.length - 1];
      if (step === "next" || step === "previous") return ids[at + (step === "next" ? 1 : -1)] ?? ids[at];
      if (step === "here") return ids[at];
      const row = rows.findIndex((item) => item.kind === "agent" && item.id === ids[at]);
      const target = rows[rowBeyond(extent, rows, row, step === "down" ? 1 : -1)];
      return target.kind === "agent" ? target.id : ids[at];
    },

    /** Redraw values that change with time: ages and recent activity. */
    tick() {
      const time = clock();
      for (const [id, item] of items) {
        const agent = store.agents.get(id);
        if (agent !== undefined) writeAges(item, agent, time);
        writeSparkline(item, store.activity.counts(id, time));
      }
    },

    unmount() {
      resized.disconnect();
    },
  };
}
