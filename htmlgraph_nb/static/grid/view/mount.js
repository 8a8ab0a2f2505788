// @ts-check
/** Mounts the grid on the document: rendering schedule, selection and keyboard handling. */

import { createAnnouncer, announcementOf } from "./elements/announcer.js";
import { createLayout } from "../model/layout.js";
import { cardsView } from "./cards.js";
import { compactView } from "./compact.js";
import { createDetails } from "./details.js";
import { createFrameScheduler, setAttribute, setStyle, setText } from "./elements/dom.js";
import { explainAt } from "./elements/fields.js";
import { describeConnection, visibleLines, visibleText } from "./elements/format.js";
import { buildFrame, writeStats } from "./skeleton.js";
import { bindKeyboard } from "./elements/keyboard.js";
import { createList } from "./list.js";
import { createReplayBar } from "./replay_bar.js";
import { createSettings } from "../model/settings.js";
import { drawHeader, nextSort, shownColumns, tableView, tracksOf, widthOf } from "./table.js";
import { createToolbar } from "./toolbar.js";

/** @typedef {import("../model/store.js").Store} Store */

const VIEW_OF = { cards: cardsView, table: tableView, compact: compactView };
const TICK_MS = 1_000;
/** Sort orders that change with every event: reorder rows at most once per interval. */
const FREQUENTLY_CHANGING = /^-?(activity|since|tools|tokens|cost|errors|tool)$/;
const REORDER_EVERY_MS = 1_000;

/**
 * @typedef {object} MountOptions
 * @property {string} [title] heading; "Agents"
 * @property {string} [hint] second line shown when there are no agents
 * @property {boolean} [page] whether the grid is the whole page
 * @property {boolean} [fill] whether the grid fills its container and scrolls inside
 * @property {number} [staleAfterMs] ms without a message after which data is shown as stale; 0 for never
 * @property {number} [windowAbove] rows above which only visible ones have elements; 400
 * @property {() => number} [now] the clock, ms since 1970
 * @property {AbortSignal} [signal] unmounts the grid
 * @property {ReturnType<typeof createSettings>} [settings] view, filter, sort; created if omitted
 * @property {import("./details.js").LoadHistory} [loadHistory] loads stored events of an agent, newest first
 * @property {string} [slowHint] why loadHistory may take long
 * @property {import("./replay_bar.js").Replay | null} [replay] controls of a replay, if the grid shows history
 */

/**
 * Show a store's agents in `el` and keep them up to date.
 *
 * @param {HTMLElement} el
 * @param {Store} store
 * @param {MountOptions} [options]
 * @returns {() => void} unmounts the grid
 */
export function mountGrid(el, store, options = {}) {
  const { staleAfterMs = 0, windowAbove = 400, now = Date.now, replay = null } = options;
  const settings = options.settings ?? createSettings();
  const doc = el.ownerDocument;
  const win = /** @type {Window & typeof globalThis} */ (doc.defaultView);
  const frame = buildFrame(doc, options);
  const { root, box } = frame;
  const layoutEngine = createLayout();
  const announcer = createAnnouncer(frame.announcement, now);
  const replayBar = replay === null ? null : createReplayBar(doc, replay, now);
  const clock = replayBar?.clock ?? (() => now() + store.clockOffset);
  /** Ids whose elements must be redrawn. @type {Set<string>} */
  const dirty = new Set(store.agents.keys());
  /** @type {import("../model/layout.js").Layout | null} */
  let layout = null;
  /** Ids changed since the last layout update. @type {Set<string>} */
  const pendingIds = new Set();
  let layoutAt = -Infinity;
  let reorderTimer = 0;
  let timeOnly = false;
  /** The settings of the last drawing. @type {import("../model/settings.js").ViewSettings | null} */
  let drawnFor = null;

  el.append(root);
  const schedule = () => scheduler.schedule();
  const list = createList(frame, { windowAbove, now, clock, store, onResize: schedule });
  const details = createDetails(frame.main, {
    store, clock, loadHistory: options.loadHistory, slowHint: options.slowHint,
    onClose: () => select(null), onSelect: (id) => select(id),
  });
  const toolbar = createToolbar(root, settings, { onLeaveSearch: () => focusAgent(list.neighbor("here")) });
  frame.tiles.after(toolbar.bar);
  if (replayBar !== null) toolbar.bar.after(replayBar.bar);
  root.toggleAttribute("data-replay", replay !== null);

  /** @param {string | null} id */
  const select = (id) => {
    const before = details.id;
    settings.set({ selected: id });
    // Do not lose the focus when the panel that has it is removed.
    if (id === null && before && details.panel.contains(doc.activeElement)) list.focus(before);
  };
  /** @param {string | null} id */
  const focusAgent = (id) => {
    if (id !== null) list.focus(id);
    return id !== null;
  };

  const drawConnection = () => {
    const { state, text, detail, stale } = describeConnection(store, now(), staleAfterMs);
    setAttribute(root, "data-connection", state);
    setAttribute(root, "data-stale", String(stale));
    setText(frame.text, visibleText(text));
    setText(frame.detail, visibleText(detail.replace(/\s*\n\s*/g, " · ")));
    setAttribute(frame.detail, "title", visibleLines(detail));
    // Without agents there is room for all hints.
    const help = stale ? visibleLines(store.connection.detail) : "";
    setText(frame.hint, help || (options.hint ?? ""));
    const status = stale ? text.replace(/ for \d+\w$/, "") : text;
    announcer.announce(announcementOf(layout?.all.waiting ?? 0, status));
  };

  /** Apply view and columns of the settings. */
  const drawView = () => {
    const { view, columns: chosen, sort } = settings.get();
    const columns = shownColumns(chosen);
    setAttribute(root, "data-view", view);
    list.setView(VIEW_OF[view], columns);
    if (view !== "table") return frame.header.remove();
    setStyle(root, "--hg-tracks", tracksOf(columns));
    setStyle(root, "--hg-table-width", `${widthOf(columns)}px`);
    drawHeader(frame.header, columns, sort, (name) => settings.set({ sort: nextSort(name, settings.get().sort) }));
    if (!frame.header.isConnected) frame.list.before(frame.header);
  };

  /** @param {readonly string[]} changed @param {import("../model/settings.js").ViewSettings} current */
  const updateLayout = (changed, current) => {
    for (const id of changed) pendingIds.add(id);
    const elapsed = now() - layoutAt;
    const keepOrder = layout !== null && current === drawnFor && FREQUENTLY_CHANGING.test(current.sort)
      && elapsed >= 0 && elapsed < REORDER_EVERY_MS && changed.every((id) => store.agents.has(id));
    if (layout !== null && keepOrder) {
      reorderTimer ||= win.setTimeout(() => {
        reorderTimer = 0;
        schedule();
      }, REORDER_EVERY_MS - elapsed);
      return { ...layout, moved: null, changedStructure: false };
    }
    layoutAt = now();
    const next = layoutEngine.update(store.agents, pendingIds, current);
    pendingIds.clear();
    return next;
  };

  const draw = () => {
    const changed = [...dirty];
    dirty.clear();
    const current = settings.get();
    layout = updateLayout(changed, current);
    const { all, shown, facets } = layout;
    const settingsChanged = current !== drawnFor;
    drawnFor = current;
    if (settingsChanged) drawView();
    writeStats(frame, all, shown);
    // Reserve lines for model and project only if some agent has one.
    const optional = { models: hasNamed(facets.model), projects: hasNamed(facets.project) };
    root.toggleAttribute("data-models", optional.models);
    root.toggleAttribute("data-projects", optional.projects);
    list.draw(layout, changed, optional);
    list.select(current.selected);
    toolbar.draw(layout, settingsChanged);
    const opening = current.selected !== null && current.selected !== details.id;
    details.show(current.selected);
    root.toggleAttribute("data-details", current.selected !== null);
    if (opening) list.reveal(/** @type {string} */ (current.selected));
    if (opening || changed.includes(details.id)) details.draw();
    if (timeOnly) list.tick();
    timeOnly = false;
    drawConnection();
  };
  const scheduler = createFrameScheduler(win, draw);

  const tick = () => {
    if (doc.hidden) return;
    list.tick();
    replayBar?.draw();
    details.draw();
    drawConnection();
  };

  const ends = [
    store.subscribe((changed) => {
      for (const id of changed) dirty.add(id);
      // No agent changed, only the connection or the activity counts.
      timeOnly ||= changed.size === 0;
      schedule();
    }),
    settings.subscribe(schedule),
    bindKeyboard(root, frame.tree, {
      move: (step) => focusAgent(list.neighbor(step)),
      select: () => {
        const id = list.focusId;
        select(id === settings.get().selected ? null : id);
        return true;
      },
      leave: () => {
        const left = toolbar.leave();
        if (left !== false) return left === true;
        if (settings.get().selected === null) return false;
        select(null);
        return true;
      },
      search: () => {
        toolbar.search();
        return true;
      },
    }, options.page === true),
  ];
  const timer = win.setInterval(tick, TICK_MS);
  const onVisible = () => { if (!doc.hidden) tick(); };
  doc.addEventListener("visibilitychange", onVisible);
  frame.list.addEventListener("click", (event) => {
    const card = /** @type {Element} */ (event.target).closest("[data-agent-id]");
    // Selecting text with the mouse must not select the agent.
    if (card === null || win.getSelection()?.isCollapsed === false) return;
    const id = card.getAttribute("data-agent-id");
    select(id === settings.get().selected ? null : id);
  });
  frame.main.addEventListener("pointerover", (event) => {
    explainAt(/** @type {Element} */ (event.target), (id) => store.agents.get(id));
  }, { passive: true });
  frame.tiles.addEventListener("click", (event) => {
    const tile = /** @type {Element} */ (event.target).closest("[data-filter]");
    if (tile !== null) toolbar.filters.toggle("status", /** @type {string} */ (tile.getAttribute("data-filter")).slice(7));
  });
  frame.clear.addEventListener("click", () => settings.set({ filter: {} }));

  draw();

  const unmount = () => {
    for (const end of ends) end();
    scheduler.cancel();
    list.unmount();
    toolbar.stop();
    details.stop();
    replayBar?.stop();
    win.clearInterval(timer);
    win.clearTimeout(reorderTimer);
    doc.removeEventListener("visibilitychange", onVisible);
    root.remove();
  };
  options.signal?.addEventListener("abort", unmount, { once: true });
  return unmount;
}

/** @param {ReadonlyMap<string, number>} facet */
const hasNamed = (facet) => facet.size > (facet.has("") ? 1 : 0);
