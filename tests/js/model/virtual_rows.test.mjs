// Positions of rows and visible rows.

import assert from "node:assert/strict";
import { test } from "node:test";

import { boundsOfRow, measureRows, rowBeyond, rowsBetween } from "../../../htmlgraph_nb/static/grid/model/virtual_rows.js";

const agents = (n, from = 0) => Array.from({ length: n }, (_, i) => ({ kind: "agent", id: `a${from + i}`, depth: 0, children: 0 }));
const group = (key) => ({ kind: "group", key, label: key, n: 0, counts: {}, waiting: 0 });
const GEOMETRY = { columns: 3, itemHeight: 90, gap: 10, groupHeight: 20 };

/** Position of each row, counted one by one. */
function boundsOf(rows, { columns, itemHeight, gap, groupHeight }) {
  const bounds = [];
  let top = 0;
  let column = 0;
  for (const row of rows) {
    if (row.kind === "group") {
      if (column > 0) top += itemHeight + gap;
      column = 0;
      bounds.push({ top, bottom: top + groupHeight + gap });
      top += groupHeight + gap;
      continue;
    }
    bounds.push({ top, bottom: top + itemHeight + gap });
    column += 1;
    if (column === columns) {
      column = 0;
      top += itemHeight + gap;
    }
  }
  return bounds;
}

test("measureRows of no rows is empty", () => {
  const extent = measureRows([], GEOMETRY);
  assert.equal(extent.height, 0);
  assert.deepEqual(rowsBetween(extent, 0, 500), { first: 0, last: 0, offset: 0 });
});

test("row positions equal those counted one by one", () => {
  let seed = 5;
  const draw = (n) => (seed = (seed * 48_271) % 2_147_483_647) % n;
  for (let round = 0; round < 200; round += 1) {
    const geometry = { ...GEOMETRY, columns: 1 + draw(5), gap: draw(2) * 10 };
    const rows = draw(2) ? agents(draw(30)) : [];
    for (let g = draw(6); g > 0; g -= 1) rows.push(group(`g${g}`), ...agents(draw(9), g * 100));
    const extent = measureRows(rows, geometry);
    const bounds = boundsOf(rows, geometry);
    assert.deepEqual(rows.map((_, i) => boundsOfRow(extent, i)), bounds);
    assert.equal(extent.height, Math.max(0, ...bounds.map(({ bottom }) => bottom - geometry.gap)));
    const top = draw(extent.height + 50);
    const bottom = top + draw(400);
    const { first, last, offset } = rowsBetween(extent, top, bottom);
    const visibleRows = bounds.map((bound, i) => i).filter((i) => bounds[i].top < bottom && bounds[i].bottom > top);
    for (const i of visibleRows) assert.ok(first <= i && i < last, `row ${i} of ${rows.length} in sight, ${first}..${last} drawn`);
    if (rows.length > 0) assert.equal(offset, bounds[first].top);
  }
});

test("rowsBetween selects few of ten thousand rows", () => {
  const extent = measureRows(agents(10_000), { columns: 4, itemHeight: 200, gap: 10, groupHeight: 30 });
  const { first, last } = rowsBetween(extent, 100_000, 100_800);
  assert.ok(last - first <= 5 * 4, `${last - first}`);
});

test("rowBeyond keeps the column across group headers", () => {
  const rows = [group("x"), ...agents(5), group("y"), ...agents(2, 10), group("z"), group("w"), ...agents(4, 20)];
  const extent = measureRows(rows, GEOMETRY);
  const step = (id, direction) => rows[rowBeyond(extent, rows, rows.findIndex((row) => row.id === id), direction)].id;
  assert.equal(step("a1", 1), "a4");
  assert.equal(step("a2", 1), "a4");
  assert.equal(step("a4", 1), "a11");
  assert.equal(step("a10", -1), "a3");
  assert.equal(step("a11", 1), "a21");
  assert.equal(step("a20", -1), "a10");
  assert.equal(step("a0", -1), "a0");
  assert.equal(step("a23", 1), "a23");
});
