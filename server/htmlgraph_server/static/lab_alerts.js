// @ts-check
/** Alerts in JupyterLab and Notebook 7: notifications of the front end, and their settings. */

/** @typedef {import("./alerts/alert_list.js").Alert} Alert */
/** @typedef {import("./alerts/alert_list.js").AlertList} AlertList */

/**
 * @typedef {object} LabAlertSettings
 * @property {boolean} critical whether critical alerts notify
 * @property {boolean} warning
 * @property {boolean} info
 * @property {boolean} mute whether nothing notifies
 */

/** @type {LabAlertSettings} */
const DEFAULTS = { critical: true, warning: true, info: true, mute: false };
const TYPES = { critical: "error", warning: "warning", info: "info" };
/** How long a notification stays; a critical one until it is closed. Its list keeps all. */
const SHOWN_MS = 12_000;
/** More at once are one notification. */
const SINGLE_MAX = 3;

/** Return the settings; invalid ones have their defaults. @param {any} composite @returns {LabAlertSettings} */
export function readLabAlertSettings(composite) {
  const valid = Object.entries(composite ?? {}).filter(([name, value]) => name in DEFAULTS && typeof value === "boolean");
  return { ...DEFAULTS, ...Object.fromEntries(valid) };
}

/**
 * Return a function that returns the settings of the plugin as they are now.
 *
 * @param {any} registry `ISettingRegistry`; undefined if the front end has none
 * @param {string} plugin id
 * @returns {Promise<() => LabAlertSettings>}
 */
export async function loadLabAlertSettings(registry, plugin) {
  try {
    const settings = await registry.load(plugin);
    return () => readLabAlertSettings(settings.composite);
  } catch (error) {
    // No registry, or the schema is not installed, as in a checkout.
    console.debug("htmlgraph-nb: alerts have their default settings:", error);
    return () => DEFAULTS;
  }
}

/**
 * Show alerts as notifications of the front end.
 *
 * @param {AlertList} alerts
 * @param {any} Notification of `@jupyterlab/apputils`
 * @param {object} options
 * @param {() => LabAlertSettings} options.settings
 * @param {(agentId: string) => void} options.onOpen shows an agent; "" shows the alerts
 * @param {(alertId: string) => Promise<void>} options.onAcknowledge
 * @param {(changed: Alert[]) => Alert[]} options.worth returns those that are worth a notification
 * @param {(alert: Alert) => string} options.describe returns what is shown besides the message
 */
export function showLabAlerts(alerts, Notification, { settings, onOpen, onAcknowledge, worth, describe }) {
  /** Ids of the notifications by alert; "" if it shares one. @type {Map<string, string>} */
  const shown = new Map();

  /** @param {string} text @param {Alert} alert @param {any[]} actions */
  const emit = (text, { severity }, actions) =>
    Notification.emit(text, TYPES[severity], { autoClose: severity === "critical" ? false : SHOWN_MS, actions });
  /** @param {string} agentId */
  const open = (agentId) => ({ label: "Open", displayType: "accent", callback: () => onOpen(agentId) });

  /** @param {Alert[]} changed */
  const take = (changed) => {
    for (const { id, state, acknowledgedAt } of changed) {
      const notification = shown.get(id);
      if (notification === undefined || (state === "firing" && acknowledgedAt === null)) continue;
      shown.delete(id);
      if (notification !== "") Notification.dismiss(notification);
    }
    const current = settings();
    if (current.mute) return;
    const list = worth(changed).filter(({ id, severity }) => current[severity] && !shown.has(id));
    if (list.length > SINGLE_MAX) {
      emit(`${list.length} alerts, the first: ${list[0].message}`, list[0], [open("")]);
      for (const { id } of list) shown.set(id, "");
      return;
    }
    for (const alert of list) {
      const acknowledge = {
        label: "Acknowledge",
        callback: () => onAcknowledge(alert.id).catch((error) => {
          Notification.error(`The alert could not be acknowledged: ${error.message}`, { autoClose: SHOWN_MS });
        }),
      };
      shown.set(alert.id, emit(`${alert.message}\n${describe(alert)}`, alert, [open(alert.agentId), acknowledge]));
    }
  };
  take(alerts.section("firing"));
  return alerts.subscribe(take);
}
