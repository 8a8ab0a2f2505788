// @ts-check
/**
 * What JupyterLab and Notebook 7 load of an extension: a container of webpack's module federation,
 * by hand. The front end runs this file as a script, hands its shared modules to `init`, and asks
 * `get` for the module that `package.json` names.
 * https://webpack.js.org/concepts/module-federation/#dynamic-remote-containers
 *
 * The plugins themselves come from the server extension, whose files are of the same version as the
 * server that they talk to, and are never taken from an old cache.
 */
(() => {
  const NAME = "htmlgraph-nb";
  const PLUGINS = "htmlgraph/static/lab.js";
  /** Modules by name, then by version. @type {Record<string, Record<string, any>>} */
  let shared = {};

  /** @param {string} a @param {string} b */
  const byVersion = (a, b) => a.localeCompare(b, "en", { numeric: true });

  /**
   * Return a module of the front end's own; null where it has none of that name.
   *
   * Of several versions the one in use is taken, else the latest: a second copy of a singleton would
   * know none of the first one's tokens.
   *
   * @param {string} name
   */
  const use = async (name) => {
    const versions = shared[name] ?? {};
    const latest = Object.keys(versions).sort(byVersion).reverse();
    const version = latest.find((one) => versions[one].loaded) ?? latest[0];
    if (version === undefined) return null;
    versions[version].loaded = 1;
    return (await versions[version].get())();
  };

  /** @returns {Promise<any[]>} the plugins; none where the server has no such extension */
  const load = async () => {
    const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "{}");
    const url = new URL(PLUGINS, new URL(config.baseUrl || "/", document.baseURI)).href;
    try {
      const { makePlugins } = await import(url);
      return await makePlugins(use);
    } catch (error) {
      console.warn(`${NAME}: no agent monitor here; jupyter server extension list tells whether `
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
