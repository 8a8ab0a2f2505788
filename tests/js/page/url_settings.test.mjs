// The settings in the URL fragment.

import assert from "node:assert/strict";
import { test } from "node:test";

import { hashOfSettings, settingsFromHash } from "../../../server/htmlgraph_server/static/url_settings.js";

const FIRST = { view: "cards", filter: {}, sort: "attention", groupBy: null, columns: null, selected: null };

test("empty fragment means default settings and the reverse", () => {
  assert.equal(hashOfSettings(FIRST), "");
  assert.deepEqual(settingsFromHash(""), FIRST);
  assert.deepEqual(settingsFromHash("#"), FIRST);
});

test("settings round-trip through the fragment with any characters", () => {
  const settings = {
    view: "table", sort: "-tokens", groupBy: "feature", columns: ["agent", "cost"], selected: "claude#1&x=%2f ü",
    filter: { text: "a + b", status: ["idle", "waiting"], feature: ["", "feat=1"], model: ["m&n"] },
  };
  assert.deepEqual(settingsFromHash(`#${hashOfSettings(settings)}`), settings);
});
