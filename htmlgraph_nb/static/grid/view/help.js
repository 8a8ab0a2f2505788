// @ts-check
/** The list of keyboard shortcuts. */

import { h } from "./elements/dom.js";
import { attachPopover } from "./elements/popover.js";

const KEYS = /** @type {const} */ ([
  ["w", "next agent that waits for you or cannot work"],
  ["j  k", "next and previous agent"],
  ["← → ↑ ↓", "move between agents"],
  ["Enter", "open or close the details"],
  ["o", "show or hide ended subagents"],
  ["/", "search"],
  ["1  2  3", "cards, table, compact lines"],
  ["Esc", "close the details or clear the search"],
  ["?", "this list"],
]);

/**
 * Create the list, opened by a button.
 *
 * @param {HTMLElement} root @param {HTMLElement} button
 */
export function createHelp(root, button) {
  const doc = root.ownerDocument;
  const { panel, toggle } = attachPopover(root, button, { label: "Keyboard shortcuts", atEnd: true });
  panel.classList.add("hg-help");
  panel.append(...KEYS.map(([key, text]) =>
    h(doc, "div", { class: "hg-shortcut" }, [h(doc, "kbd", {}, [key]), h(doc, "span", {}, [text])])));
  return { toggle };
}
