// @ts-check
/** The table view: one line per agent, selectable columns, sortable headers. */

import { createContextBar } from "./elements/context_bar.js";
import { h, setAttribute } from "./elements/dom.js";
import { childrenOf, fieldOf, kindOf, shapeOf } from "./elements/fields.js";
import { DEFAULT_COLUMNS } from "../model/settings.js";
import { createSparkline } from "./elements/sparkline.js";

const TABLE_ROW_HEIGHT = 32;

/**
 * @typedef {object} Column
 * @property {string} label
 * @property {number} width minimum px
 * @property {number} grow share of the remaining width; 0 keeps `width`
 * @property {boolean} [end] right-align, for numbers
 * @property {boolean} [code] monospace, for ids and names
 * @property {string} [sort] sort set by a first click on the header; none if not sortable
 */

/** @type {Record<string, Column>} */
export const TABLE_COLUMNS = {
  status: { label: "Status", width: 132, grow: 3, sort: "attention" },
  agent: { label: "Agent", width: 156, grow: 4, sort: "agent" },
  project: { label: "Project", width: 96, grow: 1, code: true, sort: "project" },
  branch: { label: "Branch", width: 104, grow: 2, code: true, sort: "branch" },
  model: { label: "Model", width: 132, grow: 1, code: true, sort: "model" },
  context: { label: "Context", width: 104, grow: 0, sort: "-context" },
  tools: { label: "Calls", width: 58, grow: 0, end: true, sort: "-tools" },
  tokens: { label: "Tokens", width: 66, grow: 0, end: true, sort: "-tokens" },
  cost: { label: "Cost", width: 72, grow: 0, end: true, sort: "-cost" },
  errors: { label: "Errors", width: 58, grow: 0, end: true, sort: "-errors" },
  activity: { label: "Activity", width: 118, grow: 0, end: true, sort: "-activity" },
  sparkline: { label: "15 minutes", width: 86, grow: 0 },
  since: { label: "Since", width: 60, grow: 0, end: true, sort: "-since" },
  reason: { label: "Doing", width: 110, grow: 4 },
  tool: { label: "Last tool", width: 76, grow: 1, code: true, sort: "tool" },
  feature: { label: "Feature", width: 100, grow: 3, code: true, sort: "feature" },
  session: { label: "Session", width: 84, grow: 2, code: true, sort: "session" },
  kind: { label: "Kind", width: 92, grow: 0 },
  pr: { label: "Pull request", width: 92, grow: 0 },
  host: { label: "Host", width: 90, grow: 1, code: true },
  user: { label: "User", width: 80, grow: 1, code: true },
  parent: { label: "Parent", width: 110, grow: 2, code: true },
};

/** @param {string} name */
const classOf = (name) => {
  const { end, code } = TABLE_COLUMNS[name];
  return `hg-td hg-td-${name}${end ? " hg-end" : ""}${code ? " hg-code" : ""}`;
};

/** @param {Document} doc @param {string} name @param {readonly string[]} columns @returns {Node[]} */
function cellContent(doc, name, columns) {
  if (name === "agent") {
    const content = [h(doc, "span", { class: "hg-indent" }), kindOf(doc), fieldOf(doc, "name"), childrenOf(doc)];
    return columns.includes("status") ? content : [shapeOf(doc), ...content];
  }
  if (name === "status") {
    const content = [shapeOf(doc), fieldOf(doc, "status")];
    return columns.includes("reason") ? content : [...content, fieldOf(doc, "reason")];
  }
  if (name === "sparkline") return [createSparkline(doc)];
  if (name === "context") return [createContextBar(doc)];
  if (name === "activity") return [fieldOf(doc, "age")];
  if (name === "kind") return [fieldOf(doc, "kindName")];
  const field = fieldOf(doc, name);
  if (name === "since") field.setAttribute("data-short", "");
  return [field];
}

/** @param {Document} doc @param {readonly string[]} columns */
function rowTemplate(doc, columns) {
  const cells = columns.map((name) =>
    h(doc, "div", { class: classOf(name), role: "gridcell" }, cellContent(doc, name, columns)));
  return h(doc, "div", { class: "hg-tr", role: "row", tabindex: "-1" }, cells);
}

/** @param {readonly string[]} columns @returns {string} CSS tracks */
export function tracksOf(columns) {
  return columns.map((name) => {
    const { width, grow } = TABLE_COLUMNS[name];
    return grow === 0 ? `${width}px` : `minmax(${width}px, ${grow}fr)`;
  }).join(" ");
}

/** @param {readonly string[]} columns @returns {number} minimum px of the columns */
export function widthOf(columns) {
  return columns.reduce((sum, name) => sum + TABLE_COLUMNS[name].width, 0);
}

/** @param {readonly string[] | null} columns of the settings */
export const shownColumns = (columns) => columns ?? DEFAULT_COLUMNS;

/**
 * Return the sort after a click on a header: the column's sort, or its reverse if already set.
 *
 * @param {string} name @param {string} sort current sort
 */
export function nextSort(name, sort) {
  const first = TABLE_COLUMNS[name].sort ?? sort;
  if (sort !== first) return first;
  return first.startsWith("-") ? first.slice(1) : `-${first}`;
}

/**
 * Draw the column headers.
 *
 * @param {HTMLElement} header @param {readonly string[]} columns @param {string} sort
 * @param {(name: string) => void} onSort
 */
export function drawHeader(header, columns, sort, onSort) {
  const doc = header.ownerDocument;
  if (header.dataset.columns !== columns.join()) {
    header.dataset.columns = columns.join();
    header.replaceChildren(...columns.map((name) => {
      const { label, sort: sortable } = TABLE_COLUMNS[name];
      const content = sortable
        ? h(doc, "button", { type: "button", class: "hg-sorter", "data-sort": name }, [label])
        : h(doc, "span", { class: "hg-sorter" }, [label]);
      if (sortable) content.addEventListener("click", () => onSort(name));
      return h(doc, "div", { class: classOf(name), role: "columnheader" }, [content]);
    }));
  }
  for (const [i, name] of columns.entries()) {
    const own = TABLE_COLUMNS[name].sort?.replace("-", "");
    const on = own === sort.replace("-", "");
    const direction = sort.startsWith("-") ? "descending" : "ascending";
    if (on) setAttribute(header.children[i], "aria-sort", direction);
    else header.children[i].removeAttribute("aria-sort");
  }
}

/** @type {import("./cards.js").View} */
export const tableView = {
  hasHeader: true,
  template: rowTemplate,
  geometry: () => ({ columns: 1, itemHeight: TABLE_ROW_HEIGHT, gap: 0, groupHeight: 34 }),
};
