// @ts-check
/** Announcements for screen readers: a status line, updated rarely and only when it differs. */

import { setText } from "./dom.js";

const ANNOUNCE_EVERY_MS = 5_000;

/**
 * Return the announcement: connection and number of waiting agents.
 *
 * @param {number} waiting number of agents that wait for a person
 * @param {string} connection as text
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
    /** @param {string} text */
    announce(text) {
      if (line.textContent === text || now() - announcedAt < ANNOUNCE_EVERY_MS) return;
      announcedAt = now();
      setText(line, text);
    },
  };
}
