// @ts-check
/** Mounts the grid on the document: rendering schedule, selection and keyboard handling. */

import { createAnnouncer, announcementOf } from "./elements/announcer.js";
import { createLayout } from "../model/layout.js";
import { cardsView, usedRows } from "./cards.js";
import { compactView } from "./compact.js";
import { createDetails } from "./details.js";
import { createFrameScheduler, setAttribute, setStyle, setText } from "./elements/dom.js";
import { explainAt } from "./elements/fields.js";
import { describeConnection, visibleLines, visibleText } from "./elements/format.js";
import { createHelp } from "./help.js";
import { buildFrame, writeStats } from "./skeleton.js";
import { bindKeyboard } from "./elements/keyboard.js";
import { createList } from "./list.js";
import { createReplayBar } from "./replay_bar.js";
import { createSettings, VIEW_NAMES } from "../model/settings.js";
import { isUrgent } from "../model/sort.js";
import { countAgents } from "../model/totals.js";
import { drawHeader, nextSort, shownColumns, tableView, tracksOf, widthOf } from "./table.js";
import { createToolbar } from "./toolbar.js";

/** @typedef {import("../model/store.js").Store} Store */

const VIEW_OF = { cards: cardsView, table: tableView, compact: compactView };
const TICK_MS = 1_000;
const NO_AGENTS = countAgents([]);
/** Agents change places at most once per interval, so that a card can be read and clicked. */
const REORDER_EVERY_MS = 3_000;

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
 * @property {(agentId: string) => void} [markViewed] reports that a person looked at an agent
 * @property {string} [logo] URL of an image before the heading
 * @property {import("./elements/page_head.js").Navigation} [nav] links to other pages, in place of the heading
 * @property {boolean} [remember] whether the browser keeps that the hint on hooks was dismissed
 * @property {import("./replay_bar.js").Replay | null} [replay] controls of a replay, if the grid shows history
 */

/**
 * Show a store's agents in `el` and keep them up to date.
 *
 * @param {HTMLElement} el
 * @param {Store} store
 * @param {MountOptions} [options]
 * @returns {(() => void) & {nextWaiting: () => boolean}} unmounts the grid; its `nextWaiting` selects
 *   the next agent that needs a person, as the key w does, and returns false if there is none
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
  let layoutAt = -Infinity;
  let reorderTimer = 0;
  let timeOnly = false;
  /** Agent and end of its turn that were last reported as viewed. */
  let viewed = "";
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
  const help = createHelp(root, frame.help);
  frame.tiles.after(toolbar.bar);
  if (replayBar !== null) toolbar.bar.after(replayBar.bar);

  /** @param {string | null} id */
  const select = (id) => {
    const before = details.id;
    settings.set({ selected: id });
    // Do not lose the focus when the panel that has it is removed.
    if (id === null && before && details.panel.contains(doc.activeElement)) list.focus(before);
  };
  /** Report the selected agent as viewed, once for each turn. */
  const reportViewed = () => {
    const agent = store.agents.get(details.id);
    if (agent === undefined || !agent.unseen || doc.hidden || options.markViewed === undefined) return;
    const turn = `${agent.id} ${agent.detailSince}`;
    if (turn === viewed) return;
    viewed = turn;
    options.markViewed(agent.id);
  };
  /** Select and focus the next agent that waits for a person, or cannot work. */
  const nextWaiting = () => {
    if (dirty.size > 0) draw();
    const ids = (layout?.ids ?? []).filter((id) => isUrgent(/** @type {import("../model/agent.js").Agent} */ (store.agents.get(id))));
    if (ids.length === 0) return false;
    const next = ids[(ids.indexOf(settings.get().selected ?? "") + 1) % ids.length];
    settings.set({ selected: next });
    return focusAgent(next);
  };
  /** List or hide the ended subagents of an agent. @param {string | null} id */
  const toggleEnded = (id) => {
    const row = layout?.rows.find((item) => item.kind === "agent" && item.id === id);
    if (row === undefined || row.kind !== "agent" || row.ended === 0) return false;
    layoutEngine.toggleEnded(row.id);
    schedule();
    return true;
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
    frame.server.draw(store.serverInfo, layout?.facets.withoutHooks ?? new Map(), clock());
    const reading = store.serverInfo?.backfill?.state === "running";
    setText(frame.emptyTitle, stale ? visibleText(text) : reading ? "Reading session files…" : "No agent is known yet.");
    // Without agents there is room for all hints.
    setText(frame.hint, stale ? visibleLines(store.connection.detail) : (options.hint ?? ""));
    const status = stale ? text.replace(/ for \d+\w$/, "") : text;
    announcer.announce(announcementOf(layout?.all ?? NO_AGENTS, status));
  };

  /** Apply view and columns of the settings. */
  const drawView = () => {
    const { view, columns: chosen, sort } = settings.get();
    const columns = shownColumns(chosen);
    setAttribute(root, "data-view", view);
    list.setView(VIEW_OF[view], columns, view === "table" ? widthOf(columns) + 24 : 0);
    if (view !== "table") return frame.header.remove();
    setStyle(root, "--hg-tracks", tracksOf(columns));
    setStyle(root, "--hg-table-width", `${widthOf(columns)}px`);
    drawHeader(frame.header, columns, sort, (name) => settings.set({ sort: nextSort(name, settings.get().sort) }));
    if (!frame.header.isConnected) frame.list.before(frame.header);
  };

  /** @param {readonly string[]} changed @param {import("../model/settings.js").ViewSettings} current */
  const updateLayout = (changed, current) => {
    const elapsed = now() - layoutAt;
    const hold = layout !== null && current === drawnFor && elapsed >= 0 && elapsed < REORDER_EVERY_MS;
    const next = layoutEngine.update(store.agents, changed, current, hold);
    if (next.changedStructure && !hold) layoutAt = now();
    if (next.held) {
      reorderTimer ||= win.setTimeout(() => {
        reorderTimer = 0;
        schedule();
      }, REORDER_EVERY_MS - elapsed);
    }
    return next;
  };

  const draw = () => {
    const changed = [...dirty];
    dirty.clear();
    const current = settings.get();
    const opening = current.selected !== null && current.selected !== details.id;
    layout = updateLayout(changed, current);
    if (opening && !layout.ids.includes(/** @type {string} */ (current.selected))) {
      layoutEngine.open(/** @type {string} */ (current.selected));
      layout = layoutEngine.update(store.agents, [], current);
    }
    const { all, shown, facets } = layout;
    const settingsChanged = current !== drawnFor;
    drawnFor = current;
    if (settingsChanged) drawView();
    writeStats(frame, all, shown);
    // Rows that are empty on all cards take no room.
    const rows = usedRows(facets);
    setAttribute(root, "data-rows", rows.join(" "));
    list.draw(layout, changed, rows.length);
    list.select(current.selected);
    toolbar.draw(layout, settingsChanged);
    details.show(current.selected);
    root.toggleAttribute("data-details", current.selected !== null);
    if (opening) list.reveal(/** @type {string} */ (current.selected));
    if (opening || changed.includes(details.id)) details.draw();
    reportViewed();
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
    reportViewed();
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
      waiting: nextWaiting,
      fold: () => toggleEnded(list.neighbor("here")),
      help: () => {
        help.toggle();
        return true;
      },
      view: (n) => {
        settings.set({ view: VIEW_NAMES[n - 1] });
        return true;
      },
    }, options.page === true),
  ];
  const timer = win.setInterval(tick, TICK_MS);
  const onVisible = () => { if (!doc.hidden) tick(); };
  doc.addEventListener("visibilitychange", onVisible);
  frame.list.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const group = target.closest("[data-toggle]");
    if (group !== null) {
      layoutEngine.toggleGroup(/** @type {string} */ (group.getAttribute("data-toggle")));
      return schedule();
    }
    const card = target.closest("[data-agent-id]");
    if (card !== null && target.closest("[data-folds]") !== null) return void toggleEnded(card.getAttribute("data-agent-id"));
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
  return Object.assign(unmount, { nextWaiting });
}
