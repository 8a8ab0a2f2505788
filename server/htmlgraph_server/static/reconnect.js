// @ts-check
/** Where to connect and when to try again: pure rules, so that they can be tested alone. */

/** The first pause after a close, ms. */
export const FIRST_PAUSE_MS = 3_000;
/** The longest pause, ms, before jitter is taken off. */
export const LONGEST_PAUSE_MS = 30_000;
/** The shortest pause after the server refused us by a rule of its own, ms. */
export const REFUSED_PAUSE_MS = 30_000;

/** A limit, a token or an Origin of the server (RFC 6455: policy violation). */
export const CLOSE_POLICY = 1008;
/** A query parameter is wrong: the same URL will be refused again. */
export const CLOSE_BAD_PARAMETERS = 4400;

/**
 * Return the pause before the next attempt to connect.
 *
 * The first is 3 s, so that a server that restarts is found soon. Later ones double up to 30 s and
 * are shortened by up to half at random, so that many pages do not come back in one moment.
 *
 * @param {object} close
 * @param {number} close.code close code of the connection; 1006 where none was given
 * @param {number} close.failures attempts since a connection last delivered the state; 0 after one that did
 * @param {boolean} close.resumed whether the URL carried a cursor, which a next one can do without
 * @param {number} [close.random] at least 0, less than 1
 * @returns {number | null} ms; null where trying again makes no sense
 */
export function reconnectPause({ code, failures, resumed, random = Math.random() }) {
  if (code === CLOSE_BAD_PARAMETERS && !resumed) return null;
  if (code === CLOSE_POLICY) return Math.round(REFUSED_PAUSE_MS * (1 + random / 2));
  if (failures === 0) return FIRST_PAUSE_MS;
  const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10));
  return Math.round(pause * (1 - random / 2));
}

/**
 * Return the URL of the broadcasts beside this page, whatever prefix it is served under.
 *
 * @param {string} base the page's own URL; its `token` and `session` go with it
 * @param {string | null} cursor where to resume
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
