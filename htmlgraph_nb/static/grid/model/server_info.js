// @ts-check
/**
 * What the server reports about itself: quotas of accounts, and the import of session files.
 *
 * Invalid values are ignored.
 */

import { isRecord, readCount, readNumber, readText, readTime } from "./agent.js";

/**
 * @typedef {object} Quota One window of an account's quota. Times are ms since 1970.
 * @property {string} account
 * @property {string} kind kind of agent
 * @property {string} plan
 * @property {string} window such as "5h" or "weekly"
 * @property {number} used percent
 * @property {number | null} resetsAt
 * @property {number | null} reportedAt
 * @property {boolean} official as reported by the provider; otherwise an estimate
 * @property {number | null} fullAt when it is used up at the present pace; null if not before its reset
 *
 * @typedef {object} Backfill The import of the session files that existed before the server.
 * @property {"running" | "done" | "off"} state
 * @property {number} files
 * @property {number} filesDone
 * @property {number} share of the bytes that are imported, 0 to 1
 * @property {[string, number][]} sessions number of sessions by kind of agent, the most first
 * @property {number | null} cost USD of the last 7 days; null if unknown
 * @property {number} unpriced tokens of the last 7 days whose price is unknown
 *
 * @typedef {object} ServerInfo
 * @property {Quota[]} quotas
 * @property {Backfill | null} backfill
 */

const STATES = ["running", "done", "off"];
const QUOTAS_MAX = 16;

/** @param {unknown} value @returns {Quota | null} */
function readQuota(value) {
  if (!isRecord(value)) return null;
  const window = readText(value.window);
  const used = readNumber(value.used_percent);
  if (window === "" || used === null) return null;
  return {
    account: readText(value.account),
    kind: readText(value.agent_kind) || readText(value.account),
    plan: readText(value.plan),
    window,
    used: Math.max(0, used),
    resetsAt: readTime(value.resets_at),
    reportedAt: readTime(value.reported_at),
    official: value.official === true,
    fullAt: isRecord(value.forecast) ? readTime(value.forecast.full_at) : null,
  };
}

/** @param {unknown} value @returns {Backfill | null} */
function readBackfill(value) {
  if (!isRecord(value) || !STATES.includes(value.state)) return null;
  const sessions = Object.entries(isRecord(value.sessions) ? value.sessions : {})
    .map(([kind, n]) => /** @type {[string, number]} */ ([kind, readCount(n)]))
    .filter(([, n]) => n > 0)
    .sort((a, b) => b[1] - a[1]);
  const bytes = readCount(value.bytes);
  const files = readCount(value.files);
  const filesDone = readCount(value.files_done);
  const share = bytes > 0 ? readCount(value.bytes_done) / bytes : files > 0 ? filesDone / files : 0;
  return {
    state: value.state, files, filesDone, share: Math.min(1, share), sessions,
    cost: readNumber(value.cost_7d_usd),
    unpriced: readCount(value.unpriced_7d_tokens),
  };
}

/**
 * Return the server's report about itself, or null if invalid.
 *
 * @param {unknown} message of type server_info
 * @returns {ServerInfo | null}
 */
export function readServerInfo(message) {
  if (!isRecord(message)) return null;
  const quotas = Array.isArray(message.quotas) ? message.quotas.slice(0, QUOTAS_MAX) : [];
  return {
    quotas: quotas.map(readQuota).filter((quota) => quota !== null),
    backfill: readBackfill(message.backfill),
  };
}
