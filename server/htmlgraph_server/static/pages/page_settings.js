// @ts-check
/** The settings of the pages in the URL fragment. Pure functions. */

import { RANGES } from "./ranges.js";

/** @typedef {import("./ranges.js").RangeName} RangeName */

export const PAGES = /** @type {const} */ ({ agents: "Agents", costs: "Costs", sessions: "Sessions" });
export const GROUPS = /** @type {const} */ ({
  day: "Time", model: "Model", project: "Project", branch: "Branch", agent_kind: "Kind of agent",
});
export const MEASURES = /** @type {const} */ ({ usd: "Dollars", total: "Tokens" });
export const FACETS = /** @type {const} */ ({
  status: "Status", agent_kind: "Kind", project: "Project", branch: "Branch", model: "Model",
});

/**
 * @typedef {keyof typeof PAGES} PageName
 * @typedef {keyof typeof FACETS} FacetName
 *
 * @typedef {object} CostSettings
 * @property {RangeName} range
 * @property {string} from first day of the range "custom"
 * @property {string} to last day of it
 * @property {keyof typeof GROUPS} by
 * @property {keyof typeof MEASURES} measure
 * @property {string} sort column of the table, with - before it for descending order; "" for the latest period or highest cost first
 *
 * @typedef {object} SessionSettings
 * @property {RangeName} range
 * @property {string} from
 * @property {string} to
 * @property {string} search
 * @property {Partial<Record<FacetName, string[]>>} filter
 * @property {string} sort
 * @property {string} selected id of the session in the details; "" for none
 * @property {string} agent id of its agent, as sessions of several agents can have the same id
 */

/** @type {CostSettings} */
export const COST_DEFAULTS = { range: "7d", from: "", to: "", by: "model", measure: "usd", sort: "" };
/** @type {SessionSettings} */
export const SESSION_DEFAULTS = {
  range: "30d", from: "", to: "", search: "", filter: {}, sort: "-start", selected: "", agent: "",
};

/** Return the page of a fragment. @param {string} hash with or without the # @returns {PageName} */
export function pageOfHash(hash) {
  const name = new URLSearchParams(hash.replace(/^#/, "")).get("page") ?? "";
  return Object.hasOwn(PAGES, name) ? /** @type {PageName} */ (name) : "agents";
}

/**
 * Return a parameter that is a key of `choices`, else the default.
 *
 * @template {string} T @param {URLSearchParams} parameters @param {string} name @param {Readonly<Record<T, string>>} choices @param {T} otherwise
 * @returns {T}
 */
function choiceOf(parameters, name, choices, otherwise) {
  const value = parameters.get(name) ?? "";
  return Object.hasOwn(choices, value) ? /** @type {T} */ (value) : otherwise;
}

/** @param {string} hash */
const parametersOf = (hash) => new URLSearchParams(hash.replace(/^#/, ""));

/** Return the settings of the costs in a fragment; invalid ones have their defaults. @param {string} hash @returns {CostSettings} */
export function costsFromHash(hash) {
  const parameters = parametersOf(hash);
  return {
    range: choiceOf(parameters, "range", RANGES, COST_DEFAULTS.range),
    from: parameters.get("from") ?? "",
    to: parameters.get("to") ?? "",
    by: choiceOf(parameters, "by", GROUPS, COST_DEFAULTS.by),
    measure: choiceOf(parameters, "measure", MEASURES, COST_DEFAULTS.measure),
    sort: parameters.get("sort") ?? COST_DEFAULTS.sort,
  };
}

/** Return the settings of the sessions in a fragment. @param {string} hash @returns {SessionSettings} */
export function sessionsFromHash(hash) {
  const parameters = parametersOf(hash);
  /** @type {SessionSettings["filter"]} */
  const filter = {};
  for (const name of /** @type {FacetName[]} */ (Object.keys(FACETS))) {
    if (parameters.has(name)) filter[name] = parameters.getAll(name);
  }
  return {
    range: choiceOf(parameters, "range", RANGES, SESSION_DEFAULTS.range),
    from: parameters.get("from") ?? "",
    to: parameters.get("to") ?? "",
    search: parameters.get("q") ?? "",
    filter,
    sort: parameters.get("sort") ?? SESSION_DEFAULTS.sort,
    selected: parameters.get("session") ?? "",
    agent: parameters.get("agent") ?? "",
  };
}

/** @param {PageName} page @param {[string, string, string][]} values name, value, default */
function hashOf(page, values) {
  const parameters = new URLSearchParams({ page });
  for (const [name, value, otherwise] of values) if (value !== otherwise) parameters.append(name, value);
  return parameters.toString();
}

/** @param {{range: RangeName, from: string, to: string}} settings @param {string} otherwise @returns {[string, string, string][]} */
const rangeValues = ({ range, from, to }, otherwise) => [
  ["range", range, otherwise], ...(range === "custom" ? /** @type {[string, string, string][]} */ ([["from", from, ""], ["to", to, ""]]) : []),
];

/** Return the fragment of the settings of the costs. @param {CostSettings} settings */
export function hashOfCosts(settings) {
  return hashOf("costs", [
    ...rangeValues(settings, COST_DEFAULTS.range),
    ["by", settings.by, COST_DEFAULTS.by],
    ["measure", settings.measure, COST_DEFAULTS.measure],
    ["sort", settings.sort, COST_DEFAULTS.sort],
  ]);
}

/** Return the fragment of the settings of the sessions. @param {SessionSettings} settings */
export function hashOfSessions(settings) {
  const facets = Object.entries(settings.filter).flatMap(([name, values]) =>
    values.map((value) => /** @type {[string, string, any]} */ ([name, value, null])));
  return hashOf("sessions", [
    ...rangeValues(settings, SESSION_DEFAULTS.range),
    ["q", settings.search, ""],
    ...facets,
    ["sort", settings.sort, SESSION_DEFAULTS.sort],
    ["session", settings.selected, ""],
    ["agent", settings.agent, ""],
  ]);
}
