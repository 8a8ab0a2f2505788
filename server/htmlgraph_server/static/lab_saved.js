// @ts-check
/**
 * Shows the saved table of a grid in a notebook whose kernel has ended.
 *
 * The output of a grid holds the widget and an HTML table of the same agents. JupyterLab prefers the
 * widget, and its renderer (`@jupyter-widgets/jupyterlab-manager`) writes "Error displaying widget:
 * model not found" if no kernel has the model. This module keeps that renderer, and puts the table
 * into its element while it has no widget.
 */

const WIDGET = "application/vnd.jupyter.widget-view+json";
const HTML = "text/html";
/** Class of the table; see widget/snapshot.py. */
const SAVED = 'class="htmlgraph-snapshot"';
const NOTE = "This is the last saved state: no kernel has the live grid. Run the cell to see the agents live.";

/**
 * Make a registry of renderers, and those cloned from it (one for each notebook), show saved tables.
 *
 * @param {any} rendermime `IRenderMimeRegistry`
 */
export function showSavedTables(rendermime) {
  const { createRenderer, clone } = rendermime;
  /** @param {string} mimeType @param {any[]} more */
  rendermime.createRenderer = (mimeType, ...more) => {
    const renderer = createRenderer.call(rendermime, mimeType, ...more);
    return mimeType === WIDGET ? keepTable(renderer, () => createRenderer.call(rendermime, HTML)) : renderer;
  };
  /** @param {any[]} options */
  rendermime.clone = (...options) => showSavedTables(clone.apply(rendermime, options));
  return rendermime;
}

/**
 * @param {any} renderer the renderer of widgets, a Lumino panel
 * @param {() => any} createTable returns a renderer of HTML
 */
function keepTable(renderer, createTable) {
  const { renderModel } = renderer;
  /** @param {any} model the output */
  renderer.renderModel = async (model) => {
    // It writes "Loading widget..." before its first await, and removes it when it has the widget.
    let loading = true;
    const loaded = renderModel.call(renderer, model).finally(() => { loading = false; });
    const html = model.data[HTML];
    if (typeof html !== "string" || !html.includes(SAVED)) return loaded;
    const table = createTable();
    renderer.disposed.connect(() => table.dispose());
    await table.renderModel(model);
    if (loading) renderer.node.replaceChildren(table.node);
    await loaded;
    const closed = model.data[WIDGET]?.model_id === "";
    if (renderer.isDisposed || renderer.widgets.length > 0 || closed) return table.dispose();
    const note = renderer.node.ownerDocument.createElement("p");
    note.className = "htmlgraph-nb-saved";
    note.textContent = NOTE;
    renderer.node.replaceChildren(table.node, note);
  };
  return renderer;
}
