// @ts-check
/**
 * Settings of the view: layout, filter, sort, groups, columns, selection.
 *
 * The names match the widget's traits (widget/settings.py) and the page's URL parameters.
 */

import { isRecord } from "./agent.js";

/**
 * @typedef {"status" | "feature" | "session" | "project" | "branch" | "model" | "kind" | "host" | "parent"} GroupKey
 *
 * @typedef {{text?: string} & Partial<Record<FilterKey, string[]>>} Filter An agent matches if it
 *   has one of the values of each key; "" means no value. Every word of `text` must occur.
 * @typedef {GroupKey | "agent"} FilterKey
 *
 * @typedef {object} ViewSettings
 * @property {"cards" | "table" | "compact"} view
 * @property {Filter} filter
 * @property {string} sort one of SORT_KEYS; with a leading "-" descending
 * @property {GroupKey | null} groupBy
 * @property {string[] | null} columns of the table, from COLUMNS; null for DEFAULT_COLUMNS
 * @property {string | null} selected an agent's id
 */

export const VIEW_NAMES = ["cards", "table", "compact"];
export const SORT_KEYS = [
  "attention", "agent", "status", "activity", "since", "feature", "session", "project", "branch", "model",
  "tool", "tools", "tokens", "cost", "errors", "context",
];
export const GROUP_KEYS = ["status", "feature", "session", "project", "branch", "model", "kind", "host", "parent"];
export const FILTER_KEYS = [
  "status", "feature", "session", "project", "branch", "model", "kind", "host", "agent", "parent",
];
export const COLUMNS = [
  "status", "agent", "project", "branch", "model", "context", "tools", "tokens", "cost", "errors", "activity",
  "sparkline", "since", "reason", "tool", "feature", "session", "kind", "pr", "host", "user", "parent",
];
export const DEFAULT_COLUMNS = [
  "status", "agent", "project", "branch", "model", "context", "tools", "cost", "activity",
];

/** @type {ViewSettings} */
const INITIAL_SETTINGS = {
  view: "cards", filter: {}, sort: "attention", groupBy: null, columns: null, selected: null,
};

/** Parses one setting; undefined if invalid. @type {Record<string, (value: any) => any>} */
const SETTING_READERS = {
  view: (value) => (VIEW_NAMES.includes(value) ? value : undefined),
  filter: (value) => (isRecord(value) ? readFilter(value) : value === null ? {} : undefined),
  sort: (value) => (
    typeof value === "string" && SORT_KEYS.includes(value.replace(/^-/, "")) ? value : undefined
  ),
  groupBy: (value) => (
    value === null || value === "" ? null : GROUP_KEYS.includes(value) ? value : undefined
  ),
  columns: (value) => {
    if (value === null) return null;
    const valid = Array.isArray(value) ? COLUMNS.filter((name) => value.includes(name)) : [];
    return valid.length > 0 ? value.filter((/** @type {string} */ name) => valid.includes(name)) : undefined;
  },
  selected: (value) => (
    value === null || value === "" ? null : typeof value === "string" ? value : undefined
  ),
};

/** @param {Record<string, any>} value @returns {Filter} without empty or unknown keys */
function readFilter(value) {
  /** @type {Record<string, any>} */
  const filter = {};
  const text = typeof value.text === "string" ? value.text.trim() : "";
  if (text) filter.text = text;
  for (const key of FILTER_KEYS) {
    const values = Array.isArray(value[key]) ? value[key] : [];
    const texts = values.filter((/** @type {unknown} */ text) => typeof text === "string");
    if (texts.length > 0) filter[key] = [...new Set(texts)];
  }
  return filter;
}

/**
 * Return the valid settings; log the others to the console.
 *
 * @param {Record<string, unknown>} patch
 * @returns {Partial<ViewSettings>}
 */
export function readSettings(patch) {
  /** @type {Record<string, any>} */
  const settings = {};
  for (const [name, value] of Object.entries(patch)) {
    const read = SETTING_READERS[name]?.(value);
    if (read !== undefined) settings[name] = read;
    else if (value !== undefined) console.warn(`htmlgraph-nb: invalid value of ${name}`, value);
  }
  return settings;
}

/**
 * Create observable settings.
 *
 * @param {Record<string, unknown>} [initial]
 */
export function createSettings(initial = {}) {
  /** @type {ViewSettings} */
  let settings = { ...INITIAL_SETTINGS, ...readSettings(initial) };
  /** @type {Set<(changed: Set<string>) => void>} */
  const listeners = new Set();
  return {
    /** The current settings; read-only. */
    get: () => settings,

    /** Change settings. Ignores invalid values; notifies only of values that differ. @param {Record<string, unknown>} patch */
    set(patch) {
      const next = { ...settings, ...readSettings(patch) };
      const names = /** @type {(keyof ViewSettings)[]} */ (Object.keys(next));
      const changed = names.filter((name) => !sameSetting(next[name], settings[name]));
      if (changed.length === 0) return;
      settings = next;
      for (const listener of [...listeners]) listener(new Set(changed));
    },

    /** Call `listener` with the names of changed settings. @param {(changed: Set<string>) => void} listener @returns {() => void} unsubscribes */
    subscribe(listener) {
      listeners.add(listener);
      return () => { listeners.delete(listener); };
    },
  };
}

/** @param {unknown} a @param {unknown} b */
function sameSetting(a, b) {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
