// @ts-check
/** Ranges of time to choose from, in the time zone of the browser. Pure functions. */

const DAY_MS = 86_400_000;

export const RANGES = /** @type {const} */ ({
  today: "Today", "7d": "7 days", "30d": "30 days", month: "This month", "12m": "12 months", all: "All time", custom: "Dates",
});

/** @typedef {keyof typeof RANGES} RangeName */
/** @typedef {{range: RangeName, from: string, to: string}} Range `from` and `to`: first and last day of "custom" */

/** Return the name of the browser's time zone, as Europe/Paris. */
export const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Return the midnight of a local day. @param {Date} day @param {number} [days] added @param {number} [months] added */
function midnight(day, days = 0, months = 0) {
  return new Date(day.getFullYear(), day.getMonth() + months, day.getDate() + days);
}

/** Return a day as YYYY-MM-DD. @param {Date} day */
export function formatDay(day) {
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`;
}

/** Return a local day, YYYY-MM-DD, as its midnight; null if it is none. @param {string} text */
export function parseDay(text) {
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  if (parts === null) return null;
  const day = new Date(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]));
  return formatDay(day) === text && day.getFullYear() >= 2000 && day.getFullYear() < 2199 ? day : null;
}

/**
 * Return the bounds of a range, and a length of periods that divides it into a readable number.
 *
 * @param {Range} range
 * @param {Date} now
 * @returns {{since: Date | null, until: Date | null, freq: "h" | "D" | "W-MON" | "MS"}} `until` is excluded
 */
export function boundsOf({ range, from, to }, now) {
  const monthStart = new Date(now.getFullYear(), now.getMonth(), 1);
  switch (range) {
    case "today": return { since: midnight(now), until: null, freq: "h" };
    case "7d": return { since: midnight(now, -6), until: null, freq: "D" };
    case "30d": return { since: midnight(now, -29), until: null, freq: "D" };
    case "month": return { since: monthStart, until: null, freq: "D" };
    case "12m": return { since: midnight(monthStart, 0, -11), until: null, freq: "MS" };
    case "all": return { since: null, until: null, freq: "MS" };
    default: return customBounds(parseDay(from), parseDay(to), now);
  }
}

/** @param {Date | null} first @param {Date | null} last @param {Date} now @returns {ReturnType<typeof boundsOf>} */
function customBounds(first, last, now) {
  const until = last === null ? null : midnight(last, 1);
  const days = first === null ? Infinity : ((until ?? now).getTime() - first.getTime()) / DAY_MS;
  return { since: first, until, freq: days <= 2.1 ? "h" : days <= 92 ? "D" : days <= 730 ? "W-MON" : "MS" };
}

/**
 * Return the parameters of a range in a request for a report.
 *
 * @param {Range} range @param {Date} now
 */
export function rangeParameters(range, now) {
  const { since, until } = boundsOf(range, now);
  const parameters = new URLSearchParams({ tz: localZone() });
  if (since !== null) parameters.set("since", since.toISOString());
  if (until !== null) parameters.set("until", until.toISOString());
  return parameters;
}

const PERIOD_FORMATS = {
  h: new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" }),
  D: new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" }),
  "W-MON": new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" }),
  MS: new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", timeZone: "UTC" }),
};

export const PERIOD_NAMES = { h: "Hour", D: "Day", "W-MON": "Week of", MS: "Month" };

/**
 * Return the label of a period.
 *
 * @param {string} start RFC 3339 with the offset of the zone: the local time is that of the text
 * @param {keyof typeof PERIOD_FORMATS} freq
 */
export function formatPeriod(start, freq) {
  // Read as UTC, so that the clock of the text is not converted.
  return PERIOD_FORMATS[freq].format(new Date(`${start.slice(0, 19)}Z`));
}
