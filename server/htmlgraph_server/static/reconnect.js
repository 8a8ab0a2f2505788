// @ts-check
/** URL and reconnect delay of the WebSocket. Pure functions. */

/** First delay after a close, ms. */
export const FIRST_DELAY_MS = 3_000;
/** Longest delay before jitter, ms. */
export const LONGEST_DELAY_MS = 30_000;
/** Shortest delay after a policy violation, ms. */
export const REFUSED_DELAY_MS = 30_000;

/** Policy violation (RFC 6455): client limit, token or Origin. */
export const CLOSE_POLICY = 1008;
/** Invalid query parameter: the same URL would be refused again. */
export const CLOSE_BAD_PARAMETERS = 4400;

/**
 * Return the delay before the next connection attempt.
 *
 * The first delay is 3 s, so that the page reconnects soon after a restart. Later delays double up to 30 s,
 * minus up to half at random, so that pages do not reconnect all at once.
 *
 * @param {object} close
 * @param {number} close.code close code of the connection; 1006 if none was received
 * @param {number} close.failures failed attempts since a connection last received the state
 * @param {boolean} close.resumed whether the URL had a cursor; the next attempt can omit it
 * @param {number} [close.random] at least 0, less than 1
 * @returns {number | null} ms; null if retrying is pointless
 */
export function reconnectDelay({ code, failures, resumed, random = Math.random() }) {
  if (code === CLOSE_BAD_PARAMETERS && !resumed) return null;
  if (code === CLOSE_POLICY) return Math.round(REFUSED_DELAY_MS * (1 + random / 2));
  if (failures === 0) return FIRST_DELAY_MS;
  const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures, 10));
  return Math.round(delay * (1 - random / 2));
}

/**
 * Return the URL of the broadcast WebSocket, below the prefix of the page.
 *
 * @param {string} base the page's own URL; its `token` and `session` are kept
 * @param {string | null} cursor to resume from
 */
export function broadcastUrl(base, cursor) {
  const page = new URL(base);
  const url = new URL("ws/broadcasts", page);
  url.protocol = page.protocol === "https:" ? "wss:" : "ws:";
  for (const name of ["token", "session"]) {
    const value = page.searchParams.get(name);
    if (value !== null) url.searchParams.set(name, value);
  }
  if (cursor !== null) url.searchParams.set("since", cursor);
  return url.href;
}
