// @ts-check
/** HTTP requests of the page: stored events, activity, viewed agents, and the reason of a refusal. */

const TIMEOUT_MS = 15_000;

/**
 * Send a request.
 *
 * @param {string} base the page's own URL
 * @param {string} path with its query
 * @param {"GET" | "POST"} [method]
 * @returns {Promise<any>} the decoded JSON body
 * @throws {Error} the reason of the failure, as text for the user
 */
async function getJson(base, path, method = "GET") {
  const page = new URL(base);
  const token = page.searchParams.get("token");
  /** @type {Record<string, string>} */
  const headers = {};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  // JupyterHub ignores the cookie without this header, even for GET.
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(globalThis.document?.cookie ?? "");
  if (xsrf !== null) headers["X-XSRFToken"] = decodeURIComponent(xsrf[1]);
  let response;
  try {
    response = await fetch(new URL(path, page), { method, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Error("no response from the server");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Error(body?.error?.message ?? `the server responded with HTTP ${response.status}`);
  if (body === null) throw new Error("the server's response is not JSON");
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
  const { events } = await getJson(base, `api/history?${query}`);
  if (!Array.isArray(events)) throw new Error("the server's response has no events");
  return events;
}

/**
 * Report that a person looked at an agent.
 *
 * @param {string} base the page's own URL
 * @param {string} agentId
 */
export async function markViewed(base, agentId) {
  try {
    await getJson(base, `api/presence/${encodeURIComponent(agentId)}/viewed`, "POST");
  } catch (error) {
    // It is only a mark: the agent stays marked as new.
    console.debug("htmlgraph-nb: cannot report that an agent was looked at:", error);
  }
}

/**
 * Return every agent's activity of the last minutes.
 *
 * @param {string} base the page's own URL
 */
export const loadActivity = (base) => getJson(base, "api/activity");

/**
 * Return why the server refuses the connection; "" if it does not.
 *
 * @param {string} base the page's own URL
 */
export async function refusalReason(base) {
  try {
    await getJson(base, "api/status");
    return "";
  } catch (error) {
    const message = /** @type {Error} */ (error).message;
    return message === "no response from the server" ? message : `refused by the server: ${message}`;
  }
}
