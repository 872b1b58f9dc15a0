// The map: OpenSeadragon draws the tiles, a canvas above it what depends on the visitor.
"use strict";

artatlas.map = (() => {
  const {state, set, listen, byId, load, array, search, colors} = artatlas;
  const SHARP_AT = 1.25;  // screen pixels for a pixel of a tile, above which single pictures are drawn instead
  const MOST_SHARP = 80;  // pictures at a time
  const BAR_FROM = 44;  // px of a work on the screen; larger ones get a bar of colour, smaller ones a tint
  const EASY = 3000;  // works on the screen that are drawn one by one while the map moves; above that, from a small picture
  const RASTER = 1024;  // px, the longer side of that small picture of a scatter
  const DIM = 0.84;
  const TINT = 0.6;
  const ACCENT = "#ffd166";

  const layouts = new Map();  // name -> {name, size, left, top, width, height, order}
  const images = new Map();  // url -> Image, the latest ones drawn
  const canvas = byId("overlay");
  const context = canvas.getContext("2d");
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  let viewer = null;
  let item = null;  // the TiledImage on view
  let layout = null;  // the layout on view
  let raster = null;  // what the small picture shows, remade when matches or colours change
  let hovered = -1;
  let isHome = true;  // all works are on view, and stay so when the window changes
  let isZooming = false;
  let zoom = 0;  // at the last drawing
  let lasso = null;  // [[x, y], ...] screen px, drawn while selecting

  const nameOf = (map, kind) => `${map}_${kind}`;

  async function layoutOf(name) {
    if (layouts.has(name)) return layouts.get(name);
    const {places, sizes} = await load(`layouts/${name}`);
    const xy = array(places, Int32Array);
    const wh = array(sizes, Uint16Array);
    const n = artatlas.index.n_works;
    const column = (from, offset, Type) => Type.from({length: n}, (_, i) => from[2 * i + offset]);
    const found = {
      name, size: artatlas.index.layouts[name].size,
      left: column(xy, 0, Int32Array), top: column(xy, 1, Int32Array),
      width: column(wh, 0, Uint16Array), height: column(wh, 1, Uint16Array),
    };
    if (name.endsWith("_grid")) {  // a table of cells says at once which work lies where
      const {cell_px: cell} = artatlas.index;
      [found.cols, found.rows] = found.size.map((side) => side / cell);
      found.workAt = new Int32Array(found.rows * found.cols).fill(-1);
      for (let i = 0; i < n; i++) {
        if (found.left[i] >= 0) found.workAt[Math.floor(found.top[i] / cell) * found.cols + Math.floor(found.left[i] / cell)] = i;
      }
    }
    layouts.set(name, found);
    return found;
  }

  function tileSource(name) {
    const {tile_px: tileSize, overlap: tileOverlap, format, layouts: all} = artatlas.index;
    const {size: [width, height], tiles, version} = all[name];
    const maxLevel = tiles.length - 1;
    const there = tiles.map((bits) => (bits === null ? null : artatlas.bytes(bits)));
    const exists = (level, x, y) => {
      if (level < 0 || level > maxLevel) return false;
      const [cols, rows] = [width, height].map((side) => Math.ceil(Math.ceil(side / 2 ** (maxLevel - level)) / tileSize));
      if (x < 0 || y < 0 || x >= cols || y >= rows) return false;
      const at = y * cols + x;
      return there[level] === null || (there[level][at >> 3] >> (7 - (at & 7)) & 1) === 1;
    };
    return new OpenSeadragon.TileSource({
      width, height, tileSize, tileOverlap, maxLevel,
      minLevel: Math.max(0, maxLevel - Math.ceil(Math.log2(Math.max(1, Math.max(width, height) / tileSize)))),
      tileExists: exists,
      getTileUrl: (level, x, y) => `tiles/${name}/${level}/${x}_${y}.${format}?${version}`,
    });
  }

  function open() {
    // Changing maps drops tiles on their way; what it says of that would only worry a visitor who looks.
    const quiet = () => {};
    OpenSeadragon.console = {log: quiet, debug: quiet, info: quiet, warn: quiet, assert: quiet, error: console.error.bind(console)};
    viewer = OpenSeadragon({
      element: byId("osd"), drawer: "canvas", crossOriginPolicy: false, showNavigationControl: false,
      imageLoaderLimit: 8, maxImageCacheCount: 300, minZoomImageRatio: 0.7, maxZoomPixelRatio: 8, visibilityRatio: 0.25,
      zoomPerScroll: 1.3, animationTime: isCalm.matches ? 0 : 0.7, blendTime: isCalm.matches ? 0 : 0.15, springStiffness: 8,
      immediateRender: true, gestureSettingsMouse: {clickToZoom: false, dblClickToZoom: true},
      gestureSettingsTouch: {clickToZoom: false, dblClickToZoom: true, pinchRotate: false, flickEnabled: !isCalm.matches},
      gestureSettingsPen: {clickToZoom: false}, keyboardNavEnabled: false, drawBackground: true,
      subPixelRoundingForTransparency: OpenSeadragon.SUBPIXEL_ROUNDING_OCCURRENCES.NEVER,
    });
    viewer.innerTracker.keyHandler = viewer.innerTracker.keyDownHandler = null;  // the page has keys of its own
    viewer.canvas.tabIndex = -1;
    byId("stage").style.background = artatlas.index.background;
    viewer.addHandler("update-viewport", draw);
    viewer.addHandler("resize", () => requestAnimationFrame(() => {
      if (isHome && layout) home(true);
      draw();
    }));
    for (const moved of ["canvas-drag", "canvas-scroll", "canvas-pinch", "canvas-double-click"]) {
      viewer.addHandler(moved, () => { isHome = false; });
    }
    viewer.addHandler("animation-finish", () => {
      requestAnimationFrame(draw);
      artatlas.main.rememberView();
    });
    viewer.addHandler("canvas-click", (event) => {
      if (event.quick) click(event.position);
    });
    const surface = byId("osd");
    surface.addEventListener("pointermove", (event) => event.pointerType === "mouse" && hover(event));
    surface.addEventListener("pointerleave", () => setHovered(-1));
    new ResizeObserver(() => requestAnimationFrame(draw)).observe(byId("stage"));
  }

  // Shows a map in a layout. What is chosen stays where it is on the screen, and as large; else all is shown.
  async function show(view = null) {
    const name = nameOf(state.map, state.layout);
    const next = await layoutOf(name);
    if (name !== nameOf(state.map, state.layout)) return;
    const before = layout && state.work !== null ? boxOnScreen(state.work) : null;
    const old = item;
    await new Promise((resolve, reject) => {
      viewer.addTiledImage({
        tileSource: tileSource(name), success: ({item: added}) => { item = added; resolve(); },
        error: ({message}) => reject(new Error(message)),
      });
    });
    if (old) viewer.world.removeItem(old);
    layout = next;
    raster = null;
    viewer.viewport.minZoomImageRatio = 0.7;
    if (view) restore(view);
    else if (before && has(state.work)) keep(state.work, before);
    else home(true);
    byId("waiting").hidden = true;
    draw();
    artatlas.main.rememberView();
  }

  const has = (number) => layout !== null && number !== null && layout.left[number] >= 0;

  // Geometry: the map's pixels to the screen's, relative to the map's corner.
  function scale() {
    const {viewport} = viewer;
    const origin = viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const unit = viewport.pixelFromPoint(new OpenSeadragon.Point(1, 0), true).x - origin.x;
    return {x: origin.x, y: origin.y, k: unit / layout.size[0]};
  }

  function boxOnScreen(number, at = scale()) {
    return {
      x: at.x + layout.left[number] * at.k, y: at.y + layout.top[number] * at.k,
      width: layout.width[number] * at.k, height: layout.height[number] * at.k,
    };
  }

  function home(isAtOnce = isCalm.matches) {
    const [width, height] = layout.size;
    const margin = 0.02 * Math.max(width, height);
    place({x: -margin, y: -margin, width: width + 2 * margin, height: height + 2 * margin}, isAtOnce);
    isHome = true;
  }

  // Left, top, width, height of the cell of a work, to whole pixels: cells side by side leave no lines between them.
  function cellOnScreen(number, at) {
    const {cell_px: cell} = artatlas.index;
    const edge = (side, from) => Math.round(from + side * cell * at.k);
    const [col, row] = [Math.floor(layout.left[number] / cell), Math.floor(layout.top[number] / cell)];
    const [x, y] = [edge(col, at.x), edge(row, at.y)];
    return [x, y, edge(col + 1, at.x) - x, edge(row + 1, at.y) - y];
  }

  function place(rectangle, isAtOnce = true) {  // map px
    isHome = false;
    const w = layout.size[0];
    viewer.viewport.fitBounds(new OpenSeadragon.Rect(rectangle.x / w, rectangle.y / w, rectangle.width / w, rectangle.height / w), isAtOnce);
  }

  // The part of the stage that no drawer or panel covers.
  function room() {
    const stage = byId("stage").getBoundingClientRect();
    const free = {left: 0, top: 0, right: stage.width, bottom: stage.height};
    for (const id of ["panel", "filters"]) {
      const box = byId(id).getBoundingClientRect();
      if (byId(id).hidden || !box.width) continue;
      if (box.width > stage.width * 0.9) free.bottom = Math.min(free.bottom, box.top - stage.top);
      else if (box.left - stage.left > stage.width / 2) free.right = Math.min(free.right, box.left - stage.left);
      else if (box.right - stage.left < stage.width * 0.7) free.left = Math.max(free.left, box.right - stage.left);
    }
    return free;
  }

  function keep(number, before) {
    const {clientWidth: width, clientHeight: height} = byId("stage");
    const free = room();
    const k = Math.max(before.width, before.height) / Math.max(layout.width[number], layout.height[number]);
    const target = isWithin(before, free, 0) ? {x: before.x + before.width / 2, y: before.y + before.height / 2}
      : {x: (free.left + free.right) / 2, y: (free.top + free.bottom) / 2};
    place({
      x: layout.left[number] + layout.width[number] / 2 - target.x / k,
      y: layout.top[number] + layout.height[number] / 2 - target.y / k, width: width / k, height: height / k,
    });
  }

  // Moves so that a work is well in view; large enough to see, where it was tiny.
  function goTo(number) {
    if (!has(number)) return;
    const {clientWidth: width, clientHeight: height} = byId("stage");
    const free = room();
    const box = boxOnScreen(number);
    const isLarge = Math.max(box.width, box.height) >= 48;
    if (isLarge && isWithin(box, free, 16)) {
      draw();
      return;
    }
    const side = Math.max(layout.width[number], layout.height[number]);
    const k = isLarge ? scale().k : Math.min(140, (free.right - free.left) / 2, (free.bottom - free.top) / 2) / side;
    place({
      x: layout.left[number] + layout.width[number] / 2 - (free.left + free.right) / 2 / k,
      y: layout.top[number] + layout.height[number] / 2 - (free.top + free.bottom) / 2 / k,
      width: width / k, height: height / k,
    }, isCalm.matches);
  }

  const isWithin = (box, free, margin) => box.x >= free.left + margin && box.y >= free.top + margin
    && box.x + box.width <= free.right - margin && box.y + box.height <= free.bottom - margin;

  // Moves no further than it takes for a work to lie beside the panel that has opened, not under it.
  function reveal(number) {
    if (!has(number)) return;
    const free = room();
    const box = boxOnScreen(number);
    const margin = 16;
    const shift = (from, length, low, high) => Math.max(low + margin - from, 0) || Math.min(high - margin - from - length, 0);
    const dx = shift(box.x, box.width, free.left, free.right);
    const dy = shift(box.y, box.height, free.top, free.bottom);
    if (!dx && !dy) return;
    isHome = false;
    viewer.viewport.panBy(viewer.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(-dx, -dy)), isCalm.matches);
  }

  // What part of the map is on view, as shares of its width: the same on a screen of any size.
  function view() {
    if (!layout) return null;
    const bounds = viewer.viewport.getBounds();
    return [bounds.x + bounds.width / 2, bounds.y + bounds.height / 2, bounds.width].map((value) => Number(value.toFixed(5)));
  }

  function restore([x, y, width]) {
    isHome = false;
    const ratio = byId("stage").clientHeight / byId("stage").clientWidth;
    viewer.viewport.fitBounds(new OpenSeadragon.Rect(x - width / 2, y - width * ratio / 2, width, width * ratio), true);
  }

  // Which work lies under a point of the screen; on a scatter the topmost, which is the last.
  function workAt(point, mayBeDimmed = true) {
    if (!layout) return -1;
    const at = scale();
    const x = (point.x - at.x) / at.k;
    const y = (point.y - at.y) / at.k;
    const isIn = (i) => layout.left[i] >= 0 && x >= layout.left[i] && y >= layout.top[i]
      && x < layout.left[i] + layout.width[i] && y < layout.top[i] + layout.height[i];
    if (layout.workAt) {
      const {cell_px: cell} = artatlas.index;
      const [col, row] = [Math.floor(x / cell), Math.floor(y / cell)];
      if (col < 0 || row < 0 || col >= layout.cols || row >= layout.rows) return -1;
      return layout.workAt[row * layout.cols + col];
    }
    let dimmed = -1;
    for (let i = layout.left.length - 1; i >= 0; i--) {
      if (isIn(i)) {
        if (search.isMatch(i)) return i;
        if (dimmed < 0) dimmed = i;
      }
    }
    return mayBeDimmed ? dimmed : -1;
  }

  function click(point) {
    const number = workAt(point);
    setHovered(-1);
    if (number < 0) set({isOpen: false});
    else if (number === state.work && state.isOpen) set({isOpen: false});
    else set({work: number, isOpen: true});
  }

  function hover(event) {
    const corner = byId("stage").getBoundingClientRect();
    const point = {x: event.clientX - corner.left, y: event.clientY - corner.top};
    setHovered(event.buttons ? -1 : workAt(point), point);
  }

  async function setHovered(number, point = null) {
    const tip = byId("tip");
    if (number !== hovered) {
      hovered = number;
      byId("osd").style.cursor = number >= 0 ? "pointer" : "";
      tip.hidden = true;
      draw();
    }
    if (number < 0) return;
    const work = artatlas.known(number) ?? await artatlas.work(number);
    if (hovered !== number) return;
    tip.replaceChildren(artatlas.make("strong", {textContent: work.title, dir: "auto"}));
    if (work.caption) tip.append(artatlas.make("span", {textContent: work.caption, dir: "auto"}));
    tip.hidden = false;
    const stage = byId("stage");
    const left = Math.min(point.x + 14, stage.clientWidth - tip.offsetWidth - 8);
    const top = point.y + 18 + tip.offsetHeight > stage.clientHeight ? point.y - tip.offsetHeight - 10 : point.y + 18;
    tip.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
  }

  // The nearest work in a direction (dx, dy), as arrow keys move.
  function neighbor(number, dx, dy) {
    if (layout.workAt) {
      const {cell_px: cell} = artatlas.index;
      let col = Math.floor(layout.left[number] / cell);
      let row = Math.floor(layout.top[number] / cell);
      for (;;) {
        col += dx;
        row += dy;
        if (col < 0 || row < 0 || col >= layout.cols || row >= layout.rows) return number;
        const other = layout.workAt[row * layout.cols + col];
        if (other >= 0 && search.isMatch(other)) return other;
      }
    }
    const center = (i) => [layout.left[i] + layout.width[i] / 2, layout.top[i] + layout.height[i] / 2];
    const [x, y] = center(number);
    let best = number;
    let least = Infinity;
    for (let i = 0; i < layout.left.length; i++) {
      if (i === number || layout.left[i] < 0 || !search.isMatch(i)) continue;
      const [ox, oy] = center(i);
      const along = (ox - x) * dx + (oy - y) * dy;
      const across = Math.abs((ox - x) * dy) + Math.abs((oy - y) * dx);
      if (along > 0 && across <= along && along + 2 * across < least) {
        least = along + 2 * across;
        best = i;
      }
    }
    return best;
  }

  function nearestToCenter() {
    const {clientWidth: width, clientHeight: height} = byId("stage");
    const at = scale();
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < layout.left.length; i++) {
      if (layout.left[i] < 0 || !search.isMatch(i)) continue;
      const dx = at.x + (layout.left[i] + layout.width[i] / 2) * at.k - width / 2;
      const dy = at.y + (layout.top[i] + layout.height[i] / 2) * at.k - height / 2;
      if (dx * dx + dy * dy < least) {
        least = dx * dx + dy * dy;
        best = i;
      }
    }
    return best;
  }

  // Drawing

  function draw() {
    const stage = byId("stage");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!layout || !width) return;
    const at = scale();
    isZooming = Math.abs(at.k - zoom) > 1e-9;
    zoom = at.k;
    if (isZooming) byId("tip").hidden = true;  // another work may lie under the pointer now
    const visible = onScreen(at, width, height);
    if (visible && at.k * ratio > SHARP_AT && visible.length <= MOST_SHARP) drawSharp(visible, at);
    if (search.matches || colors.current) {
      if (visible) drawEach(visible, at, width, height);
      else drawRaster(at);
    }
    if (visible) for (const i of visible) if (state.selection.has(i)) outline(boxOnScreen(i, at), "#fff", 2, 3);
    if (!visible) for (const i of state.selection) if (has(i)) outline(boxOnScreen(i, at), "#fff", 1, 0);
    if (hovered >= 0 && has(hovered)) outline(boxOnScreen(hovered, at), "rgba(255,255,255,.85)", 1.5, 1);
    if (has(state.work)) outline(boxOnScreen(state.work, at), ACCENT, 3, 2);
    if (lasso) drawLasso();
  }

  // Works on the screen in the order of drawing, or null for too many.
  function onScreen(at, width, height) {
    const [left, top] = [-at.x / at.k, -at.y / at.k];
    const [right, bottom] = [(width - at.x) / at.k, (height - at.y) / at.k];
    const found = [];
    if (layout.workAt) {
      const {cell_px: cell} = artatlas.index;
      const [c0, r0] = [left, top].map((side) => Math.max(0, Math.floor(side / cell)));
      const c1 = Math.min(layout.cols, Math.ceil(right / cell));
      const r1 = Math.min(layout.rows, Math.ceil(bottom / cell));
      if ((c1 - c0) * (r1 - r0) > EASY) return null;
      for (let row = r0; row < r1; row++) {
        for (let col = c0; col < c1; col++) {
          const i = layout.workAt[row * layout.cols + col];
          if (i >= 0) found.push(i);
        }
      }
      return found;
    }
    for (let i = 0; i < layout.left.length; i++) {
      if (layout.left[i] < right && layout.left[i] + layout.width[i] > left
        && layout.top[i] < bottom && layout.top[i] + layout.height[i] > top) {
        if (found.push(i) > EASY) return null;
      }
    }
    return found;
  }

  const rgba = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;
  const colorOf = (number) => colors.current && colors.current.palette[colors.current.codes[number]];

  function ground(alpha) {
    const hex = artatlas.index.background;
    return rgba([1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)), alpha);
  }

  function drawEach(visible, at, width, height) {
    const isScatter = !layout.workAt;
    if (isScatter && search.matches) {  // a veil over all, with holes where works match
      context.fillStyle = ground(DIM);
      context.fillRect(0, 0, width, height);
    }
    context.fillStyle = ground(DIM);
    for (const i of visible) {
      const box = boxOnScreen(i, at);
      if (search.isMatch(i)) {
        if (isScatter && search.matches) context.clearRect(box.x, box.y, box.width, box.height);
      } else if (!isScatter) {
        context.fillRect(...cellOnScreen(i, at));
      }
    }
    if (!colors.current) return;
    for (const i of visible) {
      if (!search.isMatch(i)) continue;
      const box = boxOnScreen(i, at);
      if (Math.max(box.width, box.height) >= BAR_FROM) {
        context.fillStyle = rgba(colorOf(i));
        const bar = Math.max(4, box.height * 0.07);
        context.fillRect(box.x, box.y + box.height - bar, box.width, bar);
      } else {
        context.fillStyle = rgba(colorOf(i), TINT);
        context.fillRect(box.x, box.y, box.width, box.height);
      }
    }
  }

  // With many works on the screen: a picture made once, whatever the map does.
  function drawRaster(at) {
    raster ??= layout.workAt ? gridRaster() : scatterRaster();
    context.imageSmoothingEnabled = false;
    context.drawImage(raster, at.x, at.y, layout.size[0] * at.k, layout.size[1] * at.k);
    context.imageSmoothingEnabled = true;
  }

  function gridRaster() {  // a pixel a cell
    const picture = artatlas.make("canvas", {width: layout.cols, height: layout.rows});
    const data = new ImageData(layout.cols, layout.rows);
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(artatlas.index.background.slice(at, at + 2), 16));
    layout.workAt.forEach((i, cell) => {
      if (i < 0) return;
      const color = search.isMatch(i) ? colorOf(i) : [r, g, b];
      if (!color) return;
      data.data.set([...color, 255 * (search.isMatch(i) ? TINT : DIM)], 4 * cell);
    });
    picture.getContext("2d").putImageData(data, 0, 0);
    return picture;
  }

  function scatterRaster() {
    const k = RASTER / Math.max(...layout.size);
    const picture = artatlas.make("canvas", {width: Math.ceil(layout.size[0] * k), height: Math.ceil(layout.size[1] * k)});
    const ink = picture.getContext("2d");
    if (search.matches) {
      ink.fillStyle = ground(DIM);
      ink.fillRect(0, 0, picture.width, picture.height);
    }
    for (let i = 0; i < layout.left.length; i++) {
      if (!search.isMatch(i)) continue;
      const box = [layout.left[i] * k, layout.top[i] * k, Math.max(1, layout.width[i] * k), Math.max(1, layout.height[i] * k)];
      if (search.matches) ink.clearRect(...box);
      if (colors.current) {
        ink.fillStyle = rgba(colorOf(i), TINT);
        ink.fillRect(...box);
      }
    }
    return picture;
  }

  // Deep inside the map single pictures are sharper than its tiles. Each is scaled once for the size it has on the
  // screen and then only copied, because scaling all of them for every frame would make panning slow.
  function drawSharp(visible, at) {
    const ratio = window.devicePixelRatio || 1;
    let rest = 6;  // pictures scaled in a frame; more would be felt as a halt
    for (const i of visible) {
      const work = artatlas.known(i);
      if (!work) {
        artatlas.work(i).then(() => requestAnimationFrame(draw), () => {});
        continue;
      }
      const image = work.picture && imageOf(work.picture);
      if (!image || !image.naturalWidth) continue;
      const box = boxOnScreen(i, at);
      const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
      if (image.scaled?.width !== width && !isZooming && rest > 0) {
        image.scaled = scaled(image, width, height);
        rest--;
      }
      if (!image.scaled) continue;
      const snap = (side) => Math.round(side * ratio) / ratio;
      context.drawImage(image.scaled, snap(box.x), snap(box.y), width / ratio, height / ratio);
    }
    if (rest === 0) requestAnimationFrame(draw);
  }

  function scaled(image, width, height) {
    const {naturalWidth: w, naturalHeight: h} = image;
    const k = Math.max(width / w, height / h);  // covers the box, cut at both ends alike
    const picture = artatlas.make("canvas", {width, height});
    picture.getContext("2d").drawImage(image, (w - width / k) / 2, (h - height / k) / 2, width / k, height / k, 0, 0, width, height);
    return picture;
  }

  function imageOf(url) {
    const found = images.get(url) ?? Object.assign(new Image(), {src: url, onload: () => requestAnimationFrame(draw)});
    images.delete(url);
    images.set(url, found);  // the latest last
    if (images.size > 3 * MOST_SHARP) images.delete(images.keys().next().value);
    return found;
  }

  function outline(box, color, line, gap) {
    context.strokeStyle = color;
    context.lineWidth = line;
    const by = gap + line / 2;
    context.strokeRect(box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by);
  }

  function drawLasso() {
    context.beginPath();
    lasso.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = "rgba(255,209,102,.16)";
    context.fill();
    context.strokeStyle = ACCENT;
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  // Works whose centre lies within a polygon of screen points.
  function worksWithin(polygon) {
    const at = scale();
    const found = [];
    for (let i = 0; i < layout.left.length; i++) {
      if (layout.left[i] < 0 || !search.isMatch(i)) continue;
      const x = at.x + (layout.left[i] + layout.width[i] / 2) * at.k;
      const y = at.y + (layout.top[i] + layout.height[i] / 2) * at.k;
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

  const repaint = () => { raster = null; if (viewer) draw(); };
  search.onChange(repaint);
  colors.onChange(repaint);
  listen(["selection"], () => viewer && draw());
  listen(["work", "isOpen"], () => viewer && draw());

  return {
    open, show, goTo, reveal, view, restore, neighbor, nearestToCenter, worksWithin, workAt, draw, has,
    boxOnScreen: (number) => boxOnScreen(number),
    zoomBy: (factor) => { isHome = false; viewer.viewport.zoomBy(factor); viewer.viewport.applyConstraints(); },
    home: () => home(),
    setLasso: (points) => { lasso = points; draw(); },
    order: () => layout.workAt ? layout.workAt.filter((i) => i >= 0) : Int32Array.from(layout.left.keys()),
    get viewer() { return viewer; },
    get layout() { return layout; },
  };
})();
