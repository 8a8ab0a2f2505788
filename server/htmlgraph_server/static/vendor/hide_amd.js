// @ts-check
/**
 * Hides an AMD loader such as RequireJS from the scripts that are imported after this module, until
 * `chart.js` restores it. Modules without a top-level await run one after the other, so no other
 * script sees the change.
 */

const global = /** @type {any} */ (globalThis);
export const amd = { define: global.define, Chart: global.Chart };
global.define = undefined;
