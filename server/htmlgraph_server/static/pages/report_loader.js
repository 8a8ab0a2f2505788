// @ts-check
/** Loads a report, and again after changes of the history, without an answer more often than needed. */

/** @typedef {import("../agent_grid.js").Store} Store */

/** Shortest time between an answer and the next request that no one asked for. */
export const REFRESH_AFTER_MS = 5_000;
/** The same as a multiple of the time that the answer took: at most a quarter of the time is spent on reports. */
export const REFRESH_FACTOR = 3;
const RETRY_AFTER_MS = 20_000;

/**
 * @typedef {object} ReportState
 * @property {"loading" | "ready" | "failed"} status of the last request
 * @property {any} report the last answer; null before the first
 * @property {boolean} current whether the answer is that of the last query
 * @property {string} error
 */

/**
 * Create a loader.
 *
 * @param {object} options
 * @param {Store} options.store its cursor says when the history has changed
 * @param {Window} options.win
 * @param {(query: URLSearchParams, signal: AbortSignal) => Promise<any>} options.load
 * @param {() => void} options.onChange called after each change of the state
 * @param {() => number} [options.now] ms since 1970
 */
export function createLoader({ store, win, load, onChange, now = Date.now }) {
  /** @type {ReportState} */
  let state = { status: "loading", report: null, current: false, error: "" };
  /** @type {URLSearchParams | null} */
  let query = null;
  /** @type {AbortController | null} */
  let running = null;
  let earliest = 0;
  let timer = 0;
  let stopped = false;

  /** @param {Partial<ReportState>} changes */
  const update = (changes) => {
    state = { ...state, ...changes };
    onChange();
  };

  const request = async () => {
    if (query === null || stopped) return;
    running?.abort();
    win.clearTimeout(timer);
    timer = 0;
    const control = new AbortController();
    running = control;
    const started = now();
    update({ status: "loading" });
    try {
      const report = await load(query, control.signal);
      if (running !== control) return;
      running = null;
      earliest = now() + Math.max(REFRESH_AFTER_MS, REFRESH_FACTOR * (now() - started));
      update({ status: "ready", report, current: true, error: "" });
    } catch (error) {
      if (running !== control) return;
      running = null;
      earliest = now() + RETRY_AFTER_MS;
      update({ status: "failed", error: error instanceof Error ? error.message : String(error) });
    }
    refresh();
  };

  /** Load again, when it is time, if the history has changed since the last answer. */
  const refresh = () => {
    if (stopped || running !== null || timer !== 0 || query === null || win.document.hidden) return;
    const isOld = state.status === "failed" || isBehind(state.report?.cursor, store.cursor);
    if (!isOld || store.connection.state !== "connected") return;
    timer = win.setTimeout(() => {
      timer = 0;
      if (!win.document.hidden) request();
    }, Math.max(0, earliest - now()));
  };

  const unsubscribe = store.subscribe(refresh);
  win.document.addEventListener("visibilitychange", refresh);

  return {
    get state() { return state; },

    /** Load the report of a query, unless it is the current one. @param {URLSearchParams} next */
    show(next) {
      if (query !== null && String(query) === String(next)) return;
      query = next;
      state = { ...state, current: false };
      request();
    },

    retry: request,

    stop() {
      stopped = true;
      running?.abort();
      running = null;
      win.clearTimeout(timer);
      unsubscribe();
      win.document.removeEventListener("visibilitychange", refresh);
    },
  };
}

/**
 * Return whether an answer is older than the store.
 *
 * @param {string | undefined} answered cursor, EPOCH:SEQ
 * @param {string | null} known
 */
export function isBehind(answered, known) {
  if (answered === undefined || known === null) return false;
  const [epoch, seq] = answered.split(":");
  const [knownEpoch, knownSeq] = known.split(":");
  return epoch !== knownEpoch || Number(seq) < Number(knownSeq);
}
