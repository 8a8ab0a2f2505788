// @ts-check
/** The replay bar: play and pause, time slider, speed. */

import { h, icon, setAttribute, setIcon, setText } from "./elements/dom.js";

/**
 * @typedef {object} ReplayState Times are ms since 1970.
 * @property {number} start
 * @property {number} end
 * @property {number} at
 * @property {boolean} playing
 * @property {number} speed seconds of history per second
 *
 * @typedef {object} Replay
 * @property {() => ReplayState} get
 * @property {(listener: () => void) => () => void} subscribe
 * @property {(play: boolean) => void} play
 * @property {(at: number) => void} seek ms since 1970
 * @property {(speed: number) => void} speed
 */

const SPEEDS = [1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600];
const SLIDER_STEPS = 1_000;
/** Minimum ms between seek requests while the slider moves. */
const SEEK_EVERY_MS = 120;
/** The kernel sends its time about once a second; extrapolate no longer than this. */
const EXTRAPOLATE_MS = 2_000;

/**
 * Return the replay time: the last reported time plus the elapsed time while playing.
 *
 * @param {ReplayState} state
 * @param {number} elapsed ms since the last report
 */
export function replayTime({ start, end, at, playing, speed }, elapsed) {
  const estimate = playing ? at + Math.min(Math.max(0, elapsed), EXTRAPOLATE_MS) * speed : at;
  return Math.max(start, Math.min(end, estimate));
}

/** @param {number} speed */
export function describeSpeed(speed) {
  return `${Number(speed.toPrecision(3))}×`;
}

/**
 * @param {Document} doc
 * @param {Replay} replay
 * @param {() => number} now ms
 */
export function createReplayBar(doc, replay, now) {
  const win = /** @type {Window} */ (doc.defaultView);
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const play = h(doc, "button", { type: "button", class: "hg-button hg-play", "data-control": "play" }, [icon(doc, "play")]);
  const slider = /** @type {HTMLInputElement} */ (h(doc, "input", {
    type: "range", class: "hg-time", min: "0", max: String(SLIDER_STEPS), step: "1", "data-control": "time", "aria-label": "Time",
  }));
  const time = h(doc, "span", { class: "hg-replay-time" }, [""]);
  const speed = /** @type {HTMLSelectElement} */ (h(doc, "select", {
    class: "hg-select", "data-control": "speed", "aria-label": "Speed", title: "Seconds of history per second",
  }, SPEEDS.map((value) => h(doc, "option", { value: String(value) }, [describeSpeed(value)]))));
  const bar = h(doc, "div", { class: "hg-replay", role: "group", "aria-label": "Replay" }, [play, slider, time, speed]);

  let reportedAt = now();
  let reported = replay.get();
  /** Time requested by the slider until the kernel has reached it. @type {number | null} */
  let requested = null;
  let seekTimer = 0;

  const clock = () => requested ?? replayTime(reported, now() - reportedAt);
  const seek = () => {
    seekTimer = 0;
    if (requested !== null) replay.seek(requested);
  };
  const draw = () => {
    const at = clock();
    const label = reported.playing ? "Pause" : "Play";
    setAttribute(play, "aria-label", label);
    setAttribute(play, "title", label);
    setIcon(play, reported.playing ? "pause" : "play");
    const span = Math.max(1, reported.end - reported.start);
    const position = String(Math.round(((at - reported.start) / span) * SLIDER_STEPS));
    if (requested === null && slider.value !== position) slider.value = position;
    const text = format.format(at);
    setText(time, text);
    setAttribute(slider, "aria-valuetext", text);
    const value = String(reported.speed);
    if (speed.value !== value) {
      if (!SPEEDS.includes(reported.speed)) speed.append(h(doc, "option", { value }, [describeSpeed(reported.speed)]));
      speed.value = value;
    }
  };

  play.addEventListener("click", () => replay.play(!reported.playing));
  speed.addEventListener("change", () => replay.speed(Number(speed.value)));
  slider.addEventListener("input", () => {
    requested = reported.start + (Number(slider.value) / SLIDER_STEPS) * (reported.end - reported.start);
    draw();
    seekTimer ||= win.setTimeout(seek, SEEK_EVERY_MS);
  });
  const unsubscribe = replay.subscribe(() => {
    reported = replay.get();
    reportedAt = now();
    if (seekTimer === 0) requested = null;
    draw();
  });
  draw();

  return {
    bar, clock, draw,
    stop() {
      unsubscribe();
      win.clearTimeout(seekTimer);
    },
  };
}
