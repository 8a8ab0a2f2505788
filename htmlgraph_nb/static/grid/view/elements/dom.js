// @ts-check
/** DOM helpers: create elements, write only differences, draw once per frame. */

/**
 * Return a new element.
 *
 * @param {Document} doc
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} [children] strings become text
 */
export function h(doc, tag, attributes = {}, children = []) {
  const element = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {Element} element @param {string} name @param {string} value */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {Element} element @param {string} text */
export function setText(element, text) {
  const node = element.firstChild;
  if (node === null) element.append(text);
  else if (node.nodeValue !== text) node.nodeValue = text;
}

/**
 * Set a style property of an element; unlike style attributes, a CSP allows this.
 *
 * @param {HTMLElement} element @param {string} name @param {string} value
 */
export function setStyle(element, name, value) {
  if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new SVG element.
 *
 * @param {Document} doc
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {Node[]} [children]
 */
export function svg(doc, tag, attributes = {}, children = []) {
  const element = doc.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Icons on a 16 × 16 grid, drawn as lines in the text colour. */
const ICONS = {
  cards: "M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5h-4.5zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5h-4.5z",
  table: "M2.5 3h11v10h-11zM2.5 6.5h11M2.5 9.75h11M6.5 6.5v6.5",
  compact: "M2.5 4h11M2.5 8h11M2.5 12h11",
  search: "M10.2 10.2 13.5 13.5M11.5 7a4.5 4.5 0 1 1-9 0a4.5 4.5 0 0 1 9 0z",
  down: "M4.5 6.5 8 10l3.5-3.5",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h7.5v8h-7.5zM10.5 5.5v-3h-7.5v8h2.5",
  check: "M3 8.5 6.5 12 13 4.5",
  play: "M5 3.2v9.6l8-4.8z",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  bell: "M8 2.2a3.8 3.8 0 0 0-3.8 3.8v2.6L3 11h10l-1.2-2.4V6A3.8 3.8 0 0 0 8 2.2zM6.6 13.2a1.5 1.5 0 0 0 2.8 0",
  agent: "M3 5.5h10v7h-10zM8 5.5v-3M6 8.5v1M10 8.5v1",
  claude: "M8 2v12M2 8h12M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4",
  codex: "M3 4.5 6.5 8 3 11.5M8.5 11.5h4.5",
  gemini: "M8 1.8c.5 3.8 2.4 5.7 6.2 6.2-3.8.5-5.7 2.4-6.2 6.2-.5-3.8-2.4-5.7-6.2-6.2 3.8-.5 5.7-2.4 6.2-6.2z",
};

/** @param {Document} doc @param {keyof typeof ICONS} name */
export function icon(doc, name) {
  const path = svg(doc, "path", { d: ICONS[name] });
  return svg(doc, "svg", { class: `hg-icon hg-icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, [path]);
}

/** @param {Element} holder an icon's @param {keyof typeof ICONS} name */
export function setIcon(holder, name) {
  const path = holder.querySelector(".hg-icon path");
  if (path !== null) setAttribute(path, "d", ICONS[name]);
}

/** @param {Element} element @returns {Element | null} the focused element in the element's tree */
export function focusedIn(element) {
  const active = /** @type {Document | ShadowRoot} */ (element.getRootNode()).activeElement;
  return active !== null && element.contains(active) ? active : null;
}

/**
 * Run `work` once before the next paint, or shortly after if nothing is painted.
 *
 * requestAnimationFrame does not run in hidden tabs, hence the additional timer.
 *
 * @param {Window} win @param {() => void} work
 */
export function createFrameScheduler(win, work) {
  let frame = 0;
  let timer = 0;
  const cancel = () => {
    win.cancelAnimationFrame(frame);
    win.clearTimeout(timer);
    timer = 0;
  };
  const run = () => {
    cancel();
    work();
  };
  const schedule = () => {
    if (timer !== 0) return;
    timer = win.setTimeout(run, 250);
    if (!win.document.hidden) frame = win.requestAnimationFrame(run);
  };
  return { schedule, cancel };
}

/** Put text on the clipboard. @param {Document} doc @param {string} text @returns {Promise<boolean>} */
async function copyText(doc, text) {
  const win = /** @type {Window} */ (doc.defaultView);
  try {
    await win.navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages without HTTPS have no clipboard API; copy a selection instead.
    const area = /** @type {HTMLTextAreaElement} */ (h(doc, "textarea", { readonly: "" }));
    area.value = text;
    area.className = "hg-clipboard";
    doc.body.append(area);
    area.select();
    const done = doc.execCommand("copy");
    area.remove();
    return done;
  }
}

const COPIED_MS = 1_500;

/**
 * Return a button that copies a text.
 *
 * @param {Document} doc @param {string} name what is copied @param {() => string} text returns the text
 */
export function copyButton(doc, name, text) {
  const label = `Copy ${name}`;
  const button = h(doc, "button", { type: "button", class: "hg-copy", "data-copy": name, "aria-label": label, title: label },
    [icon(doc, "copy")]);
  button.addEventListener("click", async () => {
    if (!(await copyText(doc, text()))) return;
    setIcon(button, "check");
    setAttribute(button, "aria-label", "Copied");
    setTimeout(() => {
      setIcon(button, "copy");
      setAttribute(button, "aria-label", label);
    }, COPIED_MS);
  });
  return button;
}
