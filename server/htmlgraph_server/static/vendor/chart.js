// @ts-check
/** Chart.js as a module. It leaves no global name behind, so other versions are not affected. */

import { amd } from "./hide_amd.js";
import "./chart.umd.min.js";

const loaded = /** @type {any} */ (globalThis);

/** The library's class. @type {any} */
export const Chart = loaded.Chart;

restore("define", amd.define);
restore("Chart", amd.Chart);

/** @param {string} name @param {unknown} value */
function restore(name, value) {
  if (value === undefined) delete loaded[name];
  else loaded[name] = value;
}
