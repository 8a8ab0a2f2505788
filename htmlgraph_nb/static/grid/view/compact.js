// @ts-check
/** The compact view: one short line per agent, in as many columns as fit. */

import { h } from "./elements/dom.js";
import { fieldOf, shapeOf } from "./elements/fields.js";
import { createSparkline } from "./elements/sparkline.js";

const LINE_MIN_WIDTH = 264;
const LINE_GAP = 8;
const COMPACT_HEIGHT = 28;

/** @param {Document} doc */
function lineTemplate(doc) {
  const activity = fieldOf(doc, "activity");
  activity.setAttribute("data-short", "");
  const cell = h(doc, "div", { class: "hg-cell", role: "gridcell" }, [
    shapeOf(doc), fieldOf(doc, "id"), fieldOf(doc, "children"), fieldOf(doc, "reason"),
    h(doc, "span", { class: "hg-hidden" }, [fieldOf(doc, "status")]),
    createSparkline(doc), activity,
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
