// @ts-check
/** What a person can do with alerts, as requests to the server. */

import { acknowledgeAlert, loadAlerts, muteAlerts } from "../api.js";
import { readTime } from "../agent_grid.js";

/** Alerts of a section that are loaded. */
const LOADED = 100;

/**
 * Return the actions of a list.
 *
 * @param {string} base the URL of the server's page
 * @param {import("./alert_list.js").AlertList} alerts
 */
export const alertActionsOf = (base, alerts) => ({
  /** @param {string} alertId */
  async acknowledge(alertId) {
    alerts.load({ alerts: [await acknowledgeAlert(base, alertId)] });
  },
  /** @param {number} seconds */
  async mute(seconds) {
    alerts.setMuted(readTime((await muteAlerts(base, seconds)).muted_until));
  },
  async load() {
    for (const body of await Promise.all([loadAlerts(base, "acknowledged", LOADED), loadAlerts(base, "past", LOADED)])) {
      alerts.load(body);
    }
  },
});
