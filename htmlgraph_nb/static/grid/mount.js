// @ts-check
/**
 * The view of a store: frame, cards, windowing, keyboard.
 */

import { readTime } from "./agent.js";
import {
  STATUS_TEXT, describeAgent, describeConnection, formatAge, formatCount, formatTokens, formatUsd, visibleLines, visibleText,
} from "./format.js";
import { countAgents, createOrder } from "./order.js";

/** @typedef {import("./agent.js").Agent} Agent */
/** @typedef {import("./agent.js").Counts} Counts */
/** @typedef {import("./store.js").Store} Store */

const CARD_MIN_WIDTH = 272;
const CARD_GAP = 10;
const CARD_HEIGHT = 176;
const ROW_HEIGHT = 19;
const OVERSCAN_ROWS = 3;
/** More changes than this in one frame do not flash: it would be unrest, not news. */
const FLASH_MAX = 40;
const FLASH_EVERY_MS = 1_500;
const FLASH_FRAMES = [{ backgroundColor: "var(--hg-flash)" }, { backgroundColor: "transparent" }];
const ANNOUNCE_EVERY_MS = 5_000;

/**
 * @param {Document} doc
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} [children]
 */
function h(doc, tag, attributes = {}, children = []) {
  const element = doc.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {Element} element @param {string} name @param {string} value */
function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  const node = element.firstChild;
  if (node === null) element.append(text);
  else if (node.nodeValue !== text) node.nodeValue = text;
}

/** @typedef {{el: HTMLElement, fields: Record<string, HTMLElement>, flashedAt: number}} Card */

/** @param {Document} doc @returns {HTMLElement} what every card is cloned from */
function buildCardTemplate(doc) {
  // No dl, dt, dd or table: hosts of notebooks have styles of their own for those.
  /** @param {string} name @param {string} [tag] */
  const field = (name, tag = "span") => h(doc, tag, { "data-field": name, class: `hg-${name}` }, [""]);
  /** @param {string} name @param {string} label */
  const row = (name, label) =>
    h(doc, "div", { class: `hg-row hg-row-${name}` }, [
      h(doc, "span", { class: "hg-label" }, [label]), " ", field(name),
    ]);
  /** @param {string} name @param {string} label */
  const metric = (name, label) =>
    h(doc, "span", { class: "hg-metric" }, [field(name), " ", h(doc, "span", { class: "hg-unit" }, [label])]);
  return h(doc, "article", { class: "hg-card", role: "listitem", tabindex: "-1" }, [
    h(doc, "div", { class: "hg-card-head" }, [
      field("id"),
      h(doc, "span", { class: "hg-badge" }, [
        h(doc, "span", { class: "hg-shape", "aria-hidden": "true" }),
        field("status"),
      ]),
    ]),
    field("reason", "div"),
    h(doc, "div", { class: "hg-rows" }, [
      row("feature", "Feature"),
      row("tool", "Last tool"),
      row("session", "Session"),
      row("activity", "Last activity"),
      row("model", "Model"),
      row("project", "Project"),
    ]),
    h(doc, "div", { class: "hg-metrics" }, [
      metric("tools", "tools"),
      metric("tokens", "tokens"),
      field("cost"),
    ]),
  ]);
}

/** @param {HTMLElement} template @param {string} id @returns {Card} */
function cloneCard(template, id) {
  const el = /** @type {HTMLElement} */ (template.cloneNode(true));
  el.setAttribute("data-agent-id", id);
  /** @type {Record<string, HTMLElement>} */
  const fields = {};
  for (const node of el.querySelectorAll("[data-field]")) {
    const field = /** @type {HTMLElement} */ (node);
    fields[/** @type {string} */ (field.dataset.field)] = field;
  }
  setText(fields.id, visibleText(id));
  return { el, fields, flashedAt: 0 };
}

const exactTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** @param {string} text RFC 3339 */
function describeTime(text) {
  const at = readTime(text);
  return at === null ? "" : `${exactTime.format(at)} (${visibleText(text, 40)})`;
}

/**
 * Write an agent into its card; only what differs touches the document.
 *
 * @param {Card} card @param {Agent} agent
 * @returns {HTMLElement[]} the values that changed and are worth a look
 */
function patchCard({ el, fields }, agent) {
  /** @type {HTMLElement[]} */
  const news = [];
  /** @param {string} name @param {string} text @param {string} title */
  const write = (name, text, title) => {
    const field = fields[name];
    const shown = text || "—";
    if (field.firstChild?.nodeValue !== shown) {
      setText(field, shown);
      if (name === "tools" || name === "tool" || name === "status") news.push(field);
    }
    setAttribute(field, "title", title);
  };
  /** @param {string} name @param {string} text */
  const writeText = (name, text) => {
    const shown = visibleText(text);
    write(name, shown, shown);
  };
  setAttribute(el, "data-status", agent.status);
  el.toggleAttribute("data-attention", agent.attention);
  if (agent.detail) setAttribute(el, "data-detail", visibleText(agent.detail, 40));
  else el.removeAttribute("data-detail");
  el.toggleAttribute("data-child", agent.parent !== "");
  setAttribute(fields.id, "title", [
    visibleText(agent.id),
    agent.parent && `subagent of ${visibleText(agent.parent)}`,
    agent.host && `on ${visibleText(agent.host)}`,
  ].filter(Boolean).join("\n"));
  const since = agent.since ? `since ${describeTime(agent.since)}` : "";
  write("status", agent.attention ? "Waits for you" : STATUS_TEXT[agent.status], since);
  writeText("reason", describeAgent(agent));
  writeText("feature", agent.feature);
  writeText("tool", agent.tool);
  writeText("session", agent.session);
  writeText("model", agent.model);
  writeText("project", agent.project);
  setAttribute(fields.activity, "title", describeTime(agent.activity));
  write("tools", agent.tools < 100_000 ? formatCount(agent.tools) : formatTokens(agent.tools),
    `${formatCount(agent.tools)} tools executed in this session`);
  setText(/** @type {Element} */ (fields.tools.nextElementSibling), agent.tools === 1 ? "tool" : "tools");
  write("tokens", formatTokens(agent.tokens), `${formatCount(agent.tokens)} tokens`);
  write("cost", formatUsd(agent.cost),
    agent.cost === null ? "the model's price is not known" : `${agent.cost} USD`);
  setAttribute(fields.tools, "data-value", String(agent.tools));
  setAttribute(fields.tokens, "data-value", String(agent.tokens));
  setAttribute(fields.cost, "data-value", agent.cost === null ? "" : String(agent.cost));
  return news;
}

const STATS = [
  ["waiting", "waiting for you"],
  ["active", "active"],
  ["idle", "idle"],
  ["offline", "offline"],
  ["tokens", "total tokens"],
  ["cost", "total cost"],
];

/**
 * Build everything but the cards.
 *
 * @param {Document} doc @param {MountOptions} options
 */
function buildFrame(doc, options) {
  const dot = h(doc, "span", { class: "hg-dot", "aria-hidden": "true" });
  const text = h(doc, "span", { class: "hg-connection-text" }, [""]);
  const detail = h(doc, "span", { class: "hg-connection-detail" }, [""]);
  /** @type {Record<string, HTMLElement>} */
  const stats = { total: h(doc, "span", { class: "hg-total", "data-stat": "total" }, ["0"]) };
  const boxes = STATS.map(([name, label]) => {
    stats[name] = h(doc, "span", { class: "hg-count", "data-stat": name }, ["0"]);
    return h(doc, "div", { class: `hg-stat hg-stat-${name}` }, [
      stats[name],
      h(doc, "span", { class: "hg-label" }, [
        h(doc, "span", { class: "hg-shape", "aria-hidden": "true" }), label,
      ]),
    ]);
  });
  const list = h(doc, "div", { class: "hg-list", role: "list", "aria-label": "Agents" });
  const hint = h(doc, "div", { class: "hg-hint" }, [options.hint ?? ""]);
  const empty = h(doc, "div", { class: "hg-empty" }, [
    h(doc, "div", {}, ["Waiting for agent activity…"]),
    hint,
  ]);
  const box = h(doc, "div", { class: "hg-box" }, [list, empty]);
  const announcement = h(doc, "div", { class: "hg-announcement", role: "status" }, [""]);
  const root = h(doc, "section", { class: "htmlgraph-grid", "aria-label": "Agent presence" }, [
    h(doc, "header", { class: "hg-head" }, [
      h(doc, "div", { class: "hg-title" }, [options.title ?? "Agents", " ", stats.total]),
      h(doc, "div", { class: "hg-connection" }, [dot, text, detail]),
    ]),
    h(doc, "div", { class: "hg-stats" }, boxes),
    announcement,
    box,
  ]);
  root.toggleAttribute("data-page", options.page === true);
  return { root, text, detail, stats, list, hint, box, announcement };
}

/** @param {ReturnType<typeof buildFrame>} frame @param {Counts} counts */
function patchStats({ root, stats }, counts) {
  for (const name of /** @type {const} */ (["total", "active", "idle", "offline", "waiting"])) {
    setText(stats[name], formatCount(counts[name]));
  }
  setText(stats.tokens, formatTokens(counts.tokens));
  setAttribute(stats.tokens, "title", `${formatCount(counts.tokens)} tokens`);
  setAttribute(stats.tokens, "data-value", String(counts.tokens));
  setText(stats.cost, formatUsd(counts.cost));
  const left = counts.unpriced
    ? `; the price of ${counts.unpriced} agent${counts.unpriced > 1 ? "s" : ""} is not known` : "";
  setAttribute(stats.cost, "title", `${formatUsd(counts.cost)}${left}`);
  setAttribute(stats.cost, "data-value", counts.cost === null ? "" : String(counts.cost));
  root.toggleAttribute("data-waiting", counts.waiting > 0);
  root.toggleAttribute("data-priced", counts.cost !== null);
}

/** @param {Counts} counts @param {string} connection */
function announce(counts, connection) {
  if (counts.waiting === 0) return `${connection}.`;
  const one = counts.waiting === 1;
  return `${connection}. ${counts.waiting} agent${one ? " waits" : "s wait"} for you.`;
}

/**
 * Run `work` once before the next painting, or soon where nothing is painted.
 *
 * requestAnimationFrame stands still in hidden tabs, hence the timer beside it.
 *
 * @param {Window} win @param {() => void} work
 */
function createFrameScheduler(win, work) {
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

/**
 * Put the cards of `ids` into the list in this order, moving as few as possible.
 *
 * @param {HTMLElement} list @param {Map<string, Card>} cards
 * @param {string[]} ids @param {Set<string>} moved ids that may stand at another place than before
 */
function arrange(list, cards, ids, moved) {
  let next = list.firstElementChild;
  for (const id of ids) {
    const { el } = /** @type {Card} */ (cards.get(id));
    while (next && next !== el && moved.has(next.getAttribute("data-agent-id") ?? "")) {
      next = next.nextElementSibling;
    }
    if (next === el) next = el.nextElementSibling;
    else list.insertBefore(el, next);
  }
}

/**
 * @typedef {object} MountOptions
 * @property {string} [title] heading; "Agents"
 * @property {string} [hint] a second line while there is no agent
 * @property {boolean} [page] the grid is the whole page: cards scroll with it
 * @property {number} [newsTimeoutMs] silence after which the source is doubted; 0 for never
 * @property {number} [windowAbove] agents above which only visible cards exist; 1000
 * @property {() => number} [now] the clock, ms since 1970
 * @property {AbortSignal} [signal] takes the grid down
 */

/**
 * Show a store's agents in `el` and keep them up to date.
 *
 * @param {HTMLElement} el
 * @param {Store} store
 * @param {MountOptions} [options]
 * @returns {() => void} takes the grid down
 */
export function mountGrid(el, store, options = {}) {
  const { newsTimeoutMs = 0, windowAbove = 1_000, now = Date.now } = options;
  const doc = el.ownerDocument;
  const win = /** @type {Window & typeof globalThis} */ (doc.defaultView);
  const calm = win.matchMedia("(prefers-reduced-motion: reduce)");
  const frame = buildFrame(doc, options);
  const { root, list, box } = frame;
  const template = buildCardTemplate(doc);
  const order = createOrder();
  /** @type {Map<string, Card>} */
  const cards = new Map();
  /** Ids whose cards are behind the store. @type {Set<string>} */
  const dirty = new Set(store.agents.keys());
  let windowed = false;
  let cardHeight = CARD_HEIGHT;
  let announcedAt = -Infinity;
  let focusId = "";
  /** @type {Counts} */
  let counts = countAgents([]);
  let wholeArrangement = true;

  const clock = () => now() + store.clockOffset;

  /** @param {Card} card @param {string} id */
  const patchAge = (card, id) => {
    const agent = store.agents.get(id);
    if (agent) setText(card.fields.activity, formatAge(readTime(agent.activity), clock()));
  };

  const patchConnection = () => {
    const { state, text, detail, stale } = describeConnection(store, now(), newsTimeoutMs);
    setAttribute(root, "data-connection", state);
    setAttribute(root, "data-stale", String(stale));
    setText(frame.text, visibleText(text));
    setText(frame.detail, visibleText(detail.replace(/\s*\n\s*/g, " · ")));
    setAttribute(frame.detail, "title", visibleLines(detail));
    // With no agents to show there is room for all that may help.
    const help = stale ? visibleLines(store.connection.detail) : "";
    setText(frame.hint, help || (options.hint ?? ""));
    const words = announce(counts, stale ? text.replace(/ for \d+\w$/, "") : text);
    if (now() - announcedAt < ANNOUNCE_EVERY_MS || frame.announcement.textContent === words) return;
    announcedAt = now();
    setText(frame.announcement, words);
  };

  /** @param {Card} card @param {HTMLElement[]} news */
  const flash = (card, news) => {
    if (news.length === 0 || now() - card.flashedAt < FLASH_EVERY_MS) return;
    card.flashedAt = now();
    for (const field of news) field.animate(FLASH_FRAMES, { duration: 1_200, easing: "ease-out" });
  };

  /** @param {string} id */
  const makeCard = (id) => {
    const agent = store.agents.get(id);
    if (agent === undefined) return;
    const card = cloneCard(template, id);
    cards.set(id, card);
    patchCard(card, agent);
    patchAge(card, id);
  };

  /** Rows and columns of the list as it stands. */
  const measure = () => {
    const width = list.clientWidth || root.clientWidth || 800;
    const columns = Math.max(1, Math.floor((width + CARD_GAP) / (CARD_MIN_WIDTH + CARD_GAP)));
    return { columns, rows: Math.ceil(order.list.length / columns), step: cardHeight + CARD_GAP };
  };

  /** Ids of the cards that are to exist now and the place of the first; lays out a windowed list. */
  const visible = () => {
    if (!windowed) return { ids: order.list, start: 0 };
    const { columns, rows, step } = measure();
    const height = box.clientHeight || 600;
    const first = Math.max(0, Math.min(rows, Math.floor(box.scrollTop / step)) - OVERSCAN_ROWS);
    const last = Math.min(rows, Math.ceil((box.scrollTop + height) / step) + OVERSCAN_ROWS);
    list.style.setProperty("--hg-columns", String(columns));
    list.style.setProperty("height", `${Math.max(0, rows * step - CARD_GAP)}px`);
    list.style.setProperty("padding-top", `${first * step}px`);
    return { ids: order.list.slice(first * columns, last * columns), start: first * columns };
  };

  /** Switch between all cards and the visible ones only. */
  const chooseMode = () => {
    const next = order.list.length > windowAbove;
    if (next === windowed) return;
    windowed = next;
    root.toggleAttribute("data-windowed", windowed);
    if (!windowed) list.removeAttribute("style");
    for (const { el: card } of cards.values()) card.remove();
    cards.clear();
    wholeArrangement = true;
  };

  /** Rows for model and project take room only when some agent names one. */
  const chooseRows = () => {
    const has = { model: false, project: false };
    for (const agent of store.agents.values()) {
      has.model ||= agent.model !== "";
      has.project ||= agent.project !== "";
      if (has.model && has.project) break;
    }
    root.toggleAttribute("data-models", has.model);
    root.toggleAttribute("data-projects", has.project);
    cardHeight = CARD_HEIGHT + ROW_HEIGHT * (Number(has.model) + Number(has.project));
    root.style.setProperty("--hg-card-height", `${cardHeight}px`);
  };

  /** @param {Set<string>} moved */
  const placeCards = (moved) => {
    const { ids, start } = visible();
    const wanted = new Set(ids);
    const active = /** @type {Document | ShadowRoot} */ (root.getRootNode()).activeElement;
    const held = active instanceof win.HTMLElement && list.contains(active) ? active : null;
    for (const [id, card] of cards) {
      if (wanted.has(id)) continue;
      card.el.remove();
      cards.delete(id);
    }
    for (const id of ids) if (!cards.has(id)) makeCard(id);
    arrange(list, cards, ids, moved);
    for (const [i, id] of windowed ? ids.entries() : []) {
      const card = /** @type {Card} */ (cards.get(id)).el;
      setAttribute(card, "aria-posinset", String(start + i + 1));
      setAttribute(card, "aria-setsize", String(order.list.length));
    }
    if (held !== null && active !== /** @type {Document} */ (root.getRootNode()).activeElement) {
      (held.isConnected ? held : box).focus({ preventScroll: true });
    }
    if (!store.agents.has(focusId)) focusId = order.list[0] ?? "";
    markFocusable();
  };

  const markFocusable = () => {
    for (const card of list.querySelectorAll('[tabindex="0"]')) card.setAttribute("tabindex", "-1");
    (cards.get(focusId) ?? cards.values().next().value)?.el.setAttribute("tabindex", "0");
    box.setAttribute("tabindex", "-1");
  };

  const draw = () => {
    const changed = [...dirty];
    dirty.clear();
    if (changed.length > 0) {
      counts = countAgents(store.agents.values());
      patchStats(frame, counts);
      chooseRows();
    }
    const moved = order.update(store.agents, changed);
    chooseMode();
    const flashing = changed.length <= FLASH_MAX && !calm.matches && !doc.hidden;
    for (const id of changed) {
      const card = cards.get(id);
      const agent = store.agents.get(id);
      if (card === undefined || agent === undefined) continue;
      const news = patchCard(card, agent);
      patchAge(card, id);
      if (flashing) flash(card, news);
    }
    if (moved !== null || wholeArrangement || windowed) placeCards(moved ?? new Set());
    wholeArrangement = false;
    root.toggleAttribute("data-empty", order.list.length === 0);
    patchConnection();
  };

  const scheduler = createFrameScheduler(win, draw);

  /** @param {string} id */
  const focusCard = (id) => {
    focusId = id;
    if (windowed) {
      const { columns, step } = measure();
      const top = Math.floor(order.list.indexOf(id) / columns) * step;
      if (top < box.scrollTop) box.scrollTop = top;
      else if (top + step > box.scrollTop + box.clientHeight) {
        box.scrollTop = top + step - box.clientHeight;
      }
      placeCards(new Set());
    }
    markFocusable();
    cards.get(id)?.el.focus();
  };

  /** @param {KeyboardEvent} event @returns {number | null} place to go to */
  const target = (event) => {
    const at = Math.max(0, order.list.indexOf(focusId));
    const columns = windowed
      ? measure().columns : win.getComputedStyle(list).gridTemplateColumns.split(" ").length;
    const end = order.list.length - 1;
    /** @type {Record<string, number>} */
    const places = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns,
      Home: 0, End: end,
    };
    const place = places[event.key];
    return place === undefined ? null : place < 0 || place > end ? at : place;
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const place = target(event);
    if (place !== null && order.list.length > 0) focusCard(order.list[place]);
    else return;
    // JupyterLab takes plain letters and arrows for the notebook.
    event.preventDefault();
    event.stopPropagation();
  };

  const tick = () => {
    if (doc.hidden) return;
    for (const [id, card] of cards) patchAge(card, id);
    patchConnection();
  };

  const unsubscribe = store.subscribe((changed) => {
    for (const id of changed) dirty.add(id);
    scheduler.schedule();
  });
  const resized = new win.ResizeObserver(() => { if (windowed) scheduler.schedule(); });
  const timer = win.setInterval(tick, 1_000);
  const onVisible = () => { if (!doc.hidden) tick(); };
  doc.addEventListener("visibilitychange", onVisible);
  box.addEventListener("keydown", onKey);
  box.addEventListener("scroll", () => { if (windowed) scheduler.schedule(); }, { passive: true });
  list.addEventListener("focusin", (event) => {
    const card = event.target instanceof win.Element ? event.target.closest(".hg-card") : null;
    focusId = card?.getAttribute("data-agent-id") ?? focusId;
    markFocusable();
  });

  el.append(root);
  draw();
  resized.observe(box);

  const unmount = () => {
    unsubscribe();
    scheduler.cancel();
    resized.disconnect();
    win.clearInterval(timer);
    doc.removeEventListener("visibilitychange", onVisible);
    root.remove();
  };
  options.signal?.addEventListener("abort", unmount, { once: true });
  return unmount;
}
