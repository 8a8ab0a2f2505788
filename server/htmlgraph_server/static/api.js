// @ts-check
/** What the page asks the server over HTTP: stored events, activity, and why it is refused. */

const PATIENCE_MS = 15_000;

/**
 * Ask the server.
 *
 * @param {string} base the page's own URL
 * @param {string} path with its query
 * @returns {Promise<any>} the JSON
 * @throws {Error} what went wrong, in words
 */
async function ask(base, path) {
  const page = new URL(base);
  const token = page.searchParams.get("token");
  /** @type {Record<string, string>} */
  const headers = {};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  // JupyterHub takes no cookie without it, not even for reading.
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(globalThis.document?.cookie ?? "");
  if (xsrf !== null) headers["X-XSRFToken"] = decodeURIComponent(xsrf[1]);
  let answer;
  try {
    answer = await fetch(new URL(path, page), { headers, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new Error("the server does not answer");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error?.message ?? `the server answers HTTP ${answer.status}`);
  if (body === null) throw new Error("the server's answer is not JSON");
  return body;
}

/**
 * Return an agent's stored events.
 *
 * @param {string} base the page's own URL
 * @param {string} agentId
 * @param {{limit: number}} options
 * @returns {Promise<Record<string, any>[]>} newest first
 */
export async function loadHistory(base, agentId, { limit }) {
  const query = new URLSearchParams({ agent: agentId, limit: String(limit), order: "desc" });
  const { events } = await ask(base, `api/history?${query}`);
  if (!Array.isArray(events)) throw new Error("the server's answer holds no events");
  return events;
}

/**
 * Return every agent's activity of the last minutes.
 *
 * @param {string} base the page's own URL
 */
export const loadActivity = (base) => ask(base, "api/activity");

/**
 * Return why the server does not let us in; "" where it does.
 *
 * @param {string} base the page's own URL
 */
export async function askWhy(base) {
  try {
    await ask(base, "api/status");
    return "";
  } catch (error) {
    const words = /** @type {Error} */ (error).message;
    return words === "the server does not answer" ? words : `refused by the server: ${words}`;
  }
}
