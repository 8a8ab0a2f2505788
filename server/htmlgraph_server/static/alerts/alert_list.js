// @ts-check
/**
 * The alerts that the page knows: those of the WebSocket, and past ones that were loaded.
 *
 * Pure but for the subscribers: neither clock, socket nor document. Invalid values are ignored.
 */

import { isRecord, readText, readTime } from "../agent_grid.js";

/**
 * @typedef {"info" | "warning" | "critical"} Severity
 * @typedef {"firing" | "acknowledged" | "past"} Section
 *
 * @typedef {object} Alert Times are ms since 1970.
 * @property {string} id
 * @property {string} rule
 * @property {Severity} severity
 * @property {"firing" | "resolved"} state
 * @property {string} message one sentence
 * @property {string} agentId "" if it is about no single agent
 * @property {string} agentKind
 * @property {string} project
 * @property {string} branch
 * @property {string} host
 * @property {number | null} since
 * @property {number} firedAt
 * @property {number | null} resolvedAt
 * @property {number | null} acknowledgedAt
 * @property {string} acknowledgedBy
 * @property {boolean} silenced muted, or fired in quiet hours
 * @property {string[]} channels the channels of its rule; empty: all
 *
 * @typedef {ReturnType<typeof createAlertList>} AlertList
 */

/** Most and least severe first. */
export const SEVERITIES = /** @type {readonly Severity[]} */ (["critical", "warning", "info"]);
/** An alert that fired earlier is in the list only: the person has come back. */
export const RECENT_MS = 10 * 60_000;
/** Older ones are dropped. */
export const ALERTS_MAX = 1_000;

/** @param {unknown} value @returns {Alert | null} */
export function readAlert(value) {
  if (!isRecord(value)) return null;
  const id = readText(value.alert_id);
  const message = readText(value.message);
  const firedAt = readTime(value.fired_at);
  if (id === "" || message === "" || firedAt === null) return null;
  return {
    id, message, firedAt,
    rule: readText(value.rule),
    severity: SEVERITIES.includes(value.severity) ? value.severity : "warning",
    state: value.state === "resolved" ? "resolved" : "firing",
    agentId: readText(value.agent_id),
    agentKind: readText(value.agent_kind),
    project: readText(value.project),
    branch: readText(value.branch),
    host: readText(value.host),
    since: readTime(value.since),
    resolvedAt: readTime(value.resolved_at),
    acknowledgedAt: readTime(value.acknowledged_at),
    acknowledgedBy: readText(value.acknowledged_by),
    silenced: value.silenced === true,
    channels: Array.isArray(value.channels) ? value.channels.filter((name) => typeof name === "string") : [],
  };
}

/** @param {Alert} alert @returns {Section} */
export function sectionOf({ state, acknowledgedAt }) {
  if (state === "resolved") return "past";
  return acknowledgedAt === null ? "firing" : "acknowledged";
}

/**
 * Return which alerts are worth a notification: they fire, are recent, not silenced, and for the channel.
 *
 * @param {Alert[]} changed @param {"browser" | "jupyter"} channel @param {number} now ms since 1970
 */
export function worthNotifying(changed, channel, now) {
  return changed.filter((alert) => sectionOf(alert) === "firing" && !alert.silenced
    && now - alert.firedAt < RECENT_MS && (alert.channels.length === 0 || alert.channels.includes(channel)));
}

const ORDER = { firing: 0, acknowledged: 1, past: 2 };

/**
 * Order of the alerts of a section: the most severe first, then the latest; past ones by their end.
 *
 * @param {Alert} a @param {Alert} b
 */
export function compareAlerts(a, b) {
  if (a.state === "resolved" && b.state === "resolved") {
    return (b.resolvedAt ?? b.firedAt) - (a.resolvedAt ?? a.firedAt) || (a.id < b.id ? -1 : 1);
  }
  return SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity)
    || b.firedAt - a.firedAt || (a.id < b.id ? -1 : 1);
}

/** Create an empty list. */
export function createAlertList() {
  /** @type {Map<string, Alert>} */
  let alerts = new Map();
  /** @type {number | null} */
  let mutedUntil = null;
  let rulesError = "";
  let known = false;
  /** @type {Set<(changed: Alert[]) => void>} */
  const listeners = new Set();

  /** @param {Alert[]} changed */
  const notify = (changed) => { for (const listener of [...listeners]) listener(changed); };

  /** Add or replace an alert; an older state never replaces a later one. @param {Alert | null} alert */
  const put = (alert) => {
    if (alert === null) return false;
    const before = alerts.get(alert.id);
    if (before !== undefined && ORDER[sectionOf(alert)] < ORDER[sectionOf(before)]) return false;
    alerts.set(alert.id, alert);
    return before === undefined || JSON.stringify(before) !== JSON.stringify(alert);
  };
  const trim = () => {
    if (alerts.size <= ALERTS_MAX) return;
    const kept = [...alerts.values()].sort((a, b) => ORDER[sectionOf(a)] - ORDER[sectionOf(b)] || compareAlerts(a, b));
    alerts = new Map(kept.slice(0, ALERTS_MAX).map((alert) => [alert.id, alert]));
  };
  /** @param {unknown} values */
  const putAll = (values) => {
    const read = (Array.isArray(values) ? values : []).map(readAlert).filter((alert) => alert !== null);
    const changed = read.filter(put);
    trim();
    return { read, changed };
  };
  /** Read what holds for all alerts. @param {Record<string, any>} message @returns {boolean} whether it changed */
  const readFacts = (message) => {
    const before = [mutedUntil, rulesError].join();
    if ("muted_until" in message) mutedUntil = readTime(message.muted_until);
    if ("rules_error" in message) rulesError = readText(message.rules_error);
    return before !== [mutedUntil, rulesError].join();
  };

  return {
    /** Whether the server has sent its alerts. */
    get known() { return known; },
    /** Until when no messages are sent, ms since 1970; null if they are. */
    get mutedUntil() { return mutedUntil; },
    /** What is wrong with the file of rules; "" for nothing. */
    get rulesError() { return rulesError; },
    /** @param {string} id */
    get: (id) => alerts.get(id),

    /** Alerts of a section in order. @param {Section} section */
    section: (section) => [...alerts.values()].filter((alert) => sectionOf(alert) === section).sort(compareAlerts),

    /** Number of alerts that fire and are not acknowledged. */
    get count() {
      let n = 0;
      for (const alert of alerts.values()) if (sectionOf(alert) === "firing") n += 1;
      return n;
    },

    /** Handle a message of the server; others than those about alerts are ignored. @param {unknown} message */
    receive(message) {
      if (!isRecord(message)) return;
      if (message.type === "alert") {
        const alert = readAlert(message.alert);
        if (put(alert) && alert !== null) {
          trim();
          notify([alert]);
        }
      } else if (message.type === "alert_state") {
        const { read, changed } = putAll(message.alerts);
        const current = new Set(read.map(({ id }) => id));
        // The others ended while the page was not connected.
        const ended = [...alerts.values()].filter(({ id, state }) => state === "firing" && !current.has(id));
        for (const { id } of ended) alerts.delete(id);
        const isFirst = !known;
        known = true;
        if (readFacts(message) || isFirst || ended.length > 0 || changed.length > 0) notify(changed);
      }
    },

    /** Add alerts of `GET /api/alerts`. @param {unknown} body */
    load(body) {
      if (!isRecord(body)) return;
      const { changed } = putAll(body.alerts);
      if (readFacts(body) || changed.length > 0) notify(changed);
    },

    /** @param {number | null} until ms since 1970 */
    setMuted(until) {
      if (until === mutedUntil) return;
      mutedUntil = until;
      notify([]);
    },

    /**
     * Call `listener` with the changed alerts after each change.
     *
     * @param {(changed: Alert[]) => void} listener
     * @returns {() => void} unsubscribes
     */
    subscribe(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },
  };
}
