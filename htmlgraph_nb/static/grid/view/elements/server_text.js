// @ts-check
/** Texts about quotas and the import of session files. Pure functions. */

import { kindLabel } from "../../model/names.js";
import { formatCount, formatMoment, formatShare, formatSpan, formatTokens, formatUsd } from "./format.js";

/** @typedef {import("../../model/server_info.js").Backfill} Backfill */
/** @typedef {import("../../model/server_info.js").Quota} Quota */

/** A report older than this shows its age. */
const OLD_MS = 10 * 60_000;
const SHOWN_AFTER_RESET_MS = 24 * 3_600_000;

/**
 * Return which sessions were found, their cost and the progress of the import; "" if nothing was found.
 *
 * @param {Backfill | null} backfill
 */
export function describeBackfill(backfill) {
  if (backfill === null || backfill.state === "off") return "";
  const { sessions, cost, unpriced, files, share, state } = backfill;
  const total = sessions.reduce((sum, [, n]) => sum + n, 0);
  const kinds = sessions.map(([kind, n]) => `${kindLabel(kind)} ${formatCount(n)}`).join(", ");
  const parts = [];
  if (total > 0) parts.push(`${formatCount(total)} session${total === 1 ? "" : "s"}: ${kinds}`);
  if (cost !== null && (cost > 0 || total > 0)) {
    const more = unpriced > 0 ? ` + ${formatTokens(unpriced)} tokens unpriced` : "";
    parts.push(`${formatUsd(cost)}${more} in the last 7 days`);
  }
  if (state === "running") parts.push(`reading ${formatCount(files)} file${files === 1 ? "" : "s"}, ${formatShare(share)}`);
  return parts.join(" · ");
}

/** Return the name of a quota: the account, and the window. @param {Quota} quota */
export function nameQuota({ account, kind, window }) {
  const label = kindLabel(account || kind);
  return `${label || "Quota"} ${window}`;
}

/** Whether a quota was reset since its report, so that its use is unknown. @param {Quota} quota @param {number} now ms since 1970 */
export const isReset = ({ resetsAt }, now) => resetsAt !== null && resetsAt <= now;

/** Whether a quota is shown: until a day after its reset. @param {Quota} quota @param {number} now ms since 1970 */
export const isShown = ({ resetsAt }, now) => resetsAt === null || now - resetsAt < SHOWN_AFTER_RESET_MS;

/**
 * Return what is known of a quota besides its name and use.
 *
 * @param {Quota} quota @param {number} now ms since 1970
 * @returns {{facts: string, warning: string}} `warning`: when it is full, if that is before its reset
 */
export function describeQuota(quota, now) {
  if (isReset(quota, now)) return { facts: "reset since", warning: "" };
  const { resetsAt, reportedAt, official, fullAt } = quota;
  const facts = [];
  if (resetsAt !== null) facts.push(`resets ${formatMoment(resetsAt, now)}`);
  if (reportedAt !== null && now - reportedAt > OLD_MS) facts.push(`${formatSpan(now - reportedAt)} old`);
  if (!official) facts.push("estimated");
  const warning = fullAt !== null && fullAt > now ? `at this pace full at ${formatMoment(fullAt, now)}` : "";
  return { facts: facts.join(" · "), warning };
}

/** Return a quota as a sentence, for its tooltip. @param {Quota} quota @param {number} now ms since 1970 */
export function explainQuota(quota, now) {
  const { facts, warning } = describeQuota(quota, now);
  const plan = quota.plan ? ` (${quota.plan})` : "";
  const age = quota.reportedAt === null ? "" : `reported ${formatSpan(now - quota.reportedAt)} ago`;
  const source = quota.official ? "as reported by the provider" : "";
  const before = isReset(quota, now) ? " before its reset" : "";
  const parts = [`${nameQuota(quota)}${plan}: ${Math.round(quota.used)} % used${before}`, before ? "" : facts, warning, age, source];
  return parts.filter(Boolean).join("; ");
}
