// @ts-check
/** What the server reports about itself: quotas, the import of session files, and agents without hooks. */

import { copyButton, h, icon, setAttribute, setStyle, setText } from "./elements/dom.js";
import { visibleText } from "./elements/format.js";
import { describeBackfill, describeQuota, explainQuota, isReset, isShown, nameQuota } from "./elements/server_text.js";
import { kindLabel } from "../model/names.js";

/** @typedef {import("../model/server_info.js").Quota} Quota */
/** @typedef {import("../model/server_info.js").ServerInfo} ServerInfo */

/** Kinds of agents that `htmlgraph-nb connect` can connect. */
const CONNECTABLE = ["claude", "codex", "gemini", "pi", "qwen", "vibe", "opencode", "copilot", "kiro"];
const DISMISSED = "htmlgraph-nb.hooks-banner";
const SDK_LINE = 'import htmlgraph_nb as hg; hg.SDK("my-agent").tool("Read")';

/**
 * Return the element of a command with a button that copies it.
 *
 * @param {Document} doc @param {string} command
 */
function commandOf(doc, command) {
  return h(doc, "span", { class: "hg-command" }, [h(doc, "code", {}, [command]), copyButton(doc, command, () => command)]);
}

/** Return the link to the table of agents, on the server's own page. @param {Document} doc */
function coverageLink(doc) {
  return h(doc, "a", { href: "coverage", "data-control": "coverage" }, ["What is seen of each agent"]);
}

/**
 * Return what to do next when there are no agents.
 *
 * @param {Document} doc @param {boolean} [page] whether it is on the server's own page
 */
export function nextSteps(doc, page = false) {
  const steps = /** @type {const} */ ([
    ["htmlgraph-nb connect claude", "Claude Code reports by hooks, also when it waits for you; without a name the command lists all agents."],
    [SDK_LINE, "A Python program reports what it does."],
    ["htmlgraph-nb demo", "Simulated agents, to look around."],
  ]);
  return h(doc, "div", { class: "hg-steps" }, [
    ...steps.map(([command, text]) => h(doc, "div", { class: "hg-step" }, [commandOf(doc, command), h(doc, "span", { class: "hg-step-text" }, [text])])),
    ...(page ? [h(doc, "div", { class: "hg-step" }, [coverageLink(doc)])] : []),
  ]);
}

/** @param {Document} doc @returns {HTMLElement} */
function quotaOf(doc) {
  return h(doc, "div", { class: "hg-quota" }, [
    h(doc, "span", { class: "hg-quota-name" }, [""]),
    h(doc, "span", { class: "hg-quota-bar" }, [h(doc, "span", { class: "hg-quota-fill" })]),
    h(doc, "span", { class: "hg-quota-used" }, [""]),
    h(doc, "span", { class: "hg-quota-facts" }, [""]),
    h(doc, "span", { class: "hg-quota-warning" }, [""]),
  ]);
}

/** @param {HTMLElement} el @param {Quota} quota @param {number} now ms since 1970 */
function drawQuota(el, quota, now) {
  const [name, bar, used, facts, warning] = /** @type {HTMLElement[]} */ ([...el.children]);
  const text = describeQuota(quota, now);
  setAttribute(el, "data-quota", `${quota.account}:${quota.window}`);
  setText(name, visibleText(nameQuota(quota), 60));
  setStyle(bar, "--hg-fill", `${Math.min(100, Math.round(quota.used))}%`);
  setText(used, `${Math.round(quota.used)} %`);
  setText(facts, text.facts);
  setText(warning, text.warning);
  const reset = isReset(quota, now);
  el.toggleAttribute("data-reset", reset);
  el.toggleAttribute("data-warns", !reset && (text.warning !== "" || quota.used >= 90));
  setAttribute(el, "title", visibleText(explainQuota(quota, now)));
}

/**
 * @param {Document} doc
 * @param {boolean} [remember] whether the browser keeps that the banner was dismissed; else until the view is closed
 * @param {boolean} [page] whether it is on the server's own page
 */
export function createServerBar(doc, remember = false, page = false) {
  const quotas = h(doc, "div", { class: "hg-quotas", role: "group", "aria-label": "Quotas", hidden: "" });
  const backfill = h(doc, "div", { class: "hg-backfill", hidden: "" }, [
    h(doc, "span", { class: "hg-backfill-text" }, [""]), h(doc, "span", { class: "hg-quota-bar" }, [h(doc, "span", { class: "hg-quota-fill" })]),
  ]);
  const text = h(doc, "span", { class: "hg-banner-text" }, [""]);
  const commands = h(doc, "span", { class: "hg-commands" });
  const dismiss = h(doc, "button", { type: "button", class: "hg-copy", "data-control": "dismiss", "aria-label": "Dismiss", title: "Dismiss" }, [icon(doc, "close")]);
  const banner = h(doc, "div", { class: "hg-banner", role: "note", hidden: "" }, [text, commands, ...(page ? [coverageLink(doc)] : []), dismiss]);
  const found = h(doc, "div", { class: "hg-found", hidden: "" }, [""]);
  /** Read or write what is kept. @template T @param {(storage: Storage) => T} use @returns {T | null} */
  const withStorage = (use) => {
    if (!remember) return null;
    try {
      return use(/** @type {Window} */ (doc.defaultView).localStorage);
    } catch (error) {
      console.debug("htmlgraph-nb: the browser blocks the storage of this page", error);
      return null;
    }
  };
  let dismissed = withStorage((storage) => storage.getItem(DISMISSED)) ?? "";
  let kinds = "";
  dismiss.addEventListener("click", () => {
    dismissed = kinds;
    banner.hidden = true;
    withStorage((storage) => storage.setItem(DISMISSED, kinds));
  });

  /** @param {ReadonlyMap<string, number>} withoutHooks */
  const drawBanner = (withoutHooks) => {
    const shown = CONNECTABLE.filter((kind) => (withoutHooks.get(kind) ?? 0) > 0);
    const key = shown.join();
    if (key !== kinds) {
      kinds = key;
      const labels = shown.map(kindLabel).join(", ");
      setText(text, `${labels}: session files do not show who waits for your permission. Hooks do:`);
      commands.replaceChildren(...shown.map((kind) => commandOf(doc, `htmlgraph-nb connect ${kind}`)));
    }
    const isDismissed = shown.every((kind) => dismissed.split(",").includes(kind));
    banner.hidden = shown.length === 0 || isDismissed;
  };

  return {
    elements: [quotas, backfill, banner],
    /** What the import found, for the view without agents. */
    found,

    /**
     * @param {ServerInfo | null} info @param {ReadonlyMap<string, number>} withoutHooks number of agents by kind
     * @param {number} now ms since 1970
     */
    draw(info, withoutHooks, now) {
      drawBanner(withoutHooks);
      const list = (info?.quotas ?? []).filter((quota) => isShown(quota, now));
      while (quotas.children.length > list.length) quotas.lastElementChild?.remove();
      while (quotas.children.length < list.length) quotas.append(quotaOf(doc));
      for (const [i, quota] of list.entries()) drawQuota(/** @type {HTMLElement} */ (quotas.children[i]), quota, now);
      quotas.hidden = list.length === 0;
      const progress = info?.backfill ?? null;
      const summary = describeBackfill(progress);
      backfill.hidden = progress?.state !== "running";
      setText(/** @type {Element} */ (backfill.firstElementChild), summary);
      setStyle(/** @type {HTMLElement} */ (backfill.lastElementChild), "--hg-fill", `${Math.round((progress?.share ?? 0) * 100)}%`);
      setText(found, summary);
      found.hidden = summary === "";
    },
  };
}

