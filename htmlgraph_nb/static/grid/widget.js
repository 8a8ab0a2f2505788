// @ts-check
/**
 * The notebook widget (anywidget front-end module).
 */

import { mountGrid } from "./mount.js";
import { createStore } from "./store.js";

/** @typedef {import("./store.js").Store} Store */

/** The kernel sends at least an empty batch every 5 s; three missing ones are silence. */
const KERNEL_SILENCE_MS = 15_000;
const PING_EVERY_MS = 10_000;

/**
 * @typedef {object} Model What of the host's model is used.
 * @property {(name: string) => any} get
 * @property {(content: unknown) => void} send
 * @property {(event: string, callback: (...args: any[]) => void) => void} on
 * @property {(event: string, callback: (...args: any[]) => void) => void} off
 */

/**
 * Return the widget of one model.
 *
 * It is a function because hosts hand a new wrapper of the model to each hook: what the hooks of
 * one model share is this call's closure.
 */
export default function createWidget() {
  /** @type {Store | null} */
  let store = null;
  let views = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let pinging;

  /** @param {Model} model */
  const open = (model) => {
    const opened = createStore();
    opened.restore(model.get("state"));
    store = opened;
    return opened;
  };

  /** @param {Model} model */
  const ping = (model) => {
    if (globalThis.document?.hidden) return;
    try {
      model.send({ kind: "ping" });
    } catch (error) {
      // The comm of a closed widget or of a kernel that has gone: nobody is there to hear it.
      console.debug("htmlgraph-nb: no kernel to ping", error);
    }
  };

  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const opened = open(model);
      /** @param {unknown} message */
      const onMessage = (message) => opened.receiveKernel(message);
      const onRestart = () => opened.setConnection({ state: "closed", detail: "the kernel restarted" });
      model.on("msg:custom", onMessage);
      model.on("comm_live_update", onRestart);
      return () => {
        model.off("msg:custom", onMessage);
        model.off("comm_live_update", onRestart);
      };
    },

    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const unmount = mountGrid(el, store ?? open(model), { newsTimeoutMs: KERNEL_SILENCE_MS });
      const onVisible = () => ping(model);
      el.ownerDocument.addEventListener("visibilitychange", onVisible);
      ping(model);
      views += 1;
      pinging ??= setInterval(ping, PING_EVERY_MS, model);
      return () => {
        unmount();
        el.ownerDocument.removeEventListener("visibilitychange", onVisible);
        views -= 1;
        if (views > 0) return;
        clearInterval(pinging);
        pinging = undefined;
      };
    },
  };
}
