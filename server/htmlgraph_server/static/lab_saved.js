// @ts-check
/**
 * Shows the saved table of a grid in a notebook whose kernel has ended.
 *
 * The output of a grid holds the widget and an HTML table of the same agents. JupyterLab prefers the
 * widget, and its renderer (`@jupyter-widgets/jupyterlab-manager`) writes "Error displaying widget:
 * model not found" if no kernel has the model. This module keeps that renderer, and puts the table
 * into its element while it has no widget. Containers such as HBox save no table; a sentence says so.
 */

const WIDGET = "application/vnd.jupyter.widget-view+json";
const HTML = "text/html";
const TEXT = "text/plain";
/** Class of the table; see widget/snapshot.py. */
const SAVED = 'class="htmlgraph-snapshot"';
const NOTE = "This is the last saved state: no kernel has the live grid. Run the cell to see the agents live.";
const BOX_NOTE = "A live grid in a box was here. Containers of widgets save no table: run the cell to see the agents "
  + "live, or show grid.snapshot() in a cell to keep their last state.";

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
    if (typeof html !== "string" || !html.includes(SAVED)) {
      await loaded;
      if (!renderer.isDisposed && renderer.widgets.length === 0 && isBoxWithGrid(model.data)) {
        renderer.node.replaceChildren(note(renderer, BOX_NOTE));
      }
      return;
    }
    const table = createTable();
    renderer.disposed.connect(() => table.dispose());
    await table.renderModel(model);
    if (loading) renderer.node.replaceChildren(table.node);
    await loaded;
    const closed = model.data[WIDGET]?.model_id === "";
    if (renderer.isDisposed || renderer.widgets.length > 0 || closed) return table.dispose();
    renderer.node.replaceChildren(table.node, note(renderer, NOTE));
  };
  return renderer;
}

/**
 * Return whether an output without a table is that of a container of grids, such as an HBox.
 *
 * ipywidgets saves only a line of text for it, which names what it contains.
 *
 * @param {Record<string, unknown>} data
 */
function isBoxWithGrid(data) {
  const text = data[TEXT];
  return typeof text === "string" && text.includes("children=(") && text.includes("AgentGrid(");
}

/** @param {any} renderer @param {string} text */
function note(renderer, text) {
  const line = renderer.node.ownerDocument.createElement("p");
  line.className = "htmlgraph-nb-saved";
  line.textContent = text;
  return line;
}
