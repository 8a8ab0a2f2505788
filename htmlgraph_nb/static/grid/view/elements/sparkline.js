// @ts-check
/** Sparkline of an agent's activity per minute; errors are drawn at the bottom of each bar. */

import { h, setAttribute, svg } from "./dom.js";
import { formatCount } from "./format.js";

export const SPARK_BUCKETS = 15;
const BAR = 4;
const STEP = 5;
export const SPARK_WIDTH = SPARK_BUCKETS * STEP - (STEP - BAR);
export const SPARK_HEIGHT = 16;
/** Number of events that fills the height, unless a minute has more. */
const FULL_HEIGHT_FROM = 6;

/** @typedef {{events: ArrayLike<number>, errors: ArrayLike<number>}} ActivityCounts oldest first */

/**
 * Return the bars as two SVG paths, one for all events and one for errors.
 *
 * @param {ActivityCounts} counts
 * @returns {{done: string, failed: string, events: number, errors: number}} paths and sums
 */
export function sparklinePaths({ events, errors }) {
  let highest = FULL_HEIGHT_FROM;
  for (let i = 0; i < events.length; i += 1) highest = Math.max(highest, events[i]);
  let done = "";
  let failed = "";
  let nEvents = 0;
  let nErrors = 0;
  for (let i = 0; i < events.length; i += 1) {
    const all = Math.max(events[i], errors[i]);
    nEvents += events[i];
    nErrors += errors[i];
    if (all === 0) continue;
    const x = i * STEP;
    // The square root keeps minutes with few events visible.
    const height = Math.max(2, Math.round(SPARK_HEIGHT * Math.sqrt(all / highest)));
    done += `M${x} ${SPARK_HEIGHT}v-${height}h${BAR}v${height}z`;
    if (errors[i] === 0) continue;
    const part = Math.max(3, Math.round(height * Math.min(1, errors[i] / all)));
    failed += `M${x} ${SPARK_HEIGHT}v-${part}h${BAR}v${part}z`;
  }
  return { done, failed, events: nEvents, errors: nErrors };
}

/** @param {Document} doc @returns {HTMLElement} a place for bars, to be drawn by drawSparkline */
export function createSparkline(doc) {
  return h(doc, "span", { class: "hg-sparkline", "data-field": "sparkline", role: "img" }, [
    svg(doc, "svg", { viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, [
      svg(doc, "path", { class: "hg-spark-ground", d: `M0 ${SPARK_HEIGHT - 0.5}h${SPARK_WIDTH}` }),
      svg(doc, "path", { class: "hg-spark-done" }),
      svg(doc, "path", { class: "hg-spark-failed" }),
    ]),
  ]);
}

/** @param {number} n @param {string} noun */
const countOf = (n, noun) => `${formatCount(n)} ${noun}${n === 1 ? "" : "s"}`;

/** @param {HTMLElement} holder of createSparkline @param {ActivityCounts} counts */
export function drawSparkline(holder, counts) {
  const { done, failed, events, errors } = sparklinePaths(counts);
  const paths = /** @type {Element} */ (holder.firstChild).children;
  setAttribute(paths[1], "d", done);
  setAttribute(paths[2], "d", failed);
  const label = `last ${SPARK_BUCKETS} minutes: ${countOf(events, "event")}, ${countOf(errors, "error")}`;
  setAttribute(holder, "aria-label", label);
  setAttribute(holder, "data-value", String(events));
}
