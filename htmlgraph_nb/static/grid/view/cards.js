// @ts-check
/** The card view: the main values of an agent on one card. */

import { createContextBar } from "./elements/context_bar.js";
import { h } from "./elements/dom.js";
import { childrenOf, fieldOf, filesOnlyOf, kindOf, shapeOf } from "./elements/fields.js";
import { createSparkline } from "./elements/sparkline.js";

const CARD_MIN_WIDTH = 288;
/** Least width of a card in a list of at least WIDE px. */
const CARD_WIDE_MIN_WIDTH = 320;
const WIDE = 1_200;
const CARD_GAP = 10;
const CARD_HEIGHT = 119;
const CARD_ROW_HEIGHT = 19;

/**
 * @typedef {object} View How agents are drawn.
 * @property {(doc: Document, columns: readonly string[]) => HTMLElement} template the element that
 *   is cloned for each agent
 * @property {(width: number, rows: number) => import("../model/virtual_rows.js").Geometry} geometry
 *   `rows`: the number of rows of a card
 * @property {boolean} hasHeader whether the view has a line of column headers
 */

/** @param {Document} doc @param {string} name @param {string} label @param {Node[]} content */
function cardRow(doc, name, label, content) {
  return h(doc, "div", { class: `hg-row hg-row-${name}` }, [h(doc, "span", { class: "hg-label" }, [label]), " ", ...content]);
}

/** @param {Document} doc @param {string} name @param {string} unit */
function metric(doc, name, unit) {
  return h(doc, "span", { class: `hg-metric hg-metric-${name}` }, [
    fieldOf(doc, name), " ", h(doc, "span", { class: "hg-unit" }, [unit]),
  ]);
}

/** @param {Document} doc */
function cardTemplate(doc) {
  // No dl, dt, dd or table: notebook front ends apply their own styles to those.
  const cell = h(doc, "div", { class: "hg-cell", role: "gridcell" }, [
    h(doc, "div", { class: "hg-card-head" }, [shapeOf(doc), fieldOf(doc, "name"), childrenOf(doc), fieldOf(doc, "status")]),
    h(doc, "div", { class: "hg-card-place" }, [kindOf(doc), fieldOf(doc, "place"), fieldOf(doc, "pr"), filesOnlyOf(doc)]),
    h(doc, "div", { class: "hg-card-now" }, [fieldOf(doc, "reason"), fieldOf(doc, "age")]),
    h(doc, "div", { class: "hg-rows" }, [
      cardRow(doc, "context", "Context", [createContextBar(doc)]),
      cardRow(doc, "tool", "Last tool", [fieldOf(doc, "tool"), createSparkline(doc)]),
      cardRow(doc, "model", "Model", [fieldOf(doc, "model")]),
      cardRow(doc, "feature", "Feature", [fieldOf(doc, "feature")]),
      cardRow(doc, "host", "Host", [fieldOf(doc, "host")]),
    ]),
    h(doc, "div", { class: "hg-metrics" }, [
      metric(doc, "tools", "calls"), metric(doc, "errors", "errors"), metric(doc, "tokens", "tokens"), fieldOf(doc, "cost"),
    ]),
  ]);
  return h(doc, "div", { class: "hg-card", role: "row", tabindex: "-1" }, [cell]);
}

/**
 * Return the rows of cards that are not empty on all of them.
 *
 * @param {import("../model/facets.js").Facets} facets
 * @returns {string[]}
 */
export function usedRows({ used, host }) {
  const rows = ["tool"];
  for (const [row, field] of [["context", "contextWindow"], ["model", "model"], ["feature", "feature"]]) {
    if (used[field] > 0) rows.push(row);
  }
  // One host needs no mention.
  return host.size > 1 ? [...rows, "host"] : rows;
}

/** @type {View} */
export const cardsView = {
  hasHeader: false,
  template: cardTemplate,
  geometry: (width, rows) => ({
    columns: Math.max(1, Math.floor((width + CARD_GAP) / ((width < WIDE ? CARD_MIN_WIDTH : CARD_WIDE_MIN_WIDTH) + CARD_GAP))),
    itemHeight: CARD_HEIGHT + CARD_ROW_HEIGHT * rows,
    gap: CARD_GAP,
    groupHeight: 30,
  }),
};
