// @ts-check
/** Announcements for screen readers: a status line, updated rarely and only when it differs. */

import { setText } from "./dom.js";

const ANNOUNCE_EVERY_MS = 5_000;

/**
 * Return the announcement: connection, and number of agents that need a person.
 *
 * @param {{waiting: number, cannot_work: number}} counts
 * @param {string} connection as text
 */
export function announcementOf({ waiting, cannot_work: stopped }, connection) {
  const parts = [`${connection}.`];
  if (waiting > 0) parts.push(`${waiting} agent${waiting === 1 ? " waits" : "s wait"} for you.`);
  if (stopped > 0) parts.push(`${stopped} agent${stopped === 1 ? "" : "s"} cannot work.`);
  return parts.join(" ");
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
