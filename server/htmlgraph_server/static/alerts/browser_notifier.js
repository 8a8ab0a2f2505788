// @ts-check
/**
 * Notifications of the browser about alerts.
 *
 * The permission is requested by a click only. Tabs of one browser share what was shown, so that each
 * alert is shown once, also after a reload.
 */

import { sectionOf, worthNotifying } from "./alert_list.js";
import { describePlace } from "./alert_texts.js";

/** @typedef {import("./alert_list.js").Alert} Alert */
/** @typedef {import("./alert_list.js").AlertList} AlertList */
/** @typedef {import("./alert_texts.js").NotificationState} NotificationState */

const SHOWN = "htmlgraph-nb.shown-alerts";
const ENABLED = "htmlgraph-nb.notifications";
const LOCK = "htmlgraph-nb.notify";
const SHOWN_MAX = 300;
/** Hidden tabs wait, so that the tab that a person looks at decides. */
const HIDDEN_DELAY_MS = 200;
/** More at once are one notification. */
export const SINGLE_MAX = 3;

/**
 * @param {Window & typeof globalThis} win
 * @param {AlertList} alerts
 * @param {object} options
 * @param {(agentId: string) => void} options.onOpen shows an agent; "" shows the alerts
 * @param {string} options.icon URL
 * @param {() => number} [options.now] ms since 1970, the clock of the server
 */
export function createNotifier(win, alerts, { onOpen, icon, now = Date.now }) {
  /** @type {Map<string, Notification>} */
  const open = new Map();
  /** @type {Set<() => void>} */
  const listeners = new Set();
  let dismissed = false;

  /** @param {string} key */
  const read = (key) => {
    try {
      return win.localStorage.getItem(key);
    } catch {
      // The browser blocks the storage of this page.
      return null;
    }
  };
  /** @param {string} key @param {string} value */
  const write = (key, value) => {
    try {
      win.localStorage.setItem(key, value);
    } catch (error) {
      console.debug("htmlgraph-nb: the browser blocks the storage of this page", error);
    }
  };

  /** @returns {NotificationState} */
  const state = () => {
    if (!win.isSecureContext) return "insecure";
    if (!("Notification" in win)) return "unsupported";
    const { permission } = win.Notification;
    if (permission === "denied") return "denied";
    if (permission === "default") return dismissed ? "dismissed" : "default";
    return read(ENABLED) === "off" ? "off" : "granted";
  };

  /** Return those of the alerts that no tab has shown, and mark them as shown. @param {Alert[]} list */
  const claim = (list) => {
    /** @type {string[]} */
    let shown;
    try {
      const value = JSON.parse(read(SHOWN) ?? "[]");
      shown = Array.isArray(value) ? value : [];
    } catch {
      shown = [];
    }
    const fresh = list.filter(({ id }) => !shown.includes(id));
    if (fresh.length > 0) write(SHOWN, JSON.stringify([...shown, ...fresh.map(({ id }) => id)].slice(-SHOWN_MAX)));
    return fresh;
  };

  /** @param {Alert[]} list */
  const show = async (list) => {
    if (!win.document.hasFocus()) await new Promise((resolve) => { win.setTimeout(resolve, HIDDEN_DELAY_MS); });
    // Secure contexts have locks; without them two tabs may both show it, with the same tag.
    const fresh = win.navigator.locks ? await win.navigator.locks.request(LOCK, () => claim(list)) : claim(list);
    // Acknowledged or ended meanwhile, or in front of the person.
    const current = fresh.filter(({ id }) => {
      const alert = alerts.get(id);
      return alert !== undefined && sectionOf(alert) === "firing";
    });
    if (current.length === 0 || win.document.hasFocus()) return;
    if (current.length > SINGLE_MAX) notify("alerts", `${current.length} alerts`, current.map(({ message }) => message).slice(0, SINGLE_MAX).join("\n"), "");
    else for (const alert of current) notify(alert.id, alert.message, describePlace(alert), alert.agentId);
  };

  /** @param {string} tag @param {string} title @param {string} body @param {string} agentId */
  const notify = (tag, title, body, agentId) => {
    try {
      const notification = new win.Notification(title, { tag: `htmlgraph-nb.${tag}`, body, icon });
      open.set(tag, notification);
      notification.onclose = () => { open.delete(tag); };
      notification.onclick = () => {
        win.focus();
        onOpen(agentId);
        notification.close();
      };
    } catch (error) {
      // Chrome on Android allows notifications to service workers only.
      console.warn("htmlgraph-nb: the browser shows no notification:", error);
    }
  };

  const unsubscribe = alerts.subscribe((changed) => {
    for (const { id, ...alert } of changed) if (sectionOf({ id, ...alert }) !== "firing") open.get(id)?.close();
    if (state() !== "granted") return;
    const list = worthNotifying(changed, "browser", now());
    if (list.length > 0) show(list);
  });
  const changed = () => { for (const listener of [...listeners]) listener(); };
  /** The person may change it in the settings of the browser. @type {PermissionStatus | null} */
  let status = null;
  win.navigator.permissions?.query({ name: "notifications" }).then((result) => {
    status = result;
    result.onchange = changed;
  }, () => {});

  return {
    state,
    /** Ask for the permission, or turn notifications off or on. Call it from a click. */
    async toggle() {
      const before = state();
      if (before === "granted" || before === "off") write(ENABLED, before === "granted" ? "off" : "on");
      if (before === "default" || before === "dismissed") {
        dismissed = await win.Notification.requestPermission() === "default";
        write(ENABLED, "on");
      }
      changed();
    },
    /** @param {() => void} listener called after a change of the state @returns {() => void} unsubscribes */
    subscribe(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },
    stop() {
      unsubscribe();
      if (status !== null) status.onchange = null;
      for (const notification of open.values()) notification.close();
    },
  };
}
