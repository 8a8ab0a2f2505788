// @ts-check
/** A panel that opens below its button, on top, and closes on outside clicks. */

import { h, icon } from "./dom.js";

const MARGIN = 8;

/**
 * @param {HTMLElement} root parent element
 * @param {{label: string, name: string, build: (panel: HTMLElement) => void, icon?: "columns"}} options
 *   `build` fills the panel each time it opens
 */
export function createPopover(root, { label, name, build, icon: sign }) {
  const doc = root.ownerDocument;
  const win = /** @type {Window & typeof globalThis} */ (doc.defaultView);
  const labelText = h(doc, "span", { class: "hg-button-text" }, [label]);
  const button = /** @type {HTMLButtonElement} */ (h(doc, "button", {
    type: "button", class: "hg-button", "data-control": name, "aria-haspopup": "dialog", "aria-expanded": "false",
  }, [...(sign ? [icon(doc, sign)] : []), labelText, icon(doc, "down")]));
  const panel = h(doc, "div", { class: "hg-popover", popover: "auto", role: "dialog", "aria-label": label });

  const isOpen = () => panel.matches(":popover-open");
  const updatePosition = () => {
    const at = button.getBoundingClientRect();
    const pageWidth = doc.documentElement.clientWidth;
    const { width, height } = panel.getBoundingClientRect();
    const left = Math.max(MARGIN, Math.min(at.left, pageWidth - width - MARGIN));
    const below = at.bottom + 4;
    const above = at.top - 4 - height;
    panel.style.left = `${left}px`;
    panel.style.top = `${below + height > win.innerHeight - MARGIN && above > MARGIN ? above : below}px`;
  };
  const close = () => { if (isOpen()) panel.hidePopover(); };
  /** @param {Event} event */
  const onScroll = (event) => { if (!panel.contains(/** @type {Node} */ (event.target))) close(); };

  button.addEventListener("click", () => {
    if (isOpen()) return close();
    build(panel);
    panel.showPopover();
    updatePosition();
    /** @type {HTMLElement | null} */ (panel.querySelector("input, button"))?.focus({ preventScroll: true });
  });
  // pointerdown on the button would close the panel, and the click would open it again.
  button.addEventListener("pointerdown", (event) => { if (isOpen()) event.preventDefault(); });
  panel.addEventListener("toggle", () => {
    button.setAttribute("aria-expanded", String(isOpen()));
    if (isOpen()) win.addEventListener("scroll", onScroll, { capture: true, passive: true });
    else win.removeEventListener("scroll", onScroll, { capture: true });
  });
  root.append(panel);
  return { button, labelText, panel, isOpen, close };
}
