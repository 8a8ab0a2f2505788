// @ts-check
/**
 * Formats numbers, times and texts for display.
 */

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

export const WAITS = "waits for an answer";
const DETAILS = new Map([
  ["working", "works"],
  ["tool", "runs a tool"],
  ["waiting_permission", "waits for permission"],
  ["waiting_input", WAITS],
  ["background", "works in the background"],
  ["error", "ended with an error"],
  ["done", "done"],
]);
export const STATUS_TEXT = { active: "Active", idle: "Idle", offline: "Offline", unknown: "Unknown" };
const CONNECTION_TEXT = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  closed: "Disconnected",
  ended: "Ended",
};

/** Return the description of an agent's status. @param {Agent} agent */
export function describeAgent(agent) {
  return agent.reason || DETAILS.get(agent.detail) || (agent.attention ? WAITS : "");
}

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
