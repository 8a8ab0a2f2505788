// @ts-check
/** The grid's settings in the page's address, after the #: kept over a reload, and to be shared. */

/** @typedef {import("./agent_grid.js").ViewSettings} ViewSettings */

const LISTS = /** @type {const} */ (["status", "feature", "session", "project", "model", "host", "agent", "parent"]);
/** What an address leaves out. */
const DEFAULTS = { view: "cards", sort: "attention" };

/**
 * Return the settings of an address; what it does not name is as at first.
 *
 * Nothing is checked here: the grid leaves out what it does not know.
 *
 * @param {string} hash with or without the #
 * @returns {ViewSettings}
 */
export function settingsFromHash(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Record<string, string | string[]>} */
  const filter = {};
  const text = said.get("q");
  if (text) filter.text = text;
  for (const key of LISTS) if (said.has(key)) filter[key] = said.getAll(key);
  const columns = said.get("columns");
  return /** @type {ViewSettings} */ ({
    view: said.get("view") ?? DEFAULTS.view,
    filter,
    sort: said.get("sort") ?? DEFAULTS.sort,
    groupBy: said.get("group") || null,
    columns: columns ? columns.split(",") : null,
    selected: said.get("selected") || null,
  });
}

/**
 * Return the address's part after the #; "" where everything is as at first.
 *
 * @param {ViewSettings} settings
 */
export function hashOfSettings({ view, filter, sort, groupBy, columns, selected }) {
  const said = new URLSearchParams();
  if (view !== DEFAULTS.view) said.set("view", view);
  if (filter.text) said.set("q", filter.text);
  for (const key of LISTS) for (const value of filter[key] ?? []) said.append(key, value);
  if (sort !== DEFAULTS.sort) said.set("sort", sort);
  if (groupBy !== null) said.set("group", groupBy);
  if (columns !== null) said.set("columns", columns.join());
  if (selected !== null) said.set("selected", selected);
  return said.toString();
}

/**
 * Keep the settings and the address alike.
 *
 * @param {Window} win
 * @param {{get: () => ViewSettings, set: (patch: Partial<ViewSettings>) => void,
 *   subscribe: (listener: () => void) => () => void}} settings
 */
export function keepInAddress(win, settings) {
  let timer = 0;
  const write = () => {
    timer = 0;
    const hash = hashOfSettings(settings.get());
    const { pathname, search } = win.location;
    // Browsers allow few of these a second, and nobody wants a step back for each letter typed.
    win.history.replaceState(null, "", `${pathname}${search}${hash ? `#${hash}` : ""}`);
  };
  settings.subscribe(() => { timer ||= win.setTimeout(write, 200); });
  win.addEventListener("hashchange", () => settings.set(settingsFromHash(win.location.hash)));
}
