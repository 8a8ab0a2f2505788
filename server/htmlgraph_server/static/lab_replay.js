// @ts-check
/** Opens a new notebook in JupyterLab with the code of a replay, and runs it. */

const CREATE = "notebook:create-new";
const RUN = "notebook:run-cell";

/**
 * @param {any} app JupyterLab's application
 * @param {string} code of the first cell
 * @throws {Error} the front end has no notebooks
 */
export async function openReplay(app, code) {
  if (!app.commands.hasCommand(CREATE)) throw new Error("this front end has no notebooks");
  await app.serviceManager.kernelspecs.ready;
  const panel = await app.commands.execute(CREATE, { kernelName: app.serviceManager.kernelspecs.specs?.default });
  await panel.context.ready;
  panel.content.activeCell.model.sharedModel.setSource(code);
  await panel.sessionContext.ready;
  app.shell.activateById(panel.id);
  await app.commands.execute(RUN);
}
