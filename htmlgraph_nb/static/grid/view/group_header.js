// @ts-check
/** The header of a group: name and totals. */

import { kindLabel } from "../model/names.js";
import { COUNTED_STATES } from "../model/totals.js";
import { h, icon, setAttribute, setText } from "./elements/dom.js";
import { formatCosts, formatCount, formatTokens, STATE_NAMES, visibleText } from "./elements/format.js";

/** @typedef {import("../model/groups.js").GroupRow} GroupRow */

/** @typedef {{el: HTMLElement, parts: Record<string, HTMLElement>, signature: string}} GroupItem */

/** Return the name of a group for people. @param {GroupRow} row */
function describeGroup({ field, key, label }) {
  if (field === "status") return STATE_NAMES[key] ?? label;
  return field === "kind" && key !== "" ? kindLabel(key) : label;
}

/** @param {Document} doc @param {string} key @returns {GroupItem} */
export function createGroup(doc, key) {
  /** @type {Record<string, HTMLElement>} */
  const parts = {};
  /** @param {string} name */
  const part = (name) => (parts[name] = h(doc, "span", { class: `hg-group-${name}` }, [""]));
  const counts = COUNTED_STATES.map((name) => {
    const shape = h(doc, "span", { class: "hg-shape", "aria-hidden": "true" });
    const box = h(doc, "span", { class: `hg-group-count hg-stat-${name}` }, [
      shape, part(name), h(doc, "span", { class: "hg-hidden" }, [` ${STATE_NAMES[name]}`]),
    ]);
    box.title = STATE_NAMES[name];
    return box;
  });
  const toggle = h(doc, "button", { type: "button", class: "hg-group-toggle", "data-toggle": key }, [icon(doc, "down"), part("label")]);
  const cell = h(doc, "div", { class: "hg-cell", role: "gridcell" }, [
    toggle, part("n"), h(doc, "span", { class: "hg-group-counts" }, counts), part("tokens"), part("cost"),
  ]);
  const el = h(doc, "div", { class: "hg-group", role: "row", "aria-level": "1", "data-group": key }, [cell]);
  return { el, parts, signature: "" };
}

/** @param {GroupItem} group @param {GroupRow} row */
export function writeGroup(group, row) {
  const { counts } = row;
  const signature = `${row.open} ${row.n} ${counts.tokens} ${counts.cost} ${counts.unpriced} ${COUNTED_STATES.map((name) => counts[name]).join()}`;
  if (group.signature === signature) return;
  group.signature = signature;
  const { parts } = group;
  const label = describeGroup(row);
  setText(parts.label, visibleText(label, 120));
  setAttribute(parts.label, "title", visibleText(label));
  setAttribute(/** @type {HTMLElement} */ (parts.label.parentElement), "aria-expanded", String(row.open));
  setText(parts.n, `${formatCount(row.n)} agent${row.n === 1 ? "" : "s"}`);
  for (const name of COUNTED_STATES) {
    setText(parts[name], formatCount(counts[name]));
    /** @type {HTMLElement} */ (parts[name].parentElement).toggleAttribute("data-zero", counts[name] === 0);
  }
  setText(parts.tokens, `${formatTokens(counts.tokens)} tokens`);
  setAttribute(parts.tokens, "title", `${formatCount(counts.tokens)} tokens`);
  setText(parts.cost, formatCosts(counts));
}
