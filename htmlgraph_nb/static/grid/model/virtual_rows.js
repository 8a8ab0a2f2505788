// @ts-check
/**
 * Positions of rows in px, so that only visible rows need elements. Pure functions.
 *
 * Agents are laid out in lines of `columns`; each group header has its own line.
 */

/** @typedef {import("./layout.js").Row} Row */

/**
 * @typedef {object} Geometry
 * @property {number} columns agents per line
 * @property {number} itemHeight px
 * @property {number} gap px between lines
 * @property {number} groupHeight px of a group's header
 *
 * @typedef {object} Segment A header or a run of agents.
 * @property {number} row index of its first row
 * @property {number} n rows
 * @property {number} top px
 * @property {number} lines
 * @property {number} step px from line to line
 *
 * @typedef {object} Extent
 * @property {Segment[]} segments
 * @property {number} height px in total
 * @property {number} columns
 */

/**
 * @param {readonly Row[]} rows
 * @param {Geometry} geometry
 * @returns {Extent}
 */
export function measureRows(rows, { columns, itemHeight, gap, groupHeight }) {
  /** @type {Segment[]} */
  const segments = [];
  let top = 0;
  /** @param {number} row @param {number} n @param {boolean} isGroup */
  const add = (row, n, isGroup) => {
    if (n === 0) return;
    const lines = isGroup ? 1 : Math.ceil(n / columns);
    const step = (isGroup ? groupHeight : itemHeight) + gap;
    segments.push({ row, n, top, lines, step });
    top += lines * step;
  };
  let start = 0;
  for (let i = 0; i < rows.length; i += 1) {
    if (rows[i].kind !== "group") continue;
    add(start, i - start, false);
    add(i, 1, true);
    start = i + 1;
  }
  add(start, rows.length - start, false);
  return { segments, height: Math.max(0, top - gap), columns };
}

/** @param {Extent} extent @param {number} y px @returns {number} index of the segment at y */
function segmentAt({ segments }, y) {
  let low = 0;
  let high = segments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (segments[middle].top <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** @param {Extent} extent @param {number} row @returns {number} index of the segment of a row */
function segmentOf({ segments }, row) {
  let low = 0;
  let high = segments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (segments[middle].row <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * Return the rows between two vertical positions.
 *
 * @param {Extent} extent
 * @param {number} top px @param {number} bottom px
 * @returns {{first: number, last: number, offset: number}} rows [first, last), and the px position of the first
 */
export function rowsBetween(extent, top, bottom) {
  const { segments, columns } = extent;
  if (segments.length === 0) return { first: 0, last: 0, offset: 0 };
  const start = segments[segmentAt(extent, top)];
  const end = segments[segmentAt(extent, bottom)];
  const lineOf = (/** @type {Segment} */ segment, /** @type {number} */ y) =>
    Math.min(segment.lines - 1, Math.max(0, Math.floor((y - segment.top) / segment.step)));
  const line = lineOf(start, top);
  const lastLine = lineOf(end, bottom);
  return {
    first: start.row + line * columns,
    last: end.row + Math.min(end.n, (lastLine + 1) * columns),
    offset: start.top + line * start.step,
  };
}

/**
 * Return the position of a row.
 *
 * @param {Extent} extent @param {number} row index
 * @returns {{top: number, bottom: number}} px
 */
export function boundsOfRow(extent, row) {
  const segment = extent.segments[segmentOf(extent, row)];
  const top = segment.top + Math.floor((row - segment.row) / extent.columns) * segment.step;
  return { top, bottom: top + segment.step };
}

/**
 * Return the row of an agent one line above or below, in the same column if possible.
 *
 * @param {Extent} extent @param {readonly Row[]} rows
 * @param {number} row index @param {1 | -1} direction
 * @returns {number} index; unchanged if there is no such line
 */
export function rowBeyond({ segments, columns }, rows, row, direction) {
  let at = segmentOf({ segments, columns, height: 0 }, row);
  let segment = segments[at];
  const column = (row - segment.row) % columns;
  const line = Math.floor((row - segment.row) / columns) + direction;
  if (line >= 0 && line < segment.lines) {
    return Math.min(segment.row + line * columns + column, segment.row + segment.n - 1);
  }
  do {
    at += direction;
    segment = segments[at];
    if (segment === undefined) return row;
  } while (rows[segment.row].kind === "group");
  const index = direction > 0 ? column : (segment.lines - 1) * columns + column;
  return segment.row + Math.min(index, segment.n - 1);
}
