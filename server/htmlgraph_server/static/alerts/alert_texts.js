// @ts-check
/** Texts about alerts. Pure functions. */

import { formatAge, formatMoment, formatSpan, kindLabel } from "../agent_grid.js";

/** @typedef {import("./alert_list.js").Alert} Alert */

/** @typedef {"unsupported" | "insecure" | "default" | "dismissed" | "granted" | "off" | "denied"} NotificationState */

const SEVERITY_NAMES = { critical: "Critical", warning: "Warning", info: "Info" };
const BADGE_MAX = 99;
const MORNING = 8;

/** Return the number of a badge; "" for none. @param {number} n */
export const badgeText = (n) => (n <= 0 ? "" : n > BADGE_MAX ? `${BADGE_MAX}+` : String(n));

/** Return a number of alerts in words. @param {number} n */
export const countAlerts = (n) => (n === 0 ? "No alerts" : n === 1 ? "1 alert" : `${n} alerts`);

/** Return what an alert is about: kind of agent, project, branch, host. @param {Alert} alert */
export function describePlace({ agentKind, project, branch, host }) {
  return [kindLabel(agentKind), project, branch, host].filter(Boolean).join(" · ");
}

/**
 * Return the severity of an alert, and when it fired, ended and was acknowledged.
 *
 * @param {Alert} alert @param {number} now ms since 1970
 */
export function describeTimes({ severity, state, firedAt, resolvedAt, acknowledgedAt, acknowledgedBy, silenced }, now) {
  const parts = [SEVERITY_NAMES[severity]];
  if (state === "resolved") {
    const lasted = resolvedAt === null ? "" : ` after ${formatSpan(resolvedAt - firedAt)}`;
    parts.push(`ended ${formatAge(resolvedAt ?? firedAt, now)}${lasted}`);
  } else {
    parts.push(formatAge(firedAt, now));
  }
  if (acknowledgedAt !== null) parts.push(acknowledgedBy ? `acknowledged by ${acknowledgedBy}` : "acknowledged");
  if (silenced) parts.push("not sent: muted or quiet hours");
  return parts.join(" · ");
}

/** Return until when alerts are muted; "" if they are not. @param {number | null} until @param {number} now ms since 1970 */
export function describeMute(until, now) {
  return until === null || until <= now ? "" : `Muted until ${formatMoment(until, now)}`;
}

/** Return the seconds until tomorrow morning, 8:00 local time. @param {number} now ms since 1970 */
export function secondsUntilTomorrow(now) {
  const morning = new Date(now);
  morning.setDate(morning.getDate() + 1);
  morning.setHours(MORNING, 0, 0, 0);
  return Math.ceil((morning.getTime() - now) / 1_000);
}

/**
 * Return what the panel says about the notifications of the browser, and the label of its button.
 *
 * @param {NotificationState} state
 * @returns {{text: string, action: string}} `action`: "" if the page can do nothing
 */
export function describeNotifications(state) {
  switch (state) {
    case "unsupported": return { text: "This browser has no notifications.", action: "" };
    case "insecure": return { text: "Browser notifications need HTTPS, or this page at localhost.", action: "" };
    case "denied": return { text: "The browser blocks notifications of this page. Allow them in its site settings, then reload.", action: "" };
    case "granted": return { text: "This browser notifies you, also while the page is in the background.", action: "Turn off" };
    case "off": return { text: "Browser notifications are turned off here.", action: "Turn on" };
    case "dismissed": return { text: "The question was closed without an answer.", action: "Ask again" };
    default: return { text: "Get a notification while the page is in the background.", action: "Turn on" };
  }
}

/**
 * Return the announcement for screen readers after a change.
 *
 * @param {number} firing @param {Alert[]} changed
 */
export function announceAlerts(firing, changed) {
  const latest = changed.filter(({ state, acknowledgedAt }) => state === "firing" && acknowledgedAt === null);
  if (latest.length === 1) return `Alert: ${latest[0].message}`;
  return firing === 0 ? "No alerts." : `${countAlerts(firing)}.`;
}
