// @ts-check
/** The grid's settings in the URL fragment, so that they survive a reload and can be shared. */

/** @typedef {import("./agent_grid.js").ViewSettings} ViewSettings */

const LISTS = /** @type {const} */ (["status", "kind", "feature", "session", "project", "branch", "model", "host", "agent", "parent"]);
/** Values that the fragment omits. */
const DEFAULTS = { view: "cards", sort: "attention" };

/**
 * Parse the settings of a URL fragment; settings it omits have their defaults.
 *
 * Values are not validated here: the grid ignores invalid ones.
 *
 * @param {string} hash with or without the #
 * @returns {ViewSettings}
 */
export function settingsFromHash(hash) {
  const parameters = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Record<string, string | string[]>} */
  const filter = {};
  const text = parameters.get("q");
  if (text) filter.text = text;
  for (const key of LISTS) if (parameters.has(key)) filter[key] = parameters.getAll(key);
  const columns = parameters.get("columns");
  return /** @type {ViewSettings} */ ({
    view: parameters.get("view") ?? DEFAULTS.view,
    filter,
    sort: parameters.get("sort") ?? DEFAULTS.sort,
    groupBy: parameters.get("group") || null,
    columns: columns ? columns.split(",") : null,
    selected: parameters.get("selected") || null,
  });
}

/**
 * Return the URL fragment of the settings; "" if all are defaults.
 *
 * @param {ViewSettings} settings
 */
export function hashOfSettings({ view, filter, sort, groupBy, columns, selected }) {
  const parameters = new URLSearchParams();
  if (view !== DEFAULTS.view) parameters.set("view", view);
  if (filter.text) parameters.set("q", filter.text);
  for (const key of LISTS) for (const value of filter[key] ?? []) parameters.append(key, value);
  if (sort !== DEFAULTS.sort) parameters.set("sort", sort);
  if (groupBy !== null) parameters.set("group", groupBy);
  if (columns !== null) parameters.set("columns", columns.join());
  if (selected !== null) parameters.set("selected", selected);
  return parameters.toString();
}
