// @ts-check
/** Keyboard handling. Handled keys do not propagate: JupyterLab binds plain letters and arrows itself. */

/** @type {Record<string, "next" | "previous" | "down" | "up" | "first" | "last">} */
const STEPS = {
  ArrowRight: "next", ArrowLeft: "previous", ArrowDown: "down", ArrowUp: "up", Home: "first", End: "last",
  j: "next", k: "previous",
};

/** @param {EventTarget | null} target */
function acceptsText(target) {
  const element = /** @type {HTMLElement | null} */ (target);
  return element?.matches?.("input:not([type=range]), textarea, select, [contenteditable]") === true;
}

/** @param {EventTarget | null} target */
const isButton = (target) => /** @type {HTMLElement | null} */ (target)?.matches?.("button") === true;

/**
 * @typedef {object} KeyActions
 * @property {(step: "next" | "previous" | "down" | "up" | "first" | "last") => boolean} move
 * @property {() => boolean} select select the focused agent
 * @property {() => boolean} leave close an open panel
 * @property {() => boolean} search focus the search box
 * @property {() => boolean} waiting select the next agent that waits
 * @property {() => boolean} fold list or hide the ended subagents of the focused agent
 * @property {() => boolean} help show or hide the keys
 * @property {(n: number) => boolean} view choose the view 1, 2 or 3
 */

/**
 * Keys that work wherever no text is typed, and on the page wherever the focus is.
 *
 * @type {Record<string, (actions: KeyActions) => boolean>}
 */
const ANYWHERE = {
  "/": (actions) => actions.search(),
  "?": (actions) => actions.help(),
  w: (actions) => actions.waiting(),
  1: (actions) => actions.view(1),
  2: (actions) => actions.view(2),
  3: (actions) => actions.view(3),
};

/**
 * Handle keys in `root`; if the grid is the page, some in the whole page.
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
    if (typing) return false;
    const anywhere = ANYWHERE[event.key];
    if (anywhere !== undefined) return anywhere(actions);
    if (!list.contains(/** @type {Node} */ (event.target))) return false;
    if (isButton(event.target) && (event.key === "Enter" || event.key === " ")) return false;
    if (event.key === "Enter" || event.key === " ") return actions.select();
    if (event.key === "o") return actions.fold();
    const step = STEPS[event.key];
    return step !== undefined && actions.move(step);
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    // Shift changes the keys that are words or arrows, but "?" needs it on many keyboards.
    if (event.shiftKey && event.key !== "?" && event.key !== "/") return;
    if (act(event)) event.preventDefault();
    event.stopPropagation();
  };
  /** @param {KeyboardEvent} event */
  const onPageKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    if (root.contains(/** @type {Node} */ (event.target)) || acceptsText(event.target)) return;
    const move = event.key === "j" || event.key === "k" ? STEPS[event.key] : undefined;
    const done = move !== undefined ? actions.move(move) : ANYWHERE[event.key]?.(actions) === true;
    if (done) event.preventDefault();
  };
  root.addEventListener("keydown", onKey);
  if (page) doc.addEventListener("keydown", onPageKey);
  return () => {
    root.removeEventListener("keydown", onKey);
    doc.removeEventListener("keydown", onPageKey);
  };
}
