// @ts-check
/** HTTP requests of the page: stored events, activity, viewed agents, alerts, and the reason of a refusal. */

const TIMEOUT_MS = 15_000;
/** Longer than the server's own limit. */
const REPORT_TIMEOUT_MS = 150_000;

/**
 * Send a request.
 *
 * @param {string} base the page's own URL
 * @param {string} path with its query
 * @param {{method?: "GET" | "POST", body?: object, timeout?: number, signal?: AbortSignal}} [options] `body`
 *   becomes JSON; `timeout` in ms; `signal` cancels it
 * @returns {Promise<Response>}
 * @throws {Error} the reason of the failure, as text for the user; that of the signal if it was cancelled
 */
async function send(base, path, { method = "GET", body: content, timeout = TIMEOUT_MS, signal } = {}) {
  const page = new URL(base);
  const token = page.searchParams.get("token");
  /** @type {Record<string, string>} */
  const headers = {};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  // JupyterHub ignores the cookie without this header, even for GET.
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(globalThis.document?.cookie ?? "");
  if (xsrf !== null) headers["X-XSRFToken"] = decodeURIComponent(xsrf[1]);
  if (content !== undefined) headers["Content-Type"] = "application/json";
  const ends = [AbortSignal.timeout(timeout), ...(signal === undefined ? [] : [signal])];
  let response;
  try {
    response = await fetch(new URL(path, page), {
      method, headers, body: content === undefined ? undefined : JSON.stringify(content), signal: AbortSignal.any(ends),
    });
  } catch {
    signal?.throwIfAborted();
    throw new Error("no response from the server");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Error(body?.error?.message ?? `the server responded with HTTP ${response.status}`);
}

/**
 * Send a request and return the decoded JSON body; see `send`.
 *
 * @param {string} base
 * @param {string} path
 * @param {Parameters<typeof send>[2]} [options]
 * @returns {Promise<any>}
 */
async function getJson(base, path, options) {
  const response = await send(base, path, options);
  const body = await response.json().catch(() => null);
  options?.signal?.throwIfAborted();
  if (body === null) throw new Error("the server's response is not JSON");
  return body;
}

/**
 * Return a report of the history.
 *
 * @param {string} base the page's own URL
 * @param {"costs" | "sessions"} name
 * @param {URLSearchParams} query
 * @param {AbortSignal} [signal] cancels the request
 * @returns {Promise<any>}
 */
export const loadReport = (base, name, query, signal) =>
  getJson(base, `api/${name}?${query}`, { timeout: REPORT_TIMEOUT_MS, signal });

/**
 * Return a report as CSV; see `loadReport`.
 *
 * @param {string} base
 * @param {"costs" | "sessions"} name
 * @param {URLSearchParams} query
 * @returns {Promise<Blob>}
 */
export async function loadCsv(base, name, query) {
  const response = await send(base, `api/${name}?${query}&format=csv`, { timeout: REPORT_TIMEOUT_MS });
  return response.blob();
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
    await getJson(base, `api/presence/${encodeURIComponent(agentId)}/viewed`, { method: "POST" });
  } catch (error) {
    // It is only a mark: the agent stays marked as new.
    console.debug("htmlgraph-nb: cannot report that an agent was looked at:", error);
  }
}

/**
 * Return alerts.
 *
 * @param {string} base the page's own URL
 * @param {"firing" | "acknowledged" | "past"} state
 * @param {number} limit
 */
export const loadAlerts = (base, state, limit) => getJson(base, `api/alerts?state=${state}&limit=${limit}`);

/**
 * Report that a person takes care of an alert, and return it.
 *
 * @param {string} base the page's own URL
 * @param {string} alertId
 */
export const acknowledgeAlert = (base, alertId) =>
  getJson(base, `api/alerts/${encodeURIComponent(alertId)}/acknowledge`, { method: "POST" });

/**
 * Silence all alerts.
 *
 * @param {string} base the page's own URL
 * @param {number} seconds 0 ends the silence
 */
export const muteAlerts = (base, seconds) => getJson(base, "api/alerts/mute", { method: "POST", body: { seconds } });

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
