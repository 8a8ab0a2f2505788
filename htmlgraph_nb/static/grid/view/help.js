// @ts-check
/** The list of keyboard shortcuts. */

import { h } from "./elements/dom.js";

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
  const panel = h(doc, "div", { class: "hg-popover hg-help", popover: "auto", role: "dialog", "aria-label": "Keyboard shortcuts" },
    KEYS.map(([key, text]) => h(doc, "div", { class: "hg-shortcut" }, [h(doc, "kbd", {}, [key]), h(doc, "span", {}, [text])])));
  const toggle = () => {
    panel.togglePopover();
    if (!panel.matches(":popover-open")) return true;
    const at = button.getBoundingClientRect();
    const { width } = panel.getBoundingClientRect();
    panel.style.left = `${Math.max(8, at.right - width)}px`;
    panel.style.top = `${at.bottom + 4}px`;
    return true;
  };
  button.setAttribute("aria-haspopup", "dialog");
  button.addEventListener("click", toggle);
  // pointerdown on the button would close the panel, and the click would open it again.
  button.addEventListener("pointerdown", (event) => { if (panel.matches(":popover-open")) event.preventDefault(); });
  root.append(panel);
  return { toggle };
}
