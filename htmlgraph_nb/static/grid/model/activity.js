// @ts-check
/**
 * How much each agent did in each of the last 15 minutes.
 *
 * Counts are kept by minute of the clock, so that they come from the server's history as well as
 * from the changes that are seen here.
 */

import { isRecord, readTime } from "./agent.js";

/** @typedef {import("./agent.js").Agent} Agent */

export const ACTIVITY_MINUTES = 15;
const MINUTE_LENGTH_MS = 60_000;
/** Most changes that are remembered for an answer of the server which does not know them yet. */
const MAX_SEEN = 10_000;

/**
 * @typedef {object} Buckets Counts of the last 15 minutes, the oldest first.
 * @property {number[]} events
 * @property {number[]} errors
 *
 * @typedef {object} Seen A change that was counted here.
 * @property {number | null} seq its number; null: not known
 * @property {string} id
 * @property {number} at ms since 1970
 * @property {number} events
 * @property {number} errors
 *
 * @typedef {object} Track
 * @property {number} minute the minute of the last place
 * @property {number[]} events
 * @property {number[]} errors
 */

/** @param {number} time ms since 1970 */
const minuteOf = (time) => Math.floor(time / MINUTE_LENGTH_MS);
const emptyCounts = () => Array.from({ length: ACTIVITY_MINUTES }, () => 0);

/** Move a track so that its last place is `minute`. @param {Track} track @param {number} minute */
function shiftTrack(track, minute) {
  const steps = Math.min(minute - track.minute, ACTIVITY_MINUTES);
  if (steps <= 0) return;
  for (const counts of [track.events, track.errors]) {
    counts.splice(0, steps);
    for (let i = 0; i < steps; i += 1) counts.push(0);
  }
  track.minute = minute;
}

/** @param {unknown} value @returns {number[]} */
function readCounts(value) {
  const counts = emptyCounts();
  if (!Array.isArray(value)) return counts;
  const last = value.slice(-ACTIVITY_MINUTES);
  const offset = ACTIVITY_MINUTES - last.length;
  for (const [i, n] of last.entries()) {
    if (typeof n === "number" && n > 0 && isFinite(n)) counts[offset + i] = n;
  }
  return counts;
}

/** @param {unknown} cursor EPOCH:SEQ @returns {number | null} */
function readCursorSeq(cursor) {
  const found = typeof cursor === "string" ? /^[^:]*:(\d{1,16})$/.exec(cursor) : null;
  return found === null ? null : Number(found[1]);
}

/** Create the record of all agents' activity. */
export function createActivity() {
  /** @type {Map<string, Track>} */
  const tracks = new Map();
  /** The newest change in the counts of the server. */
  let toldSeq = 0;
  /** The changes after it. @type {Seen[]} */
  let seen = [];

  /** @param {Seen} one */
  const see = (one) => {
    // Otherwise the server counted it before it was seen here.
    if (one.seq !== null && one.seq <= toldSeq) return;
    seen.push(one);
    if (seen.length > 2 * MAX_SEEN) seen = seen.slice(-MAX_SEEN);
    const minute = minuteOf(one.at);
    let track = tracks.get(one.id);
    if (track === undefined) {
      track = { minute, events: emptyCounts(), errors: emptyCounts() };
      tracks.set(one.id, track);
    }
    shiftTrack(track, minute);
    const place = ACTIVITY_MINUTES - 1 - Math.max(0, track.minute - minute);
    if (place < 0) return;
    track.events[place] += one.events;
    track.errors[place] += one.errors;
  };

  return {
    /**
     * Count a change of an agent that was seen now.
     *
     * @param {Agent | undefined} before @param {Agent} agent
     * @param {number} now the server's clock, ms since 1970
     */
    note(before, agent, now) {
      // A change can stand for several events, of which the count of tools tells a part.
      const tools = before === undefined ? 0 : agent.tools - before.tools;
      const errors = before === undefined ? 0 : agent.errors - before.errors;
      const events = 1 + Math.max(0, tools - 1);
      see({ seq: agent.seq, id: agent.id, at: now, events, errors: Math.max(0, errors) });
    },

    /**
     * Replace all counts by the server's; what was seen after its cursor stays.
     *
     * @param {unknown} value `{at, cursor, minutes, agents}`; without a cursor it is the newest
     */
    replace(value) {
      if (!isRecord(value) || !isRecord(value.agents)) return;
      const at = readTime(value.at);
      if (at === null) return;
      const seq = readCursorSeq(value.cursor);
      const later = seq === null ? [] : seen.filter((one) => one.seq !== null && one.seq > seq);
      tracks.clear();
      for (const [id, counts] of Object.entries(value.agents)) {
        if (!isRecord(counts)) continue;
        const events = readCounts(counts.events);
        tracks.set(id, { minute: minuteOf(at), events, errors: readCounts(counts.errors) });
      }
      toldSeq = seq ?? 0;
      seen = [];
      for (const one of later) see(one);
    },

    /** @param {string} id */
    forget(id) {
      tracks.delete(id);
      seen = seen.filter((one) => one.id !== id);
    },

    /**
     * Return the counts of the 15 minutes up to `now`, as new arrays.
     *
     * @param {string} id @param {number} now ms since 1970 @returns {Buckets}
     */
    counts(id, now) {
      const track = tracks.get(id);
      if (track === undefined) return { events: emptyCounts(), errors: emptyCounts() };
      const copy = { ...track, events: [...track.events], errors: [...track.errors] };
      shiftTrack(copy, minuteOf(now));
      return { events: copy.events, errors: copy.errors };
    },
  };
}
