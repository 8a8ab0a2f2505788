// @ts-check
/**
 * Events and errors of each agent per minute, for the last 15 minutes.
 *
 * Counts are kept per clock minute, so that counts from the server's history and changes received
 * here can be combined.
 */

import { isRecord, readTime } from "./agent.js";

/** @typedef {import("./agent.js").Agent} Agent */

export const ACTIVITY_MINUTES = 15;
const MINUTE_LENGTH_MS = 60_000;
/** Maximum number of changes kept until the server's counts include them. */
const MAX_RECENT = 10_000;

/**
 * @typedef {object} Buckets Counts of the last 15 minutes, the oldest first.
 * @property {number[]} events
 * @property {number[]} errors
 *
 * @typedef {object} CountedChange A change received and counted here.
 * @property {number | null} seq sequence number; null if unknown
 * @property {string} id
 * @property {number} at ms since 1970
 * @property {number} events
 * @property {number} errors
 *
 * @typedef {object} Track
 * @property {number} minute clock minute of the last array element
 * @property {number[]} events
 * @property {number[]} errors
 */

/** @param {number} time ms since 1970 */
const minuteOf = (time) => Math.floor(time / MINUTE_LENGTH_MS);
const emptyCounts = () => Array.from({ length: ACTIVITY_MINUTES }, () => 0);

/** Shift a track so that its last element is `minute`. @param {Track} track @param {number} minute */
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
  const match = typeof cursor === "string" ? /^[^:]*:(\d{1,16})$/.exec(cursor) : null;
  return match === null ? null : Number(match[1]);
}

/** Create the activity counts of all agents. */
export function createActivity() {
  /** @type {Map<string, Track>} */
  const tracks = new Map();
  /** Sequence number of the newest change included in the server's counts. */
  let serverSeq = 0;
  /** Changes after `serverSeq`. @type {CountedChange[]} */
  let recent = [];

  /** @param {CountedChange} change */
  const count = (change) => {
    // Otherwise the server's counts include it already.
    if (change.seq !== null && change.seq <= serverSeq) return;
    recent.push(change);
    if (recent.length > 2 * MAX_RECENT) recent = recent.slice(-MAX_RECENT);
    const minute = minuteOf(change.at);
    let track = tracks.get(change.id);
    if (track === undefined) {
      track = { minute, events: emptyCounts(), errors: emptyCounts() };
      tracks.set(change.id, track);
    }
    shiftTrack(track, minute);
    const index = ACTIVITY_MINUTES - 1 - Math.max(0, track.minute - minute);
    if (index < 0) return;
    track.events[index] += change.events;
    track.errors[index] += change.errors;
  };

  return {
    /**
     * Count a change of an agent received now.
     *
     * @param {Agent | undefined} before @param {Agent} agent
     * @param {number} now the server's clock, ms since 1970
     */
    note(before, agent, now) {
      // A change can combine several events; the tool count shows at least how many.
      const tools = before === undefined ? 0 : agent.tools - before.tools;
      const errors = before === undefined ? 0 : agent.errors - before.errors;
      const events = 1 + Math.max(0, tools - 1);
      count({ seq: agent.seq, id: agent.id, at: now, events, errors: Math.max(0, errors) });
    },

    /**
     * Replace all counts by the server's, and add the changes received after its cursor.
     *
     * @param {unknown} value `{at, cursor, minutes, agents}`; without a cursor all changes are included
     */
    replace(value) {
      if (!isRecord(value) || !isRecord(value.agents)) return;
      const at = readTime(value.at);
      if (at === null) return;
      const seq = readCursorSeq(value.cursor);
      const later = seq === null ? [] : recent.filter((change) => change.seq !== null && change.seq > seq);
      tracks.clear();
      for (const [id, counts] of Object.entries(value.agents)) {
        if (!isRecord(counts)) continue;
        const events = readCounts(counts.events);
        tracks.set(id, { minute: minuteOf(at), events, errors: readCounts(counts.errors) });
      }
      serverSeq = seq ?? 0;
      recent = [];
      for (const change of later) count(change);
    },

    /** @param {string} id */
    forget(id) {
      tracks.delete(id);
      recent = recent.filter((change) => change.id !== id);
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
