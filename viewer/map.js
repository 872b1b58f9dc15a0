// The map: OpenSeadragon draws the tiles and moves over them; the overlay above draws what depends on the visitor.
"use strict";

artatlas.map = (() => {
  const {state, set, listen, byId, search, colors, layouts, overlay} = artatlas;
  const LARGE = 48;  // px on the screen from which a work can be seen well
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
  let viewer = null;
  let item = null;  // the TiledImage on view
  let layout = null;  // the layout on view
  let hovered = -1;
  let isHome = true;  // all works are on view, and stay so when the window changes
  let zoom = 0;  // at the last drawing
  let lasso = null;  // [[x, y], ...] screen px, drawn while selecting

  const nameOf = (map, kind) => `${map}_${kind}`;

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
    const next = await layouts.get(name);
    if (name !== nameOf(state.map, state.layout)) return;
    const before = has(state.work) ? boxOnScreen(state.work) : null;
    const old = item;
    await new Promise((resolve, reject) => {
      viewer.addTiledImage({
        tileSource: tileSource(name), success: ({item: added}) => { item = added; resolve(); },
        error: ({message}) => reject(new Error(message)),
      });
    });
    if (old) viewer.world.removeItem(old);
    layout = next;
    viewer.viewport.minZoomImageRatio = 0.7;
    if (view) restore(view);
    else if (before && has(state.work)) keep(state.work, before);
    else home(true);
    byId("waiting").hidden = true;
    draw();
    artatlas.main.rememberView();
  }

  const has = (number) => layout !== null && number !== null && layouts.isPlaced(layout, number);

  // Geometry: the map's pixels to the screen's, relative to the map's corner.
  function scale() {
    const {viewport} = viewer;
    const origin = viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const unit = viewport.pixelFromPoint(new OpenSeadragon.Point(1, 0), true).x - origin.x;
    return {x: origin.x, y: origin.y, k: unit / layout.size[0]};
  }

  const boxOnScreen = (number) => overlay.boxOf(layout, number, scale());

  function onMap(x, y) {  // a point of the screen, in map px
    const at = scale();
    return [(x - at.x) / at.k, (y - at.y) / at.k];
  }

  // All works, where no drawer or panel covers them.
  function home(isAtOnce = isCalm.matches) {
    const {clientWidth, clientHeight} = byId("stage");
    const [width, height] = layout.size;
    const free = room();
    const k = Math.min((free.right - free.left) / width, (free.bottom - free.top) / height) / 1.04;
    place({x: width / 2 - free.x / k, y: height / 2 - free.y / k, width: clientWidth / k, height: clientHeight / k}, isAtOnce);
    isHome = true;
  }

  function place(rectangle, isAtOnce = true) {  // map px
    isHome = false;
    const w = layout.size[0];
    viewer.viewport.fitBounds(new OpenSeadragon.Rect(rectangle.x / w, rectangle.y / w, rectangle.width / w, rectangle.height / w), isAtOnce);
  }

  // Puts the middle of a work at a point of the screen, with k screen pixels for one of the map.
  function put(number, point, k, isAtOnce) {
    const {clientWidth: width, clientHeight: height} = byId("stage");
    place({
      x: layout.left[number] + layout.width[number] / 2 - point.x / k,
      y: layout.top[number] + layout.height[number] / 2 - point.y / k, width: width / k, height: height / k,
    }, isAtOnce);
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
    return {...free, x: (free.left + free.right) / 2, y: (free.top + free.bottom) / 2};
  }

  function keep(number, before) {
    const free = room();
    const k = Math.max(before.width, before.height) / Math.max(layout.width[number], layout.height[number]);
    const isSeen = isWithin(before, free, 0);
    put(number, isSeen ? {x: before.x + before.width / 2, y: before.y + before.height / 2} : free, k, true);
  }

  // Moves so that a work is well in view; large enough to see, where it was tiny.
  function goTo(number) {
    if (!has(number)) return;
    const free = room();
    const box = boxOnScreen(number);
    const isLarge = Math.max(box.width, box.height) >= LARGE;
    if (isLarge && isWithin(box, free, 16)) {
      draw();
      return;
    }
    const side = Math.max(layout.width[number], layout.height[number]);
    const k = isLarge ? scale().k : Math.min(140, (free.right - free.left) / 2, (free.bottom - free.top) / 2) / side;
    put(number, free, k, isCalm.matches);
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

  const workAt = (point) => (layout ? layouts.workAt(layout, ...onMap(point.x, point.y)) : -1);

  function click(point) {
    const number = workAt(point);
    setHovered(-1);
    if (number < 0 || (number === state.work && state.isOpen)) set({isOpen: false});
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

  function nearestToCenter() {
    const {clientWidth: width, clientHeight: height} = byId("stage");
    return layouts.nearest(layout, ...onMap(width / 2, height / 2));
  }

  function draw() {
    if (!layout || !byId("stage").clientWidth) return;
    const at = scale();
    if (Math.abs(at.k - zoom) > 1e-9) byId("tip").hidden = true;  // another work may lie under the pointer now
    zoom = at.k;
    overlay.draw(layout, at, hovered, lasso);
  }

  const repaint = () => { overlay.forget(); if (viewer) draw(); };
  search.onChange(repaint);
  colors.onChange(repaint);
  listen(["selection", "work", "isOpen"], () => viewer && draw());

  return {
    open, show, goTo, reveal, view, workAt, draw, has, boxOnScreen, nearestToCenter,
    neighbor: (number, dx, dy) => layouts.neighbor(layout, number, dx, dy),
    worksWithin: (polygon) => layouts.within(layout, polygon.map(([x, y]) => onMap(x, y))),
    zoomBy: (factor) => { isHome = false; viewer.viewport.zoomBy(factor); viewer.viewport.applyConstraints(); },
    home: () => home(), fit: () => isHome && layout && home(),
    setLasso: (points) => { lasso = points; draw(); },
    order: () => layouts.order(layout),
    get viewer() { return viewer; },
    get layout() { return layout; },
  };
})();
