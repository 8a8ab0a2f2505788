// The alerts of the page: list, texts, badge and notifications of the browser. The window is a double.

import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";

const gridUrl = new URL("../../../htmlgraph_nb/static/grid/host/index.js", import.meta.url).href;
register(`data:text/javascript,${encodeURIComponent(`export const resolve = (name, context, next) =>
  next(name.endsWith("/agent_grid.js") ? ${JSON.stringify(gridUrl)} : name, context);`)}`);
const folder = "../../../server/htmlgraph_server/static/alerts";
const { ALERTS_MAX, createAlertList, readAlert, RECENT_MS, worthNotifying } = await import(`${folder}/alert_list.js`);
const { announceAlerts, badgeText, describeMute, describeNotifications, describePlace, describeTimes, secondsUntilTomorrow } =
  await import(`${folder}/alert_texts.js`);
const { badgeIcon } = await import(`${folder}/alert_badge.js`);
const { createNotifier } = await import(`${folder}/browser_notifier.js`);

const NOW = Date.parse("2026-11-30T12:00:00Z");
const at = (seconds) => new Date(NOW + 1_000 * seconds).toISOString();

function alert(id, more = {}) {
  return {
    alert_id: id, rule: "waits", kind: "waits", severity: "warning", state: "firing", subject: "claude-1",
    since: at(-60), fired_at: at(-30), message: `${id} waits for you.`, label: "api", agent_id: "claude-1",
    agent_kind: "claude", project: "shop", branch: "main", host: "box", resolved_at: null, acknowledged_at: null,
    acknowledged_by: null, channels: [], silenced: false, ...more,
  };
}
const message = (...values) => ({ type: "alert", alert: alert(...values) });
const ids = (list, section) => list.section(section).map(({ id }) => id);

test("readAlert ignores what is not an alert", () => {
  for (const value of [null, 7, [], {}, alert(""), { ...alert("a"), message: 1 }, { ...alert("a"), fired_at: "soon" }]) {
    assert.equal(readAlert(value), null);
  }
  const odd = readAlert({ ...alert("a"), severity: "high", state: "x", channels: [1, "browser"], project: 4 });
  assert.deepEqual([odd.severity, odd.state, odd.channels, odd.project], ["warning", "firing", ["browser"], ""]);
});

test("createAlertList sorts into firing, acknowledged and past", () => {
  const list = createAlertList();
  list.receive({ type: "alert_state", alerts: [alert("a"), alert("b", { fired_at: at(-10) })], muted_until: null });
  list.receive(message("c", { severity: "critical", fired_at: at(-500) }));
  list.receive(message("d", { severity: "info", fired_at: at(0) }));
  assert.deepEqual(ids(list, "firing"), ["c", "b", "a", "d"]);
  list.receive(message("b", { acknowledged_at: at(1) }));
  list.receive(message("a", { state: "resolved", resolved_at: at(2) }));
  list.receive(message("c", { state: "resolved", resolved_at: at(3), severity: "critical" }));
  assert.deepEqual([ids(list, "firing"), ids(list, "acknowledged"), ids(list, "past")], [["d"], ["b"], ["c", "a"]]);
  assert.equal(list.count, 1);
});

test("createAlertList never goes back to an earlier state", () => {
  const list = createAlertList();
  list.receive(message("a", { state: "resolved", resolved_at: at(2) }));
  list.load({ alerts: [alert("a"), alert("b", { acknowledged_at: at(1) })], muted_until: null });
  list.receive(message("b"));
  assert.deepEqual([ids(list, "firing"), ids(list, "acknowledged"), ids(list, "past")], [[], ["b"], ["a"]]);
});

test("createAlertList drops what ended while it was not connected", () => {
  const list = createAlertList();
  list.receive({ type: "alert_state", alerts: [alert("a"), alert("b")] });
  list.receive(message("c", { state: "resolved", resolved_at: at(0) }));
  list.receive({ type: "alert_state", alerts: [alert("b")] });
  assert.deepEqual([ids(list, "firing"), ids(list, "past")], [["b"], ["c"]]);
});

test("createAlertList notifies of changes only", () => {
  const list = createAlertList();
  const seen = [];
  list.subscribe((changed) => seen.push(changed.map(({ id }) => id)));
  list.receive(message("a"));
  list.receive(message("a"));
  list.receive({ type: "presence_update" });
  list.receive(null);
  list.receive({ type: "alert", alert: 4 });
  assert.deepEqual(seen, [["a"]]);
  list.receive({ type: "alert_state", alerts: [alert("a")], muted_until: at(60), rules_error: "line 3" });
  assert.deepEqual([seen.length, list.mutedUntil, list.rulesError, list.known], [2, NOW + 60_000, "line 3", true]);
  list.setMuted(null);
  list.setMuted(null);
  assert.equal(seen.length, 3);
});

test("createAlertList is bounded and keeps what fires", () => {
  const list = createAlertList();
  const past = Array.from({ length: ALERTS_MAX + 50 }, (_, i) => alert(`p${i}`, { state: "resolved", resolved_at: at(i) }));
  list.receive(message("firing"));
  list.load({ alerts: past });
  assert.deepEqual([ids(list, "firing").length, ids(list, "past").length], [1, ALERTS_MAX - 1]);
  assert.equal(list.section("past")[0].id, `p${ALERTS_MAX + 49}`);
});

test("texts describe place, times, mute and counts", () => {
  const one = readAlert(alert("a"));
  assert.equal(describePlace(one), "Claude Code · shop · main · box");
  assert.equal(describeTimes(one, NOW), "Warning · 30s ago");
  const past = readAlert(alert("a", {
    state: "resolved", resolved_at: at(0), acknowledged_at: at(-3), acknowledged_by: "ada", silenced: true,
  }));
  assert.equal(describeTimes(past, NOW + 5_000), "Warning · ended 5s ago after 30 s · acknowledged by ada · not sent: muted or quiet hours");
  assert.equal(describeMute(null, NOW), "");
  assert.equal(describeMute(NOW - 1, NOW), "");
  assert.match(describeMute(NOW + 3_600_000, NOW), /^Muted until (tomorrow )?\d\d:\d\d$/);
  assert.deepEqual([0, 1, 99, 100].map(badgeText), ["", "1", "99", "99+"]);
  assert.equal(announceAlerts(1, [one]), "Alert: a waits for you.");
  assert.equal(announceAlerts(2, [one, one]), "2 alerts.");
  assert.equal(announceAlerts(0, [past]), "No alerts.");
});

test("secondsUntilTomorrow ends at 8:00 of the next day", () => {
  const late = new Date(2026, 10, 30, 23, 59, 59).getTime();
  assert.equal(secondsUntilTomorrow(late), 8 * 3_600 + 1);
  const early = new Date(2026, 10, 30, 0, 0, 0).getTime();
  assert.equal(secondsUntilTomorrow(early), 32 * 3_600);
});

test("describeNotifications has an action where the page can do something", () => {
  const actions = Object.fromEntries(["unsupported", "insecure", "default", "dismissed", "granted", "off", "denied"]
    .map((state) => [state, describeNotifications(state).action]));
  assert.deepEqual(actions, {
    unsupported: "", insecure: "", default: "Turn on", dismissed: "Ask again", granted: "Turn off", off: "Turn on", denied: "",
  });
});

test("badgeIcon adds the number to the icon", () => {
  const svg = "<svg><rect/></svg>";
  assert.equal(badgeIcon(svg, 0), svg);
  assert.match(badgeIcon(svg, 3), /^<svg><rect\/>.*>3<\/text><\/g><\/svg>$/);
  assert.match(badgeIcon(svg, 300), />99\+</);
});

test("worthNotifying leaves out what is old, silenced, acknowledged or for other channels", () => {
  const list = [
    alert("new"), alert("old", { fired_at: at(-RECENT_MS / 1_000 - 1) }), alert("silent", { silenced: true }),
    alert("known", { acknowledged_at: at(0) }), alert("over", { state: "resolved" }),
    alert("phone", { channels: ["phone"] }), alert("here", { channels: ["phone", "browser"] }),
  ].map(readAlert);
  assert.deepEqual(worthNotifying(list, "browser", NOW).map(({ id }) => id), ["new", "here"]);
  assert.deepEqual(worthNotifying(list, "jupyter", NOW).map(({ id }) => id), ["new"]);
});

/** A window with notifications; `storage` is shared by the tabs of a browser. */
function makeWindow({ permission = "granted", answer = "granted", storage = new Map(), focused = false, secure = true } = {}) {
  const shown = [];
  class FakeNotification {
    static permission = permission;
    static asked = 0;
    static async requestPermission() {
      FakeNotification.asked += 1;
      FakeNotification.permission = answer;
      return answer;
    }
    constructor(title, options) {
      Object.assign(this, { title, ...options, closed: false });
      shown.push(this);
    }
    close() {
      this.closed = true;
      this.onclose?.();
    }
  }
  const win = {
    isSecureContext: secure, Notification: FakeNotification, focused: 0,
    document: { hasFocus: () => focused },
    navigator: { locks: { request: async (_, work) => work() } },
    setTimeout: (work) => setTimeout(work, 0),
    focus() { win.focused += 1; },
    localStorage: { getItem: (key) => storage.get(key) ?? null, setItem: (key, value) => storage.set(key, value) },
  };
  const list = createAlertList();
  const opened = [];
  const notifier = createNotifier(win, list, { icon: "i", now: () => NOW, onOpen: (id) => opened.push(id) });
  return { win, list, shown, opened, notifier, storage };
}
const settle = () => new Promise((resolve) => { setTimeout(resolve, 5); });

test("notifier shows an alert once in all tabs, and closes it when it ends", async () => {
  const one = makeWindow();
  const two = makeWindow({ storage: one.storage });
  for (const { list } of [one, two]) list.receive(message("a"));
  await settle();
  assert.deepEqual([...one.shown, ...two.shown].map(({ title, tag, body }) => [title, tag, body]),
    [["a waits for you.", "htmlgraph-nb.a", "Claude Code · shop · main · box"]]);
  const [tab] = [one, two].filter(({ shown }) => shown.length > 0);
  tab.shown[0].onclick();
  assert.deepEqual([tab.opened, tab.win.focused, tab.shown[0].closed], [["claude-1"], 1, true]);
  one.list.receive(message("b"));
  await settle();
  one.list.receive(message("b", { acknowledged_at: at(1) }));
  assert.equal(one.shown.at(-1).closed, true);
});

test("notifier shows nothing in a tab that has the focus, nor later in another", async () => {
  const front = makeWindow({ focused: true });
  const back = makeWindow({ storage: front.storage });
  for (const { list } of [back, front]) list.receive(message("a"));
  await settle();
  assert.deepEqual([front.shown, back.shown], [[], []]);
});

test("notifier joins many alerts", async () => {
  const { list, shown, opened } = makeWindow();
  list.receive({ type: "alert_state", alerts: ["a", "b", "c", "d"].map((id) => alert(id)) });
  await settle();
  assert.deepEqual(shown.map(({ title }) => title), ["4 alerts"]);
  shown[0].onclick();
  assert.deepEqual(opened, [""]);
});

test("notifier asks for the permission by a click only", async () => {
  const { win, list, shown, notifier } = makeWindow({ permission: "default", answer: "default" });
  list.receive(message("a"));
  await settle();
  assert.deepEqual([win.Notification.asked, shown, notifier.state()], [0, [], "default"]);
  let changes = 0;
  notifier.subscribe(() => { changes += 1; });
  await notifier.toggle();
  assert.deepEqual([win.Notification.asked, notifier.state(), changes], [1, "dismissed", 1]);
  const allowed = makeWindow({ permission: "default" });
  await allowed.notifier.toggle();
  assert.equal(allowed.notifier.state(), "granted");
  await allowed.notifier.toggle();
  assert.equal(allowed.notifier.state(), "off");
  allowed.list.receive(message("a"));
  await settle();
  assert.deepEqual(allowed.shown, []);
  const refused = makeWindow({ permission: "default", answer: "denied" });
  await refused.notifier.toggle();
  assert.equal(refused.notifier.state(), "denied");
});

test("notifier works without storage, and not on insecure pages", async () => {
  const { win, list, shown } = makeWindow();
  win.localStorage = { getItem() { throw new Error("blocked"); }, setItem() { throw new Error("blocked"); } };
  list.receive(message("a"));
  await settle();
  assert.equal(shown.length, 1);
  assert.equal(makeWindow({ secure: false }).notifier.state(), "insecure");
});
