// @ts-check
/** The notebook widget (anywidget front-end module). */

import { createHistoryLoader, createReplayControl, sendToKernel, sendViewed, settingsOf, syncSettings } from "./kernel_bridge.js";
import { mountGrid } from "../view/mount.js";
import { createSettings } from "../model/settings.js";
import { createStore } from "../model/store.js";

/** @typedef {import("./kernel_bridge.js").Model} Model */

/** The kernel sends at least an empty batch every 5 s; after three missed ones the data is stale. */
const KERNEL_SILENCE_MS = 15_000;
const PING_EVERY_MS = 10_000;
/** Set on the element of each view; its default size is in styles/base.css. */
const VIEW_CLASS = "htmlgraph-view";
const SLOW_HINT = "The kernel is busy. Stored events load when the running cell has finished.";

/** @param {Model} model */
function openModel(model) {
  const store = createStore();
  store.restore(model.get("state"));
  const settings = createSettings(settingsOf(model));
  const history = createHistoryLoader(model);
  const replay = createReplayControl(model);
  /** @param {any} message */
  const onMessage = (message) => {
    history.receive(message);
    replay.receive(message);
    store.receiveFromKernel(message);
  };
  const onRestart = () => {
    store.setConnection({ state: "closed", detail: "the kernel restarted" });
    history.fail("the kernel restarted");
  };
  model.on("msg:custom", onMessage);
  model.on("comm_live_update", onRestart);
  const unsync = syncSettings(model, settings);
  const close = () => {
    model.off("msg:custom", onMessage);
    model.off("comm_live_update", onRestart);
    unsync();
    replay.stop();
  };
  return { store, settings, history, replay, close };
}

/**
 * Return the widget of one model.
 *
 * A factory, because hosts pass a new model wrapper to each hook; the hooks of one model share this
 * closure.
 */
export default function createWidget() {
  /** @type {ReturnType<typeof openModel> | null} */
  let opened = null;
  let views = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let pinging;

  /** @param {Model} model */
  const open = (model) => (opened ??= openModel(model));

  /** @param {Model} model */
  const ping = (model) => {
    if (!globalThis.document?.hidden) sendToKernel(model, { kind: "ping" });
  };

  return {
    /** @param {{model: Model}} context */
    initialize({ model }) {
      const { close } = open(model);
      return () => {
        close();
        opened = null;
      };
    },

    /** @param {{model: Model, el: HTMLElement}} context */
    render({ model, el }) {
      const { store, settings, history, replay } = open(model);
      el.classList.add(VIEW_CLASS);
      let replaying = replay.get() !== null;
      const mount = () => mountGrid(el, store, {
        settings, staleAfterMs: KERNEL_SILENCE_MS, loadHistory: history.load, slowHint: SLOW_HINT,
        markViewed: (agentId) => sendViewed(model, agentId),
        replay: replaying ? /** @type {import("../view/replay_bar.js").Replay} */ (replay) : null,
      });
      let unmount = mount();
      const unsubscribe = replay.subscribe(() => {
        if ((replay.get() !== null) === replaying) return;
        replaying = !replaying;
        unmount();
        unmount = mount();
      });
      const onVisible = () => ping(model);
      el.ownerDocument.addEventListener("visibilitychange", onVisible);
      ping(model);
      views += 1;
      pinging ??= setInterval(ping, PING_EVERY_MS, model);
      return () => {
        unsubscribe();
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
