// Where works lie on a map, as a grid or a scatter, in the map's own pixels; and which of them lie where.
"use strict";

artatlas.layouts = (() => {
  const {load, array, search} = artatlas;
  const loaded = new Map();  // name -> {name, size, left, top, width, height}; a grid has cols, rows and workAt too

  async function get(name) {
    if (loaded.has(name)) return loaded.get(name);
    const {places, sizes} = await load(`layouts/${name}`);
    const n = artatlas.index.n_works;
    const column = (from, offset) => {
      const values = new from.constructor(n);
      for (let i = 0; i < n; i++) values[i] = from[2 * i + offset];
      return values;
    };
    const [xy, wh] = [array(places, Int32Array), array(sizes, Uint16Array)];
    const layout = {
      name, size: artatlas.index.layouts[name].size,
      left: column(xy, 0), top: column(xy, 1), width: column(wh, 0), height: column(wh, 1),
    };
    if (name.endsWith("_grid")) {  // a table of cells says at once which work lies where
      const {cell_px: cell} = artatlas.index;
      [layout.cols, layout.rows] = layout.size.map((side) => side / cell);
      layout.workAt = new Int32Array(layout.rows * layout.cols).fill(-1);
      for (let i = 0; i < n; i++) {
        if (layout.left[i] < 0) continue;
        const [col, row] = cellOf(layout, i);
        layout.workAt[row * layout.cols + col] = i;
      }
    }
    loaded.set(name, layout);
    return layout;
  }

  const cellAt = (x, y) => [Math.floor(x / artatlas.index.cell_px), Math.floor(y / artatlas.index.cell_px)];
  const cellOf = (layout, number) => cellAt(layout.left[number], layout.top[number]);
  const isPlaced = (layout, number) => layout.left[number] >= 0;
  const center = (layout, number) => [layout.left[number] + layout.width[number] / 2, layout.top[number] + layout.height[number] / 2];

  function inCell(layout, col, row) {
    return col < 0 || row < 0 || col >= layout.cols || row >= layout.rows ? -1 : layout.workAt[row * layout.cols + col];
  }

  // All works that have a place, as one reads: of a grid by rows.
  const order = (layout) => (layout.workAt ? layout.workAt.filter((i) => i >= 0) : Int32Array.from(layout.left.keys()));

  // The work at a point; on a scatter the topmost, which is the last, and one that matches before all others.
  function workAt(layout, x, y) {
    if (layout.workAt) return inCell(layout, ...cellAt(x, y));
    let dimmed = -1;
    for (let i = layout.left.length - 1; i >= 0; i--) {
      if (!isPlaced(layout, i) || x < layout.left[i] || y < layout.top[i]
        || x >= layout.left[i] + layout.width[i] || y >= layout.top[i] + layout.height[i]) continue;
      if (search.isMatch(i)) return i;
      if (dimmed < 0) dimmed = i;
    }
    return dimmed;
  }

  // The nearest work in a direction (dx, dy), as arrow keys move: the same one where there is none.
  function neighbor(layout, number, dx, dy) {
    if (layout.workAt) {
      let [col, row] = cellOf(layout, number);
      for (;;) {
        col += dx;
        row += dy;
        if (col < 0 || row < 0 || col >= layout.cols || row >= layout.rows) return number;
        const other = inCell(layout, col, row);
        if (other >= 0 && search.isMatch(other)) return other;
      }
    }
    const [x, y] = center(layout, number);
    return best(layout, (i, ox, oy) => {
      const along = (ox - x) * dx + (oy - y) * dy;
      const across = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      return i !== number && along > 0 && across <= along ? along + 2 * across : Infinity;
    }, number);
  }

  const nearest = (layout, x, y) => best(layout, (_, ox, oy) => (ox - x) ** 2 + (oy - y) ** 2, -1);

  function best(layout, cost, none) {
    let [found, least] = [none, Infinity];
    for (let i = 0; i < layout.left.length; i++) {
      if (!isPlaced(layout, i) || !search.isMatch(i)) continue;
      const its = cost(i, ...center(layout, i));
      if (its < least) [found, least] = [i, its];
    }
    return found;
  }

  // Matching works whose centre lies within a polygon of points.
  function within(layout, polygon) {
    const found = [];
    for (let i = 0; i < layout.left.length; i++) {
      if (!isPlaced(layout, i) || !search.isMatch(i)) continue;
      const [x, y] = center(layout, i);
      let isIn = false;
      for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
        const [ax, ay] = polygon[a];
        const [bx, by] = polygon[b];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) isIn = !isIn;
      }
      if (isIn) found.push(i);
    }
    return found;
  }

  // Works that a rectangle touches, in the order of drawing, or null for more than `most`.
  function touching(layout, left, top, right, bottom, most) {
    const found = [];
    if (layout.workAt) {
      const [c0, r0] = cellAt(left, top).map((side) => Math.max(0, side));
      const [c1, r1] = [Math.min(layout.cols - 1, cellAt(right, 0)[0]), Math.min(layout.rows - 1, cellAt(0, bottom)[1])];
      if ((c1 - c0 + 1) * (r1 - r0 + 1) > most) return null;
      for (let row = r0; row <= r1; row++) {
        for (let col = c0; col <= c1; col++) {
          const i = inCell(layout, col, row);
          if (i >= 0) found.push(i);
        }
      }
      return found;
    }
    for (let i = 0; i < layout.left.length; i++) {
      if (layout.left[i] < right && layout.left[i] + layout.width[i] > left
        && layout.top[i] < bottom && layout.top[i] + layout.height[i] > top) {
        if (found.push(i) > most) return null;
      }
    }
    return found;
  }

  return {get, isPlaced, cellOf, order, workAt, neighbor, nearest, within, touching};
})();
