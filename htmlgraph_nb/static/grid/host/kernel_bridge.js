// @ts-check
/** Connects the grid to the widget's kernel: settings, stored events, replay. */

import { readTime } from "../model/agent.js";

/**
 * @typedef {object} Model The part of the host's model that the grid uses.
 * @property {(name: string) => any} get
 * @property {(name: string, value: unknown) => void} set
 * @property {() => void} save_changes
 * @property {(content: unknown) => void} send
 * @property {(event: string, callback: (...args: any[]) => void) => void} on
 * @property {(event: string, callback: (...args: any[]) => void) => void} off
 *
 * @typedef {import("../model/settings.js").ViewSettings} ViewSettings
 */

/** Settings of the grid and the model traits that store them. */
const TRAITS = /** @type {const} */ ([
  ["view", "view"], ["filter", "filter"], ["sort", "sort"], ["groupBy", "group_by"], ["columns", "columns"],
  ["selected", "selected"],
]);
const SAVE_AFTER_MS = 150;

/** @param {unknown} a @param {unknown} b */
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** @param {Model} model @returns {Partial<ViewSettings>} settings from the model, without traits it does not have */
export function settingsOf(model) {
  /** @type {Record<string, unknown>} */
  const settings = {};
  for (const [name, trait] of TRAITS) {
    const value = model.get(trait);
    if (value !== undefined) settings[name] = value;
  }
  return settings;
}

/**
 * Keep the settings of the grid and the traits of the model in sync.
 *
 * @param {Model} model
 * @param {ReturnType<typeof import("../model/settings.js").createSettings>} settings
 * @returns {() => void} stops the synchronization
 */
export function syncSettings(model, settings) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const save = () => {
    timer = undefined;
    try {
      model.save_changes();
    } catch (error) {
      // The widget is closed or the kernel has exited: keep the setting in this view.
      console.debug("htmlgraph-nb: cannot save settings, no kernel", error);
    }
  };
  const unsubscribe = settings.subscribe((changed) => {
    const now = settings.get();
    for (const [name, trait] of TRAITS) {
      if (!changed.has(name) || same(model.get(trait), now[name])) continue;
      model.set(trait, now[name]);
      timer ??= setTimeout(save, SAVE_AFTER_MS);
    }
  });
  const ends = TRAITS.map(([name, trait]) => {
    const update = () => settings.set({ [name]: model.get(trait) });
    model.on(`change:${trait}`, update);
    return () => model.off(`change:${trait}`, update);
  });
  return () => {
    unsubscribe();
    clearTimeout(timer);
    for (const end of ends) end();
  };
}

/**
 * Create a loader that requests stored events of agents from the kernel. A response may wait for a running cell.
 *
 * @param {Model} model
 */
export function createHistoryLoader(model) {
  /** @type {Map<number, {resolve: (events: any[]) => void, reject: (error: Error) => void}>} */
  const waiting = new Map();
  let n = 0;
  return {
    /** @param {string} agentId @param {{limit: number}} options @returns {Promise<any[]>} newest first */
    load(agentId, { limit }) {
      n += 1;
      const request = n;
      return new Promise((resolve, reject) => {
        waiting.set(request, { resolve, reject });
        try {
          model.send({ kind: "history", request, agent_id: agentId, limit });
        } catch {
          waiting.delete(request);
          reject(new Error("the kernel is not running"));
        }
      });
    },
    /** Handle a message from the kernel. @param {any} message */
    receive(message) {
      if (message?.kind !== "history") return;
      const pending = waiting.get(message.request);
      waiting.delete(message.request);
      if (typeof message.error === "string") pending?.reject(new Error(message.error));
      else pending?.resolve(Array.isArray(message.events) ? message.events : []);
    },
    /** Reject all pending requests. @param {string} reason */
    fail(reason) {
      for (const { reject } of waiting.values()) reject(new Error(reason));
      waiting.clear();
    },
  };
}

/**
 * Send a message to the kernel. It is lost if the widget is closed or the kernel has exited.
 *
 * @param {Model} model @param {{kind: string} & Record<string, unknown>} content
 */
export function sendToKernel(model, content) {
  try {
    model.send(content);
  } catch (error) {
    console.debug(`htmlgraph-nb: no kernel receives the message "${content.kind}"`, error);
  }
}

/**
 * Report to the kernel that a person looked at an agent.
 *
 * @param {Model} model @param {string} agentId
 */
export const sendViewed = (model, agentId) => sendToKernel(model, { kind: "viewed", agent_id: agentId });

/**
 * Create the control of the replay described by the model's `replay` trait. `get` returns null until the trait is
 * set, and when the grid shows no replay.
 *
 * @param {Model} model
 */
export function createReplayControl(model) {
  /** @returns {import("../view/replay_bar.js").ReplayState | null} */
  const read = () => {
    const value = model.get("replay");
    const start = readTime(value?.start);
    const end = readTime(value?.end);
    if (start === null || end === null) return null;
    return {
      start, end, at: readTime(value.at) ?? start, playing: value.playing === true,
      speed: typeof value.speed === "number" && value.speed > 0 ? value.speed : 1,
    };
  };
  let state = read();
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @param {import("../view/replay_bar.js").ReplayState | null} next */
  const update = (next) => {
    state = next;
    for (const listener of [...listeners]) listener();
  };
  const onTrait = () => update(read() ?? state);
  model.on("change:replay", onTrait);
  /** @param {Record<string, unknown>} content */
  const send = (content) => sendToKernel(model, { kind: "replay", ...content });
  return {
    get: () => state,
    /** @param {() => void} listener */
    subscribe(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },
    /** @param {boolean} play */
    play: (play) => send({ play }),
    /** @param {number} at ms since 1970 */
    seek: (at) => send({ seek: new Date(at).toISOString() }),
    /** @param {number} speed */
    speed: (speed) => send({ speed }),
    /** Handle a message from the kernel; batches carry the replay time. @param {any} message */
    receive(message) {
      const at = message?.kind === "batch" ? readTime(message.at) : null;
      if (at !== null && state !== null) update({ ...state, at });
    },
    stop: () => model.off("change:replay", onTrait),
  };
}
