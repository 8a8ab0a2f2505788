// Settings: validation and notification.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { createSettings, readSettings } from "../../../htmlgraph_nb/static/grid/model/settings.js";

test("readSettings keeps valid settings and logs the others", () => {
  const warn = mock.method(console, "warn", () => {});
  assert.deepEqual(readSettings({
    view: "table", sort: "-tokens", groupBy: "project", columns: ["cost", "agent", "nonsense"],
    filter: { text: " x ", status: ["idle", "idle", 3], feature: [], other: ["y"] }, selected: "a",
  }), {
    view: "table", sort: "-tokens", groupBy: "project", columns: ["cost", "agent"],
    filter: { text: "x", status: ["idle"] }, selected: "a",
  });
  assert.equal(warn.mock.callCount(), 0);
  assert.deepEqual(readSettings({ view: "tiles", sort: "--cost", groupBy: 3, columns: [], selected: 7, odd: 1 }), {});
  assert.equal(warn.mock.callCount(), 6);
  warn.mock.restore();
});

test("settings notify once per change, not for equal values", () => {
  const settings = createSettings({ view: "compact" });
  const notified = [];
  const stop = settings.subscribe((changed) => notified.push([...changed]));
  settings.set({ view: "compact", filter: {} });
  settings.set({ view: "cards", selected: "a", filter: { status: ["idle"] } });
  settings.set({ filter: { status: ["idle"] } });
  stop();
  settings.set({ view: "table" });
  assert.deepEqual(notified, [["view", "filter", "selected"]]);
  assert.deepEqual(settings.get().filter, { status: ["idle"] });
});
