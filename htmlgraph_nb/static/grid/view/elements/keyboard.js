// @ts-check
/** Keyboard handling. Handled keys do not propagate: JupyterLab binds plain letters and arrows itself. */

/** @type {Record<string, "next" | "previous" | "down" | "up" | "first" | "last">} */
const STEPS = {
  ArrowRight: "next", ArrowLeft: "previous", ArrowDown: "down", ArrowUp: "up", Home: "first", End: "last",
};

/** @param {EventTarget | null} target */
function acceptsText(target) {
  const element = /** @type {HTMLElement | null} */ (target);
  return element?.matches?.("input:not([type=range]), textarea, select, [contenteditable]") === true;
}

/**
 * @typedef {object} KeyActions
 * @property {(step: "next" | "previous" | "down" | "up" | "first" | "last") => boolean} move
 * @property {() => boolean} select select the focused agent
 * @property {() => boolean} leave close an open panel
 * @property {() => boolean} search focus the search box
 */

/**
 * Handle keys in `root`; if the grid is the page, "/" in the whole page.
 *
 * @param {HTMLElement} root @param {HTMLElement} list
 * @param {KeyActions} actions @param {boolean} page
 * @returns {() => void} removes the listeners
 */
export function bindKeyboard(root, list, actions, page) {
  const doc = root.ownerDocument;

  /** @param {KeyboardEvent} event @returns {boolean} whether the key was handled */
  const act = (event) => {
    const typing = acceptsText(event.target);
    if (event.key === "Escape") return actions.leave();
    if (event.key === "/" && !typing) return actions.search();
    if (!list.contains(/** @type {Node} */ (event.target))) return false;
    if (event.key === "Enter" || event.key === " ") return actions.select();
    const step = STEPS[event.key];
    return step !== undefined && actions.move(step);
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.isComposing) return;
    if (act(event)) event.preventDefault();
    event.stopPropagation();
  };
  /** @param {KeyboardEvent} event */
  const onPageKey = (event) => {
    if (event.key !== "/" || event.altKey || event.ctrlKey || event.metaKey) return;
    if (root.contains(/** @type {Node} */ (event.target)) || acceptsText(event.target)) return;
    if (actions.search()) event.preventDefault();
  };
  root.addEventListener("keydown", onKey);
  if (page) doc.addEventListener("keydown", onPageKey);
  return () => {
    root.removeEventListener("keydown", onKey);
    doc.removeEventListener("keydown", onPageKey);
  };
}
