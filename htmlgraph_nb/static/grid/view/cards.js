// @ts-check
/** The card view: all values of an agent on one card. */

import { h } from "./elements/dom.js";
import { fieldOf, shapeOf } from "./elements/fields.js";
import { createSparkline } from "./elements/sparkline.js";

const CARD_MIN_WIDTH = 272;
const CARD_GAP = 10;
const CARD_HEIGHT = 176;
const CARD_ROW_HEIGHT = 19;

/**
 * @typedef {object} View How agents are drawn.
 * @property {(doc: Document, columns: readonly string[]) => HTMLElement} template the element that
 *   is cloned for each agent
 * @property {(width: number, optional: {models: boolean, projects: boolean}) =>
 *   import("../model/virtual_rows.js").Geometry} geometry
 * @property {boolean} hasHeader whether the view has a line of column headers
 */

/** @param {Document} doc @param {string} name @param {string} label @param {Node[]} [more] */
function cardRow(doc, name, label, more = []) {
  return h(doc, "div", { class: `hg-row hg-row-${name}` }, [
    h(doc, "span", { class: "hg-label" }, [label]), " ", fieldOf(doc, name), ...more,
  ]);
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
    h(doc, "div", { class: "hg-card-head" }, [
      shapeOf(doc), fieldOf(doc, "id"), fieldOf(doc, "children"), fieldOf(doc, "status"),
    ]),
    fieldOf(doc, "reason", "div"),
    h(doc, "div", { class: "hg-rows" }, [
      cardRow(doc, "feature", "Feature"),
      cardRow(doc, "tool", "Last tool", [metric(doc, "errors", "errors")]),
      cardRow(doc, "session", "Session"),
      cardRow(doc, "activity", "Last activity", [createSparkline(doc)]),
      cardRow(doc, "model", "Model"),
      cardRow(doc, "project", "Project"),
    ]),
    h(doc, "div", { class: "hg-metrics" }, [
      metric(doc, "tools", "tools"), metric(doc, "tokens", "tokens"), fieldOf(doc, "cost"),
    ]),
  ]);
  return h(doc, "div", { class: "hg-card", role: "row", tabindex: "-1" }, [cell]);
}

/** @type {View} */
export const cardsView = {
  hasHeader: false,
  template: cardTemplate,
  geometry: (width, { models, projects }) => ({
    columns: Math.max(1, Math.floor((width + CARD_GAP) / (CARD_MIN_WIDTH + CARD_GAP))),
    itemHeight: CARD_HEIGHT + CARD_ROW_HEIGHT * (Number(models) + Number(projects)),
    gap: CARD_GAP,
    groupHeight: 30,
  }),
};
