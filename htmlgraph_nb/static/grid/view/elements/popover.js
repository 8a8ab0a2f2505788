// @ts-check
/** A panel that opens below its button, on top, and closes on outside clicks. */

import { h, icon } from "./dom.js";

const MARGIN = 8;

/**
 * Create a panel that a button opens.
 *
 * @param {HTMLElement} root parent of the panel
 * @param {HTMLElement} button
 * @param {{label: string, atEnd?: boolean, build?: (panel: HTMLElement) => void}} options `atEnd`: the
 *   right edges are aligned, else the left ones; `build` fills the panel each time it opens
 */
export function attachPopover(root, button, { label, atEnd = false, build }) {
  const doc = root.ownerDocument;
  const win = /** @type {Window & typeof globalThis} */ (doc.defaultView);
  const panel = h(doc, "div", { class: "hg-popover", popover: "auto", role: "dialog", "aria-label": label });

  const isOpen = () => panel.matches(":popover-open");
  const updatePosition = () => {
    const at = button.getBoundingClientRect();
    const pageWidth = doc.documentElement.clientWidth;
    const { width, height } = panel.getBoundingClientRect();
    const left = Math.max(MARGIN, Math.min(atEnd ? at.right - width : at.left, pageWidth - width - MARGIN));
    const below = at.bottom + 4;
    const above = at.top - 4 - height;
    panel.style.left = `${left}px`;
    panel.style.top = `${below + height > win.innerHeight - MARGIN && above > MARGIN ? above : below}px`;
  };
  const close = () => { if (isOpen()) panel.hidePopover(); };
  /** @param {Event} event */
  const onScroll = (event) => { if (!panel.contains(/** @type {Node} */ (event.target))) close(); };
  const toggle = () => {
    if (isOpen()) return close();
    build?.(panel);
    panel.showPopover();
    updatePosition();
    /** @type {HTMLElement | null} */ (panel.querySelector("input, button"))?.focus({ preventScroll: true });
  };

  button.setAttribute("aria-haspopup", "dialog");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", toggle);
  // pointerdown on the button would close the panel, and the click would open it again.
  button.addEventListener("pointerdown", (event) => { if (isOpen()) event.preventDefault(); });
  panel.addEventListener("toggle", () => {
    button.setAttribute("aria-expanded", String(isOpen()));
    if (isOpen()) win.addEventListener("scroll", onScroll, { capture: true, passive: true });
    else win.removeEventListener("scroll", onScroll, { capture: true });
  });
  root.append(panel);
  return { panel, close, toggle };
}

/**
 * Create a button of the toolbar and the panel that it opens.
 *
 * @param {HTMLElement} root parent of the panel
 * @param {{label: string, name: string, build: (panel: HTMLElement) => void, icon?: "columns"}} options
 *   `build` fills the panel each time it opens
 */
export function createPopover(root, { label, name, build, icon: sign }) {
  const doc = root.ownerDocument;
  const labelText = h(doc, "span", { class: "hg-button-text" }, [label]);
  const button = h(doc, "button", { type: "button", class: "hg-button", "data-control": name },
    [...(sign ? [icon(doc, sign)] : []), labelText, icon(doc, "down")]);
  return { button, labelText, close: attachPopover(root, button, { label, build }).close };
}
