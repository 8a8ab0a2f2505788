// @ts-check
/**
 * Formats numbers, times and texts for display.
 */

import { isAsking, readTime } from "../../model/agent.js";

/** @typedef {import("../../model/agent.js").Agent} Agent */
/** @typedef {import("../../model/store.js").Store} Store */

// Creating a formatter takes a hundred times as long as using it, so create each once.
const WHOLE_NUMBERS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const CENTS = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** Return a number with thousands separators. @param {number} n */
export const formatCount = (n) => (n < 1_000 && Number.isInteger(n) ? String(n) : WHOLE_NUMBERS.format(n));

/** Return a large number in three digits and a unit: 950, 1.5k, 152k, 1.52M. @param {number} n */
export function formatTokens(n) {
  if (n < 1_000) return String(Math.round(n));
  for (const [unit, size] of /** @type {[string, number][]} */ ([["k", 1e3], ["M", 1e6], ["B", 1e9]])) {
    const digits = Number((n / size).toPrecision(3));
    if (digits < 1_000) return `${digits}${unit}`;
  }
  return `${Math.round(n / 1e12)}T`;
}

/** Return US dollars; "" if unknown. @param {number | null} usd */
export function formatUsd(usd) {
  if (usd === null) return "";
  if (usd > 0 && usd < 0.005) return "<$0.01";
  if (usd >= 100_000) return `$${formatTokens(usd)}`;
  return `$${(usd < 10_000 ? CENTS : WHOLE_NUMBERS).format(usd)}`;
}

/**
 * Return the cost of several agents, and how many of them it leaves out.
 *
 * @param {{cost: number | null, unpriced: number}} counts
 */
export function formatCosts({ cost, unpriced }) {
  if (cost === null) return unpriced > 0 ? `${formatCount(unpriced)} unpriced` : "";
  return unpriced > 0 ? `${formatUsd(cost)} + ${formatCount(unpriced)} unpriced` : formatUsd(cost);
}

/** Return a duration in its largest unit: 12s, 3m, 5h, 9d. @param {number} ms */
export function formatDuration(ms) {
  const s = Math.max(0, Math.floor(ms / 1_000));
  if (s < 60) return `${s}s`;
  if (s < 3_600) return `${Math.floor(s / 60)}m`;
  if (s < 48 * 3_600) return `${Math.floor(s / 3_600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}

/**
 * Return the age of a time.
 *
 * @param {number | null} at ms since 1970; null if unknown
 * @param {number} now ms since 1970
 */
export function formatAge(at, now) {
  if (at === null || Number.isNaN(at)) return "—";
  return now - at < 2_000 ? "just now" : `${formatDuration(now - at)} ago`;
}

/** Return a duration in its largest unit, as words: 12 s, 4 min, 3 h, 2 d. @param {number} ms */
export function formatSpan(ms) {
  return formatDuration(ms).replace(/\D/, (unit) => ` ${unit === "m" ? "min" : unit}`);
}

const DAY_MS = 86_400_000;
const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const midnight = (/** @type {number} */ at) => new Date(at).setHours(0, 0, 0, 0);

/**
 * Return a time by the clock, or a day that is not near.
 *
 * @param {number} at ms since 1970 @param {number} now ms since 1970
 */
export function formatMoment(at, now) {
  const days = Math.round((midnight(at) - midnight(now)) / DAY_MS);
  const time = timeOfDay.format(at);
  if (days === 0) return time;
  if (days === -1) return "yesterday";
  if (days === 1) return `tomorrow ${time}`;
  return dayOfYear.format(at);
}

/** Return a share as a percentage. @param {number} share */
export const formatShare = (share) => `${Math.round(share * 100)} %`;

const DETAILS = new Map([
  ["working", "works"],
  ["tool", "runs a tool"],
  ["waiting_permission", "permission"],
  ["waiting_input", "an answer"],
  ["background", "works in the background"],
  ["error", "the turn ended with an error"],
  ["done", "the turn is over"],
  ["retrying", "API error"],
  ["rate_limited", "rate limit reached"],
  ["usage_limited", "usage limit reached"],
  ["signed_out", "signed out"],
  ["account_on_hold", "account on hold"],
  ["overloaded", "provider overloaded"],
]);
/** Patterns of reasons and their short forms: the word that matters comes first. @type {[RegExp, string][]} */
const SHORT_REASONS = [
  [/^waits for permission to use (.+)$/, "permission: $1"],
  [/^waits for (.+)$/, "$1"],
  [/^(.+) is running and (\d+) more$/, "runs $1 +$2"],
  [/^(.+) is running$/, "runs $1"],
];
const STATE_TEXT = {
  waiting: "Waits for you", cannot_work: "Cannot work", done: "Done", active: "Active", idle: "Idle",
  offline: "Offline", unknown: "Unknown",
};
/** States as counted in totals, groups and filters. */
export const STATE_NAMES = /** @type {Record<string, string>} */ ({
  waiting: "waiting for you", cannot_work: "cannot work", done: "done, not looked at", active: "active", idle: "idle",
  offline: "offline", unknown: "unknown",
});

/** Return the status in one or two words. @param {Agent} agent */
export function describeState({ state, detail }) {
  if (detail === "error" && (state === "done" || state === "idle")) return "Failed";
  if (isAsking({ state, detail })) return "Asks you";
  return detail === "retrying" && state === "cannot_work" ? "Retrying" : STATE_TEXT[state];
}

/** Whether a timer marked an agent offline; only its last activity is of interest then. @param {Agent} agent */
const isTimedOut = ({ state, reason }) => state === "offline" && reason.startsWith("no activity for too long");

/** Return why an agent has its status, in as few words as possible. @param {Agent} agent */
export function describeAgent(agent) {
  if (agent.state === "idle" && agent.detail === "done") return "resting";
  if (isAsking(agent)) return "its turn ended with a question";
  if (isTimedOut(agent)) return "no activity";
  if (agent.state === "cannot_work") {
    const attempt = /attempt \d+(?: of \d+)?/.exec(agent.reason);
    const text = DETAILS.get(agent.detail) ?? agent.reason;
    return attempt === null ? text : `${text}, ${attempt[0]}`;
  }
  for (const [pattern, short] of SHORT_REASONS) {
    if (pattern.test(agent.reason)) return agent.reason.replace(pattern, short);
  }
  return agent.reason || DETAILS.get(agent.detail) || (agent.attention ? "an answer" : "");
}

/**
 * Return for how long an agent has been in its state; of one at work, when it was last active.
 *
 * @param {Agent} agent @param {number} now ms since 1970
 */
export function describeAge(agent, now) {
  const activity = readTime(agent.activity);
  if (isTimedOut(agent) && activity !== null) return `since ${formatMoment(activity, now)}`;
  const at = readTime(agent.detailSince || agent.since || agent.activity);
  if (at === null) return formatAge(activity, now);
  const span = formatSpan(now - at);
  if (agent.state === "waiting") return `waits ${span}`;
  if (agent.state === "cannot_work") {
    const until = readTime(agent.detailUntil);
    return until !== null && until > now ? `until ${formatMoment(until, now)}` : `for ${span}`;
  }
  if (agent.state === "idle" && now - at >= 60_000) return `since ${formatMoment(at, now)}`;
  if (agent.state === "active" && agent.detail === "tool") return now - at < 2_000 ? "just now" : `for ${span}`;
  const last = now - (agent.state === "active" ? activity ?? at : at);
  return last < 2_000 ? "just now" : `${formatSpan(last)} ago`;
}

const CONNECTION_TEXT = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  closed: "Disconnected",
  ended: "Ended",
};

/**
 * Return the text with control and bidi characters made visible, truncated to `max` characters.
 *
 * @param {string} text @param {number} [max]
 */
export function visibleText(text, max = 400) {
  const cut = text.length > max ? `${text.slice(0, max)}…` : text;
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** Apply visibleText to each line. @param {string} text */
export const visibleLines = (text) => text.split("\n").map((line) => visibleText(line)).join("\n");

/**
 * Return the text that describes the connection.
 *
 * @param {Pick<Store, "connection" | "lastMessageAt" | "live" | "asOf">} store
 * @param {number} now ms since 1970
 * @param {number} [staleAfterMs] ms without a message after which data is stale; 0 for never
 * @returns {{state: string, text: string, detail: string, stale: boolean}}
 */
export function describeConnection(store, now, staleAfterMs = 0) {
  const { state, staleSince, detail, retryAt } = store.connection;
  const isFinal = state === "closed" || state === "ended";
  const silence = now - store.lastMessageAt;
  /** @param {number | null} at */
  const lastUpdate = (at) => (at === null ? "" : `last update ${formatAge(at, now)}`);
  /** @param {string[]} parts */
  const join = (...parts) => parts.filter(Boolean).join(" · ");
  if (staleAfterMs > 0 && !isFinal) {
    const shown = lastUpdate(store.live ? null : store.asOf);
    if (silence > staleAfterMs) {
      const text = `No message from the kernel for ${formatDuration(silence)}`;
      return { state: "silent", text, detail: shown, stale: true };
    }
    if (!store.live) {
      return { state: "connecting", text: "Waiting for the kernel…", detail: shown, stale: true };
    }
  }
  const retry = retryAt === null ? "" : `next try in ${formatDuration(retryAt - now + 999)}`;
  const text = CONNECTION_TEXT[state];
  if (state === "connected") {
    return { state, text, detail: detail.replace(/^connected (?=to )/, ""), stale: false };
  }
  return { state, text, detail: join(detail, retry, lastUpdate(staleSince)), stale: true };
}
