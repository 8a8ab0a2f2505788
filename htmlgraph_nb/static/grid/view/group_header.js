// @ts-check
/** The header of a group: name and totals. */

import { h, setAttribute, setText } from "./elements/dom.js";
import { formatCount, formatTokens, formatUsd, visibleText } from "./elements/format.js";

/** @typedef {import("../model/groups.js").GroupRow} GroupRow */

/** @typedef {{el: HTMLElement, parts: Record<string, HTMLElement>, signature: string}} GroupItem */

const GROUP_COUNTS = /** @type {const} */ (["waiting", "active", "idle", "offline"]);

/** @param {Document} doc @param {string} key @returns {GroupItem} */
export function createGroup(doc, key) {
  /** @type {Record<string, HTMLElement>} */
  const parts = {};
  /** @param {string} name */
  const part = (name) => (parts[name] = h(doc, "span", { class: `hg-group-${name}` }, [""]));
  const counts = GROUP_COUNTS.map((name) => {
    const shape = h(doc, "span", { class: "hg-shape", "aria-hidden": "true" });
    const box = h(doc, "span", { class: `hg-group-count hg-stat-${name}` }, [
      shape, part(name), h(doc, "span", { class: "hg-hidden" }, [` ${name}`]),
    ]);
    box.title = name;
    return box;
  });
  const cell = h(doc, "div", { class: "hg-cell", role: "gridcell" }, [
    part("label"), part("n"), h(doc, "span", { class: "hg-group-counts" }, counts), part("tokens"), part("cost"),
  ]);
  const el = h(doc, "div", { class: "hg-group", role: "row", "aria-level": "1", "data-group": key }, [cell]);
  return { el, parts, signature: "" };
}

/** @param {GroupItem} group @param {GroupRow} row */
export function writeGroup(group, row) {
  const { counts } = row;
  const signature = `${row.n} ${counts.tokens} ${counts.cost} ${GROUP_COUNTS.map((name) => counts[name]).join()}`;
  if (group.signature === signature) return;
  group.signature = signature;
  const { el, parts } = group;
  setText(parts.label, visibleText(row.label, 120));
  setAttribute(parts.label, "title", visibleText(row.label));
  setText(parts.n, `${formatCount(row.n)} agent${row.n === 1 ? "" : "s"}`);
  for (const name of GROUP_COUNTS) {
    setText(parts[name], formatCount(counts[name]));
    /** @type {HTMLElement} */ (parts[name].parentElement).toggleAttribute("data-zero", counts[name] === 0);
  }
  el.toggleAttribute("data-waits", counts.waiting > 0);
  setText(parts.tokens, `${formatTokens(counts.tokens)} tokens`);
  setAttribute(parts.tokens, "title", `${formatCount(counts.tokens)} tokens`);
  setText(parts.cost, formatUsd(counts.cost));
}
