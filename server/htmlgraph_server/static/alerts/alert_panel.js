// @ts-check
/** The button with the number of alerts, and the panel that it opens. */

import { attachPopover, h, icon, setAttribute, setText, visibleText } from "../agent_grid.js";
import { describeMute, describeNotifications, describePlace, describeTimes, announceAlerts, badgeText, secondsUntilTomorrow } from "./alert_texts.js";

/** @typedef {import("./alert_list.js").Alert} Alert */
/** @typedef {import("./alert_list.js").AlertList} AlertList */
/** @typedef {import("./alert_list.js").Section} Section */

const SECTIONS = /** @type {Record<Section, string>} */ ({ firing: "Firing", acknowledged: "Acknowledged", past: "Past" });
const NONE = "No alert is firing.";
const HOUR_S = 3_600;
const TICK_MS = 10_000;
/** From this number of alerts on, a button acknowledges all. */
const MANY = 3;
/** Requests at a time. */
const AT_ONCE = 4;
/** Past alerts that are shown. */
const PAST_MAX = 50;
const DRAW_AFTER_MS = 50;

/**
 * @typedef {object} AlertActions
 * @property {(alertId: string) => Promise<void>} acknowledge
 * @property {(seconds: number) => Promise<void>} mute 0 ends it
 * @property {() => Promise<void>} load adds acknowledged and past alerts to the list
 * @property {(agentId: string) => void} open shows an agent
 * @property {() => number} now ms since 1970, the clock of the server
 * @property {ReturnType<typeof import("./browser_notifier.js").createNotifier>} [notifier]
 */

/**
 * Add the button to the header of a page.
 *
 * @param {HTMLElement} root the page, `.htmlgraph-grid`
 * @param {AlertList} alerts
 * @param {AlertActions} actions
 */
export function attachAlerts(root, alerts, actions) {
  const doc = root.ownerDocument;
  const win = /** @type {Window} */ (doc.defaultView);
  const badge = h(doc, "span", { class: "hg-alert-count", hidden: "" }, [""]);
  const button = h(doc, "button", { type: "button", class: "hg-copy hg-alert-button", "data-control": "alerts" }, [icon(doc, "bell"), badge]);
  const announcement = h(doc, "span", { class: "hg-hidden", role: "status", "aria-live": "polite" }, [""]);
  const head = /** @type {HTMLElement} */ (root.querySelector(".hg-connection"));
  head.insertBefore(button, head.querySelector("[data-control=help]"));
  head.append(announcement);

  const view = buildPanel(doc);
  /** Elements of the alerts by id. @type {Map<string, ReturnType<typeof createItem>>} */
  const items = new Map();
  let problem = "";
  let loading = false;

  const popover = attachPopover(root, button, {
    label: "Alerts", atEnd: true,
    build: (panel) => {
      if (!view.root.isConnected) panel.append(view.root);
      panel.classList.add("hg-alerts");
      load();
      draw();
    },
  });
  const isOpen = () => popover.panel.matches(":popover-open");

  /** Run an action of the person; show why it failed. @param {() => Promise<void>} action @param {string} failure */
  const run = async (action, failure) => {
    problem = "";
    try {
      await action();
    } catch (error) {
      problem = `${failure}: ${visibleText(/** @type {Error} */ (error).message)}.`;
    }
    draw();
  };
  const load = async () => {
    loading = true;
    await run(actions.load, "Earlier alerts could not be loaded");
    loading = false;
    draw();
  };
  /** @param {number} seconds */
  const mute = (seconds) => run(() => actions.mute(seconds), "Alerts could not be muted");

  /** Acknowledge what is shown as firing. */
  const acknowledgeAll = async () => {
    const ids = alerts.section("firing").map(({ id }) => id);
    while (ids.length > 0) await Promise.all(ids.splice(0, AT_ONCE).map(actions.acknowledge));
  };

  view.all.addEventListener("click", () => {
    view.root.focus({ preventScroll: true });
    run(acknowledgeAll, "Not all alerts could be acknowledged");
  });
  view.hour.addEventListener("click", () => mute(HOUR_S));
  view.tomorrow.addEventListener("click", () => mute(secondsUntilTomorrow(actions.now())));
  view.unmute.addEventListener("click", () => mute(0));
  view.notify.addEventListener("click", () => actions.notifier?.toggle());
  view.root.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const id = target.closest("[data-alert-id]")?.getAttribute("data-alert-id") ?? "";
    if (target.closest("[data-acknowledge]") !== null) {
      focusNext(/** @type {Element} */ (target.closest("li")));
      run(() => actions.acknowledge(id), "The alert could not be acknowledged");
    }
    if (target.closest("[data-open]") !== null) {
      popover.close();
      actions.open(alerts.get(id)?.agentId ?? "");
    }
  });

  /** The focused button is about to disappear. @param {Element} item */
  const focusNext = (item) => {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    const target = next?.querySelector("[data-acknowledge]") ?? view.root;
    /** @type {HTMLElement} */ (target).focus({ preventScroll: true });
  };

  const drawBadge = () => {
    const n = alerts.count;
    const muted = describeMute(alerts.mutedUntil, actions.now());
    setText(badge, badgeText(n));
    badge.hidden = n === 0;
    const label = `Alerts: ${n === 0 ? "none" : n}${muted === "" ? "" : `; ${muted.toLowerCase()}`}`;
    setAttribute(button, "aria-label", label);
    setAttribute(button, "title", label);
    button.toggleAttribute("data-muted", muted !== "");
    const worst = alerts.section("firing")[0]?.severity ?? "";
    setAttribute(button, "data-severity", worst);
  };

  const drawPanel = () => {
    const now = actions.now();
    const muted = describeMute(alerts.mutedUntil, now);
    setText(view.muted, muted);
    for (const element of [view.hour, view.tomorrow, view.muteLabel]) element.hidden = muted !== "";
    view.unmute.hidden = view.muted.hidden = muted === "";
    const rules = alerts.rulesError === "" ? "" : `The file of rules is not valid: ${visibleText(alerts.rulesError)}`;
    setText(view.problem, problem || rules);
    view.problem.hidden = problem === "" && rules === "";
    drawNotifications();
    const seen = new Set();
    for (const name of /** @type {Section[]} */ (Object.keys(SECTIONS))) {
      const list = alerts.section(name).slice(0, name === "past" ? PAST_MAX : undefined);
      const { section, count, list: element } = view.sections[name];
      section.hidden = list.length === 0;
      setText(count, String(list.length));
      for (const [i, alert] of list.entries()) {
        seen.add(alert.id);
        const item = items.get(alert.id) ?? createItem(doc, alert);
        items.set(alert.id, item);
        drawItem(item, alert, name, now);
        // Moving an element would take the focus from it.
        if (element.children[i] !== item.item) element.insertBefore(item.item, element.children[i] ?? null);
      }
    }
    for (const [id, { item }] of items) {
      if (seen.has(id)) continue;
      item.remove();
      items.delete(id);
    }
    view.all.hidden = alerts.count < MANY;
    view.none.hidden = alerts.count > 0;
    setText(view.none, !alerts.known && loading ? "Loading…" : NONE);
  };

  const drawNotifications = () => {
    const { notifier } = actions;
    view.notifications.hidden = notifier === undefined;
    if (notifier === undefined) return;
    const state = notifier.state();
    const { text, action } = describeNotifications(state);
    setAttribute(view.notifications, "data-state", state);
    setText(view.notifyText, text);
    setText(view.notify, action);
    view.notify.hidden = action === "";
  };

  const draw = () => {
    drawBadge();
    if (isOpen() || !view.root.isConnected) drawPanel();
  };

  let timer = 0;
  const ends = [
    alerts.subscribe((changed) => {
      if (changed.length > 0 || alerts.count === 0) setText(announcement, visibleText(announceAlerts(alerts.count, changed)));
      timer ||= win.setTimeout(() => {
        timer = 0;
        draw();
      }, DRAW_AFTER_MS);
    }),
    actions.notifier?.subscribe(draw) ?? (() => {}),
  ];
  const interval = win.setInterval(() => { if (!doc.hidden) draw(); }, TICK_MS);
  popover.panel.addEventListener("toggle", () => { if (isOpen()) draw(); });
  draw();

  return {
    open: () => { if (!isOpen()) popover.toggle(); },
    stop() {
      for (const end of ends) end();
      win.clearTimeout(timer);
      win.clearInterval(interval);
      popover.panel.remove();
      button.remove();
      announcement.remove();
    },
  };
}

/** @param {Document} doc */
function buildPanel(doc) {
  /** @param {string} name @param {string} text */
  const smallButton = (name, text) => h(doc, "button", { type: "button", class: "hg-button", "data-control": name }, [text]);
  const title = h(doc, "h2", { class: "hg-alerts-title" }, ["Alerts"]);
  const muteLabel = h(doc, "span", { class: "hg-alerts-label" }, ["Mute"]);
  const muted = h(doc, "span", { class: "hg-alerts-label", "data-field": "muted" }, [""]);
  const hour = smallButton("mute-hour", "1 hour");
  const tomorrow = smallButton("mute-tomorrow", "Until tomorrow");
  const unmute = smallButton("unmute", "Unmute");
  hour.setAttribute("aria-label", "Mute for 1 hour");
  tomorrow.setAttribute("aria-label", "Mute until tomorrow, 8:00");
  tomorrow.title = "Until 8:00 tomorrow";
  const notifyText = h(doc, "span", { class: "hg-alerts-label" }, [""]);
  const notify = smallButton("notify", "");
  const notifications = h(doc, "div", { class: "hg-alerts-row", "data-field": "notifications" }, [notifyText, notify]);
  const problem = h(doc, "div", { class: "hg-alerts-problem", role: "alert", hidden: "" }, [""]);
  const none = h(doc, "div", { class: "hg-alerts-none" }, [NONE]);
  const all = h(doc, "button", { type: "button", class: "hg-more", "data-control": "acknowledge-all", hidden: "" }, ["Acknowledge all"]);
  /** @type {Record<string, {section: HTMLElement, count: HTMLElement, list: HTMLElement}>} */
  const sections = {};
  for (const [name, label] of Object.entries(SECTIONS)) {
    const count = h(doc, "span", { class: "hg-alerts-number" }, ["0"]);
    const list = h(doc, "ul", { class: "hg-alert-list" });
    const section = h(doc, "section", { "data-section": name, "aria-label": `${label} alerts`, hidden: "" },
      [h(doc, "div", { class: "hg-alerts-section" }, [h(doc, "h3", { class: "hg-alerts-heading" }, [label, " ", count])]), list]);
    if (name === "firing") section.firstElementChild?.append(all);
    sections[name] = { section, count, list };
  }
  const root = h(doc, "div", { class: "hg-alerts-body", tabindex: "-1" }, [
    h(doc, "div", { class: "hg-alerts-head" }, [
      title, h(doc, "div", { class: "hg-alerts-mute", role: "group", "aria-label": "Mute alerts" }, [muteLabel, muted, hour, tomorrow, unmute]),
    ]),
    notifications, problem, none, ...Object.values(sections).map(({ section }) => section),
  ]);
  return { root, muteLabel, muted, hour, tomorrow, unmute, notifications, notifyText, notify, problem, none, all, sections };
}

/** @param {Document} doc @param {Alert} alert */
function createItem(doc, alert) {
  const message = h(doc, "button", { type: "button", class: "hg-alert-message", "data-open": "" }, [""]);
  const sentence = h(doc, "span", { class: "hg-alert-message" }, [""]);
  const place = h(doc, "span", { class: "hg-alert-place" }, [""]);
  const times = h(doc, "span", { class: "hg-alert-times" }, [""]);
  const acknowledge = h(doc, "button", { type: "button", class: "hg-button", "data-acknowledge": "" }, ["Acknowledge"]);
  const item = h(doc, "li", { class: "hg-alert", "data-alert-id": alert.id }, [
    h(doc, "span", { class: "hg-alert-mark", "aria-hidden": "true" }),
    h(doc, "div", { class: "hg-alert-text" }, [alert.agentId === "" ? sentence : message, place, times]),
    acknowledge,
  ]);
  return { item, message: alert.agentId === "" ? sentence : message, place, times, acknowledge };
}

/** @param {ReturnType<typeof createItem>} parts @param {Alert} alert @param {Section} section @param {number} now */
function drawItem({ item, message, place, times, acknowledge }, alert, section, now) {
  setAttribute(item, "data-severity", alert.severity);
  setAttribute(item, "data-section-of", section);
  setText(message, visibleText(alert.message));
  if (alert.agentId !== "") setAttribute(message, "title", "Show the agent");
  const about = visibleText(describePlace(alert));
  setText(place, about);
  setAttribute(place, "title", about);
  place.hidden = about === "";
  setText(times, visibleText(describeTimes(alert, now)));
  setAttribute(acknowledge, "aria-label", `Acknowledge: ${visibleText(alert.message)}`);
  acknowledge.hidden = section !== "firing";
}
