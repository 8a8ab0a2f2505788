// @ts-check
/** The bar of a replay: play and pause, the time on a slider, the speed. */

import { h, icon, setAttribute, setIcon, setText } from "./elements/dom.js";

/**
 * @typedef {object} ReplayState Times are ms since 1970.
 * @property {number} start
 * @property {number} end
 * @property {number} at
 * @property {boolean} playing
 * @property {number} speed seconds of history in a second
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
/** While the slider is being moved, the kernel is asked no more often than this. */
const SEEK_EVERY_MS = 120;
/** The kernel tells its time about once a second; for longer than this we do not guess. */
const GUESS_MS = 2_000;

/**
 * Return the replay's time: what was told last, and while it plays what has passed since.
 *
 * @param {ReplayState} state
 * @param {number} elapsed ms since the state was told
 */
export function replayTime({ start, end, at, playing, speed }, elapsed) {
  const guess = playing ? at + Math.min(Math.max(0, elapsed), GUESS_MS) * speed : at;
  return Math.max(start, Math.min(end, guess));
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
    class: "hg-select", "data-control": "speed", "aria-label": "Speed", title: "Seconds of history in a second",
  }, SPEEDS.map((value) => h(doc, "option", { value: String(value) }, [describeSpeed(value)]))));
  const bar = h(doc, "div", { class: "hg-replay", role: "group", "aria-label": "Replay" }, [play, slider, time, speed]);

  let toldAt = now();
  let told = replay.get();
  /** The place that the slider asks for until the kernel has gone there. @type {number | null} */
  let wanted = null;
  let seekTimer = 0;

  const clock = () => wanted ?? replayTime(told, now() - toldAt);
  const seek = () => {
    seekTimer = 0;
    if (wanted !== null) replay.seek(wanted);
  };
  const draw = () => {
    const at = clock();
    const label = told.playing ? "Pause" : "Play";
    setAttribute(play, "aria-label", label);
    setAttribute(play, "title", label);
    setIcon(play, told.playing ? "pause" : "play");
    const span = Math.max(1, told.end - told.start);
    const place = String(Math.round(((at - told.start) / span) * SLIDER_STEPS));
    if (wanted === null && slider.value !== place) slider.value = place;
    const words = format.format(at);
    setText(time, words);
    setAttribute(slider, "aria-valuetext", words);
    const value = String(told.speed);
    if (speed.value !== value) {
      if (!SPEEDS.includes(told.speed)) speed.append(h(doc, "option", { value }, [describeSpeed(told.speed)]));
      speed.value = value;
    }
  };

  play.addEventListener("click", () => replay.play(!told.playing));
  speed.addEventListener("change", () => replay.speed(Number(speed.value)));
  slider.addEventListener("input", () => {
    wanted = told.start + (Number(slider.value) / SLIDER_STEPS) * (told.end - told.start);
    draw();
    seekTimer ||= win.setTimeout(seek, SEEK_EVERY_MS);
  });
  const unsubscribe = replay.subscribe(() => {
    told = replay.get();
    toldAt = now();
    if (seekTimer === 0) wanted = null;
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
