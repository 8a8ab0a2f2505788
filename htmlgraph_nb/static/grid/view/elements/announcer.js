// @ts-check
/** What a screen reader is told: one quiet line, changed seldom and only when its words change. */

import { setText } from "./dom.js";

const ANNOUNCE_EVERY_MS = 5_000;

/**
 * Return the words: the connection and who waits.
 *
 * @param {number} waiting number of agents that wait for a person
 * @param {string} connection in words
 */
export function announcementOf(waiting, connection) {
  if (waiting === 0) return `${connection}.`;
  return `${connection}. ${waiting} agent${waiting === 1 ? " waits" : "s wait"} for you.`;
}

/**
 * @param {HTMLElement} line with role=status
 * @param {() => number} now ms
 */
export function createAnnouncer(line, now) {
  let announcedAt = -Infinity;
  return {
    /** @param {string} words */
    say(words) {
      if (line.textContent === words || now() - announcedAt < ANNOUNCE_EVERY_MS) return;
      announcedAt = now();
      setText(line, words);
    },
  };
}
