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

/**
 * @typedef {object} Buckets Counts of the last 15 minutes, the oldest first.
 * @property {number[]} events
 * @property {number[]} errors
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

/** Create the record of all agents' activity. */
export function createActivity() {
  /** @type {Map<string, Track>} */
  const tracks = new Map();
  return {
    /**
     * Count a change of an agent that was seen now.
     *
     * @param {Agent | undefined} before @param {Agent} agent
     * @param {number} now the server's clock, ms since 1970
     */
    note(before, agent, now) {
      const minute = minuteOf(now);
      let track = tracks.get(agent.id);
      if (track === undefined) {
        track = { minute, events: emptyCounts(), errors: emptyCounts() };
        tracks.set(agent.id, track);
      }
      shiftTrack(track, minute);
      // A change can stand for several events, of which the count of tools tells a part.
      const tools = before === undefined ? 0 : agent.tools - before.tools;
      const errors = before === undefined ? 0 : agent.errors - before.errors;
      const place = ACTIVITY_MINUTES - 1 - Math.max(0, track.minute - minute);
      if (place < 0) return;
      track.events[place] += 1 + Math.max(0, tools - 1);
      track.errors[place] += Math.max(0, errors);
    },

    /** Replace all counts by the server's. @param {unknown} value `{at, minutes, agents}` */
    replace(value) {
      if (!isRecord(value) || !isRecord(value.agents)) return;
      const at = readTime(value.at);
      if (at === null) return;
      tracks.clear();
      for (const [id, counts] of Object.entries(value.agents)) {
        if (!isRecord(counts)) continue;
        const events = readCounts(counts.events);
        tracks.set(id, { minute: minuteOf(at), events, errors: readCounts(counts.errors) });
      }
    },

    /** @param {string} id */
    forget(id) {
      tracks.delete(id);
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
