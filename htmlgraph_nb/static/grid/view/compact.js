// @ts-check
/** The compact view: one short line per agent, in as many columns as fit. */

import { h } from "./elements/dom.js";
import { childrenOf, fieldOf, kindOf, shapeOf } from "./elements/fields.js";
import { createSparkline } from "./elements/sparkline.js";

const LINE_MIN_WIDTH = 420;
const LINE_GAP = 8;
const COMPACT_HEIGHT = 28;

/** @param {Document} doc */
function lineTemplate(doc) {
  const cell = h(doc, "div", { class: "hg-cell", role: "gridcell" }, [
    shapeOf(doc), kindOf(doc), fieldOf(doc, "name"), childrenOf(doc), fieldOf(doc, "reason"),
    h(doc, "span", { class: "hg-hidden" }, [fieldOf(doc, "status")]),
    createSparkline(doc), fieldOf(doc, "age"),
  ]);
  return h(doc, "div", { class: "hg-line", role: "row", tabindex: "-1" }, [cell]);
}

/** @type {import("./cards.js").View} */
export const compactView = {
  hasHeader: false,
  template: lineTemplate,
  geometry: (width) => ({
    columns: Math.max(1, Math.floor((width + LINE_GAP) / (LINE_MIN_WIDTH + LINE_GAP))), itemHeight: COMPACT_HEIGHT, gap: 0, groupHeight: 30,
  }),
};
