// @ts-check
/** The widget's kernel, as far as the grid asks it: settings, stored events, a replay. */

import { readTime } from "../model/agent.js";

/**
 * @typedef {object} Model What of the host's model is used.
 * @property {(name: string) => any} get
 * @property {(name: string, value: unknown) => void} set
 * @property {() => void} save_changes
 * @property {(content: unknown) => void} send
 * @property {(event: string, callback: (...args: any[]) => void) => void} on
 * @property {(event: string, callback: (...args: any[]) => void) => void} off
 *
 * @typedef {import("../model/settings.js").ViewSettings} ViewSettings
 */

/** Settings of the grid and the traits of the model that hold them. */
const TRAITS = /** @type {const} */ ([
  ["view", "view"], ["filter", "filter"], ["sort", "sort"], ["groupBy", "group_by"], ["columns", "columns"],
  ["selected", "selected"],
]);
const SAVE_AFTER_MS = 150;

/** @param {unknown} a @param {unknown} b */
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** @param {Model} model @returns {Partial<ViewSettings>} what the model says; a trait it has not is left out */
export function settingsOf(model) {
  /** @type {Record<string, unknown>} */
  const found = {};
  for (const [name, trait] of TRAITS) {
    const value = model.get(trait);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

/**
 * Keep the settings of the grid and the traits of the model alike.
 *
 * @param {Model} model
 * @param {ReturnType<typeof import("../model/settings.js").createSettings>} settings
 * @returns {() => void} stops it
 */
export function syncSettings(model, settings) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const save = () => {
    timer = undefined;
    try {
      model.save_changes();
    } catch (error) {
      // The comm of a closed widget or of a kernel that has gone: the grid goes on by itself.
      console.debug("htmlgraph-nb: no kernel to tell the settings", error);
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
    const take = () => settings.set({ [name]: model.get(trait) });
    model.on(`change:${trait}`, take);
    return () => model.off(`change:${trait}`, take);
  });
  return () => {
    unsubscribe();
    clearTimeout(timer);
    for (const end of ends) end();
  };
}

/**
 * Ask the kernel for an agent's stored events. An answer may wait until a running cell has ended.
 *
 * @param {Model} model
 */
export function createHistory(model) {
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
          reject(new Error("the kernel is gone"));
        }
      });
    },
    /** Take a message of the kernel. @param {any} message */
    receive(message) {
      if (message?.kind !== "history") return;
      const asked = waiting.get(message.request);
      waiting.delete(message.request);
      if (typeof message.error === "string") asked?.reject(new Error(message.error));
      else asked?.resolve(Array.isArray(message.events) ? message.events : []);
    },
    /** Answer what will never be answered. @param {string} why */
    fail(why) {
      for (const { reject } of waiting.values()) reject(new Error(why));
      waiting.clear();
    },
  };
}

/**
 * Return the replay that the model's trait describes. The trait may be set after the model is made:
 * until then, and where there is no replay, `get` returns null.
 *
 * @param {Model} model
 */
export function createReplay(model) {
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
  const take = (next) => {
    state = next;
    for (const listener of [...listeners]) listener();
  };
  const onTrait = () => take(read() ?? state);
  model.on("change:replay", onTrait);
  /** @param {Record<string, unknown>} content */
  const send = (content) => {
    try {
      model.send({ kind: "replay", ...content });
    } catch (error) {
      console.debug("htmlgraph-nb: no kernel to replay", error);
    }
  };
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
    /** Take a message of the kernel: batches carry the time. @param {any} message */
    receive(message) {
      const at = message?.kind === "batch" ? readTime(message.at) : null;
      if (at !== null && state !== null) take({ ...state, at });
    },
    stop: () => model.off("change:replay", onTrait),
  };
}
