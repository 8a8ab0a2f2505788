// The settings in the page's address.

import assert from "node:assert/strict";
import { test } from "node:test";

import { hashOfSettings, settingsFromHash } from "../../server/htmlgraph_server/static/hash.js";

const FIRST = { view: "cards", filter: {}, sort: "attention", groupBy: null, columns: null, selected: null };

test("an address without settings says nothing, and nothing is as at first", () => {
  assert.equal(hashOfSettings(FIRST), "");
  assert.deepEqual(settingsFromHash(""), FIRST);
  assert.deepEqual(settingsFromHash("#"), FIRST);
});

test("every setting comes back from its address, whatever its letters", () => {
  const settings = {
    view: "table", sort: "-tokens", groupBy: "feature", columns: ["agent", "cost"], selected: "claude#1&x=%2f ü",
    filter: { text: "a + b", status: ["idle", "waiting"], feature: ["", "feat=1"], model: ["m&n"] },
  };
  assert.deepEqual(settingsFromHash(`#${hashOfSettings(settings)}`), settings);
});
