// @ts-check
/** What the pages of costs and sessions share: frame, range of time, state of loading, download. */

import { createHead, describeConnection, h, setAttribute, setText, visibleText } from "../agent_grid.js";
import { formatDay, parseDay, RANGES } from "./ranges.js";

/** @typedef {import("../agent_grid.js").Store} Store */
/** @typedef {import("./ranges.js").Range} Range */

const TICK_MS = 1_000;
/** Shorter requests show nothing, so that the page does not flicker. */
const SHOW_LOADING_AFTER_MS = 400;

/**
 * Create the frame of a page: header with the connection, toolbar, status line, body.
 *
 * @param {HTMLElement} el
 * @param {object} options
 * @param {string} options.title
 * @param {string} options.name
 * @param {Store} options.store
 * @param {import("../../../../htmlgraph_nb/static/grid/view/elements/page_head.js").Navigation} options.nav
 * @param {string} [options.logo]
 * @param {boolean} options.page whether it is the whole document
 * @param {HTMLElement[]} options.tools
 */
export function createPageFrame(el, { title, name, store, nav, logo, page, tools }) {
  const doc = el.ownerDocument;
  const win = /** @type {Window} */ (doc.defaultView);
  const { head, text, detail } = createHead(doc, { title, page, nav, logo });
  const toolbar = h(doc, "div", { class: "hg-toolbar", role: "group", "aria-label": "Display options" }, tools);
  const status = h(doc, "div", { class: "hg-page-status", role: "status" }, [""]);
  const retry = h(doc, "button", { type: "button", class: "hg-more", "data-control": "retry", hidden: "" }, ["Try again"]);
  const body = h(doc, "div", { class: "hg-page-body", "aria-live": "off" });
  const root = h(doc, "section", { class: "htmlgraph-grid hg-page", "data-page": name, "data-fill": "", "aria-label": title }, [
    head, toolbar, h(doc, "div", { class: "hg-page-line" }, [status, retry]), body,
  ]);
  el.append(root);

  const drawConnection = () => {
    const shown = describeConnection(store, Date.now());
    setAttribute(root, "data-connection", shown.state);
    setText(text, visibleText(shown.text));
    setText(detail, visibleText(shown.detail));
  };
  const unsubscribe = store.subscribe(drawConnection);
  const timer = win.setInterval(drawConnection, TICK_MS);
  drawConnection();

  let loadingTimer = 0;
  return {
    root, body, retry,
    /**
     * Draw whether the report is loading, or why it failed.
     *
     * @param {import("./report_loader.js").ReportState} state @param {string} ready text of a loaded report
     */
    drawStatus(state, ready) {
      win.clearTimeout(loadingTimer);
      root.toggleAttribute("data-loading", false);
      retry.hidden = state.status !== "failed";
      if (state.status === "failed") return setText(status, `The report could not be loaded: ${visibleText(state.error)}.`);
      const isPartial = store.serverInfo?.backfill?.state === "running";
      if (state.status === "ready" && state.current) {
        return setText(status, [ready, isPartial ? "Session files are still being read: the figures are not complete." : ""].filter(Boolean).join(" "));
      }
      const show = () => {
        // An answer to another query must not look like one to this.
        root.toggleAttribute("data-loading", !state.current);
        if (!state.current) setText(status, "Reading the history…");
      };
      if (state.report === null) return show();
      loadingTimer = win.setTimeout(show, SHOW_LOADING_AFTER_MS);
      return undefined;
    },
    stop() {
      unsubscribe();
      win.clearInterval(timer);
      win.clearTimeout(loadingTimer);
      root.remove();
    },
  };
}

/**
 * Create a menu.
 *
 * @param {Document} doc @param {string} name @param {string} label
 * @param {Readonly<Record<string, string>>} choices value → text
 * @param {(value: string) => void} onChoice
 */
export function createMenu(doc, name, label, choices, onChoice) {
  const select = /** @type {HTMLSelectElement} */ (h(doc, "select", {
    class: "hg-select", "data-control": name, "aria-label": label, title: label,
  }, Object.entries(choices).map(([value, text]) => h(doc, "option", { value }, [text]))));
  select.addEventListener("change", () => onChoice(select.value));
  return select;
}

/**
 * Create buttons of which one is pressed.
 *
 * @param {Document} doc @param {string} name @param {string} label
 * @param {Readonly<Record<string, string>>} choices value → text
 * @param {(value: string) => void} onChoice
 */
export function createChoice(doc, name, label, choices, onChoice) {
  const buttons = Object.entries(choices).map(([value, text]) => {
    const button = h(doc, "button", { type: "button", "data-value": value }, [text]);
    button.addEventListener("click", () => onChoice(value));
    return button;
  });
  const element = h(doc, "div", { class: "hg-views hg-choice", role: "group", "aria-label": label, "data-control": name }, buttons);
  return {
    element,
    /** @param {string} value */
    draw(value) {
      for (const button of buttons) setAttribute(button, "aria-pressed", String(button.dataset.value === value));
    },
  };
}

/**
 * Create the header of a column, which sorts the table.
 *
 * @param {Document} doc
 * @param {object} column
 * @param {string} column.name its value in `sort`
 * @param {string} column.label
 * @param {string} column.title
 * @param {string} column.classes
 * @param {boolean} column.ascending whether its first order is ascending
 * @param {string} sort order of the table: the name of a column, with - before it for descending order
 * @param {(sort: string) => void} onSort
 */
export function createSorter(doc, { name, label, title, classes, ascending }, sort, onSort) {
  const isChosen = sort.replace(/^-/, "") === name;
  const isDescending = sort.startsWith("-");
  const button = h(doc, "button", { type: "button", class: "hg-sorter", "data-sort": name, title }, [label]);
  button.addEventListener("click", () => onSort((isChosen ? isDescending : ascending) ? name : `-${name}`));
  const th = h(doc, "th", { scope: "col", class: classes }, [button]);
  if (isChosen) setAttribute(th, "aria-sort", isDescending ? "descending" : "ascending");
  return th;
}

/**
 * Create the choice of a range of time, with two days if it is "custom".
 *
 * @param {Document} doc
 * @param {readonly import("./ranges.js").RangeName[]} names
 * @param {(range: Range) => void} onRange
 */
export function createRange(doc, names, onRange) {
  /** @type {Range} */
  let shown = { range: names[0], from: "", to: "" };
  const menu = createMenu(doc, "range", "Range of time", Object.fromEntries(names.map((name) => [name, RANGES[name]])), (value) => {
    const range = /** @type {Range["range"]} */ (value);
    const today = formatDay(new Date());
    onRange(range === "custom" ? { range, from: shown.from || today, to: shown.to || today } : { range, from: "", to: "" });
  });
  /** @param {"from" | "to"} end @param {string} label */
  const day = (end, label) => {
    const input = /** @type {HTMLInputElement} */ (h(doc, "input", {
      type: "date", class: "hg-select hg-day", "data-control": end, "aria-label": label, title: label, min: "2000-01-02", max: "2198-12-31",
    }));
    input.addEventListener("change", () => {
      if (input.value === "" || parseDay(input.value) !== null) onRange({ ...shown, [end]: input.value });
    });
    return input;
  };
  const from = day("from", "First day");
  const to = day("to", "Last day");
  return {
    elements: [menu, from, to],
    /** @param {Range} range */
    draw(range) {
      shown = range;
      menu.value = range.range;
      menu.toggleAttribute("data-on", range.range === "custom");
      for (const [input, value] of /** @type {const} */ ([[from, range.from], [to, range.to]])) {
        input.hidden = range.range !== "custom";
        if (input.value !== value) input.value = value;
      }
    },
  };
}

/**
 * Create the button that saves a report as CSV.
 *
 * @param {Document} doc @param {string} fileName @param {() => Promise<Blob>} load @param {(error: string) => void} onError
 */
export function createDownload(doc, fileName, load, onError) {
  const button = /** @type {HTMLButtonElement} */ (h(doc, "button", {
    type: "button", class: "hg-button", "data-control": "csv", title: "Save what is shown as CSV",
  }, ["CSV"]));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const url = URL.createObjectURL(await load());
      h(doc, "a", { href: url, download: fileName }).click();
      // The browser reads it after the click.
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      onError(error instanceof Error ? error.message : String(error));
    } finally {
      button.disabled = false;
    }
  });
  return button;
}
