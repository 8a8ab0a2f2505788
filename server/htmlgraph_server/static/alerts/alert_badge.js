// @ts-check
/** The number of alerts on the icon of the page. */

import { badgeText } from "./alert_texts.js";

const WIDTH = 11;

/**
 * Return the SVG text of an icon with a badge in its corner.
 *
 * @param {string} svg the icon on a 32 × 32 grid
 * @param {number} n number of alerts; 0: no badge
 */
export function badgeIcon(svg, n) {
  const text = badgeText(n);
  if (text === "") return svg;
  const width = WIDTH + 6 * text.length;
  const badge = `<g><rect x="${32 - width}" width="${width}" height="18" rx="9" fill="#d92d20" stroke="#fff" stroke-width="1.5"/>`
    + `<text x="${32 - width / 2}" y="13.6" fill="#fff" font-family="sans-serif" font-size="13" font-weight="700" text-anchor="middle">${text}</text></g>`;
  return svg.replace("</svg>", `${badge}</svg>`);
}

/**
 * Keep the number of alerts on the icon of the document.
 *
 * @param {Document} doc
 * @param {import("./alert_list.js").AlertList} alerts
 */
export function keepBadge(doc, alerts) {
  const link = /** @type {HTMLLinkElement | null} */ (doc.querySelector('link[rel="icon"]'));
  if (link === null) return;
  const original = link.href;
  let shown = 0;
  /** @type {Promise<string> | null} */
  let svg = null;
  alerts.subscribe(async () => {
    const n = Math.min(alerts.count, 100);
    if (n === shown) return;
    shown = n;
    svg ??= fetch(original).then((response) => response.text());
    const text = await svg.catch(() => "");
    // Another number may have followed meanwhile.
    if (n === shown && text !== "") link.href = n === 0 ? original : `data:image/svg+xml,${encodeURIComponent(badgeIcon(text, n))}`;
  });
}
