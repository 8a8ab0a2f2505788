// @ts-check
/** The header of a page: title or links to the other pages, and the connection. */

import { h } from "./dom.js";

/**
 * @typedef {object} Navigation Links to the pages of the server.
 * @property {{name: string, label: string, href: string}[]} pages
 * @property {string} current name of the page shown
 */

/**
 * Create the header.
 *
 * @param {Document} doc
 * @param {object} options
 * @param {string} options.title heading
 * @param {boolean} [options.page] whether it is the heading of the document
 * @param {Navigation} [options.nav] shown in place of the heading, which remains for screen readers
 * @param {string} [options.logo] URL of an image
 * @param {HTMLElement[]} [options.beside] shown after the title, or after the link to this page
 * @param {HTMLElement[]} [options.end] shown after the connection
 */
export function createHead(doc, { title, page = false, nav, logo, beside = [], end = [] }) {
  const text = h(doc, "span", { class: "hg-connection-text" }, [""]);
  const detail = h(doc, "span", { class: "hg-connection-detail" }, [""]);
  const image = logo ? [h(doc, "img", { class: "hg-logo", src: logo, alt: "htmlgraph-nb", width: "18", height: "18" })] : [];
  const heading = nav === undefined
    ? [h(doc, page ? "h1" : "div", { class: "hg-title" }, [...image, title, " ", ...beside])]
    : [h(doc, page ? "h1" : "div", { class: "hg-hidden" }, [title]), h(doc, "div", { class: "hg-title" }, [...image, createNav(doc, nav, beside)])];
  const head = h(doc, "header", { class: "hg-head" }, [
    ...heading,
    h(doc, "div", { class: "hg-connection" }, [h(doc, "span", { class: "hg-dot", "aria-hidden": "true" }), text, detail, ...end]),
  ]);
  return { head, text, detail };
}

/** @param {Document} doc @param {Navigation} nav @param {HTMLElement[]} beside */
function createNav(doc, { pages, current }, beside) {
  return h(doc, "nav", { class: "hg-nav", "aria-label": "Pages" }, pages.map(({ name, label, href }) => {
    const isCurrent = name === current;
    return h(doc, "a", { class: "hg-page-link", href, "data-page-link": name, ...(isCurrent ? { "aria-current": "page" } : {}) },
      isCurrent && beside.length > 0 ? [label, " ", ...beside] : [label]);
  }));
}
