// @ts-check
/**
 * The entry point that JupyterLab and Notebook 7 load: a hand-written webpack module federation
 * container. The front end runs this file as a script, passes its shared modules to `init`, and calls
 * `get` with the module named in `package.json`.
 * https://webpack.js.org/concepts/module-federation/#dynamic-remote-containers
 *
 * The plugins are loaded from the server extension, so that they have the same version as the server
 * and never come from an old cache.
 */
(() => {
  const NAME = "htmlgraph-nb";
  const PLUGINS = "htmlgraph/static/lab.js";
  /** Modules by name, then by version. @type {Record<string, Record<string, any>>} */
  let shared = {};

  /** @param {string} a @param {string} b */
  const byVersion = (a, b) => a.localeCompare(b, "en", { numeric: true });

  /**
   * Return a shared module of the front end, or null.
   *
   * Prefer the version in use, else the latest: a second copy of a singleton would have other tokens.
   *
   * @param {string} name
   */
  const use = async (name) => {
    const versions = shared[name] ?? {};
    const latest = Object.keys(versions).sort(byVersion).reverse();
    const version = latest.find((candidate) => versions[candidate].loaded) ?? latest[0];
    if (version === undefined) return null;
    versions[version].loaded = 1;
    return (await versions[version].get())();
  };

  /** @returns {Promise<any[]>} the plugins; none if the server has no such extension */
  const load = async () => {
    const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");
    const url = new URL(PLUGINS, new URL(config.baseUrl || "/", document.baseURI)).href;
    try {
      const { makePlugins } = await import(url);
      return await makePlugins(use);
    } catch (error) {
      console.warn(`${NAME}: cannot load the agent monitor; run jupyter server extension list to check that `
        + "htmlgraph_server is enabled.", error);
      return [];
    }
  };

  const win = /** @type {any} */ (window);
  (win._JUPYTERLAB ??= {})[NAME] = {
    /** @param {typeof shared} scope */
    init(scope) {
      shared = scope;
    },
    /** @param {string} module @returns {Promise<() => object>} */
    async get(module) {
      if (module !== "./extension") throw new Error(`${NAME} has no module ${module}`);
      const plugins = await load();
      return () => ({ __esModule: true, default: plugins });
    },
  };
})();
