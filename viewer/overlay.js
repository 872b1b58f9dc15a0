// The canvas above the tiles, which draws what depends on the visitor: what matches, colours, outlines, sharp pictures.
"use strict";

artatlas.overlay = (() => {
  const {state, byId, search, colors, layouts} = artatlas;
  const SHARP_AT = 1.25;  // screen pixels for a pixel of a tile, above which single pictures are drawn instead
  const MOST_SHARP = 80;  // pictures at a time
  const SCALED = 6;  // of them in a frame; more would be felt as a halt
  const BAR_FROM = 44;  // px of a work on the screen; larger ones get a bar of colour, smaller ones a tint
  const EASY = 3000;  // works on the screen that are drawn one by one while the map moves; above that, from a small picture
  const RASTER = 1024;  // px, the longer side of that small picture of a scatter
  const DIM = 0.84;
  const TINT = 0.6;
  const ACCENT = "#ffd166";

  const images = new Map();  // url -> Image, the latest ones drawn
  const canvas = byId("overlay");
  const context = canvas.getContext("2d");
  let raster = null;  // the small picture, made anew when layout, matches or colours change
  let isBlank = true;
  let zoom = 0;  // at the last drawing

  const boxOf = (layout, i, {x, y, k}) => ({
    x: x + layout.left[i] * k, y: y + layout.top[i] * k, width: layout.width[i] * k, height: layout.height[i] * k,
  });

  // at : {x, y, k}, the screen's place of the map's corner, and screen pixels for one of the map
  function draw(layout, at, hovered, lasso) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      isBlank = true;
    }
    const isZooming = Math.abs(at.k - zoom) > 1e-9;
    zoom = at.k;
    const isSharp = at.k * ratio > SHARP_AT;
    const isMarked = search.matches || colors.current || state.selection.size || lasso || hovered >= 0 || state.work !== null;
    if (isBlank && !isSharp && !isMarked) return;  // nothing to draw, nothing to clear: panning costs nothing here
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    isBlank = !isSharp && !isMarked;
    canvas.style.opacity = isBlank ? 0 : 1;  // the browser then leaves it out when it puts the page together
    if (isBlank) return;
    const has = (i) => i !== null && i >= 0 && layouts.isPlaced(layout, i);
    const [left, top] = [-at.x / at.k, -at.y / at.k];
    const visible = layouts.touching(layout, left, top, left + width / at.k, top + height / at.k, EASY);
    if (visible && isSharp && visible.length <= MOST_SHARP) drawSharp(layout, visible, at, ratio, isZooming);
    if (search.matches || colors.current) {
      if (visible) drawEach(layout, visible, at, width, height);
      else drawRaster(layout, at);
    }
    if (visible) for (const i of visible) if (state.selection.has(i)) outline(boxOf(layout, i, at), "#fff", 2, 3);
    if (!visible) for (const i of state.selection) if (has(i)) outline(boxOf(layout, i, at), "#fff", 1, 0);
    if (has(hovered)) outline(boxOf(layout, hovered, at), "rgba(255,255,255,.85)", 1.5, 1);
    if (has(state.work)) outline(boxOf(layout, state.work, at), ACCENT, 3, 2);
    if (lasso) drawLasso(lasso);
  }

  const rgba = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;
  const rgb = (hex) => [1, 3, 5].map((from) => parseInt(hex.slice(from, from + 2), 16));
  const ground = (alpha) => rgba(rgb(artatlas.index.background), alpha);
  const colorOf = (number) => colors.current && colors.current.palette[colors.current.codes[number]];

  function drawEach(layout, visible, at, width, height) {
    const isScatter = !layout.workAt;
    if (isScatter && search.matches) {  // a veil over all, with holes where works match
      context.fillStyle = ground(DIM);
      context.fillRect(0, 0, width, height);
    }
    context.fillStyle = ground(DIM);
    for (const i of visible) {
      if (!search.isMatch(i)) {
        if (!isScatter) context.fillRect(...cellOnScreen(layout, i, at));
      } else if (isScatter && search.matches) {
        const box = boxOf(layout, i, at);
        context.clearRect(box.x, box.y, box.width, box.height);
      }
    }
    if (!colors.current) return;
    for (const i of visible) {
      if (!search.isMatch(i)) continue;
      const box = boxOf(layout, i, at);
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

  // Left, top, width, height of the cell of a work, to whole pixels: cells side by side leave no lines between them.
  function cellOnScreen(layout, number, at) {
    const {cell_px: cell} = artatlas.index;
    const edge = (side, from) => Math.round(from + side * cell * at.k);
    const [col, row] = layouts.cellOf(layout, number);
    const [x, y] = [edge(col, at.x), edge(row, at.y)];
    return [x, y, edge(col + 1, at.x) - x, edge(row + 1, at.y) - y];
  }

  // With many works on the screen: a picture made once, whatever the map does.
  function drawRaster(layout, at) {
    if (raster?.layout !== layout) raster = {layout, picture: layout.workAt ? gridRaster(layout) : scatterRaster(layout)};
    context.imageSmoothingEnabled = false;
    context.drawImage(raster.picture, at.x, at.y, layout.size[0] * at.k, layout.size[1] * at.k);
    context.imageSmoothingEnabled = true;
  }

  function gridRaster(layout) {  // a pixel a cell
    const picture = artatlas.make("canvas", {width: layout.cols, height: layout.rows});
    const data = new ImageData(layout.cols, layout.rows);
    const wall = rgb(artatlas.index.background);
    layout.workAt.forEach((i, cell) => {
      if (i < 0) return;
      const color = search.isMatch(i) ? colorOf(i) : wall;
      if (!color) return;
      data.data.set([...color, 255 * (search.isMatch(i) ? TINT : DIM)], 4 * cell);
    });
    picture.getContext("2d").putImageData(data, 0, 0);
    return picture;
  }

  function scatterRaster(layout) {
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
  function drawSharp(layout, visible, at, ratio, isZooming) {
    let rest = SCALED;
    for (const i of visible) {
      const work = artatlas.known(i);
      if (!work) {
        artatlas.work(i).then(redraw, () => {});
        continue;
      }
      const box = boxOf(layout, i, at);
      const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
      const url = work.large && Math.max(width, height) > 1.25 * Math.max(...work.size) ? work.large : work.picture;
      const image = url && imageOf(url);
      if (!image || !image.naturalWidth) continue;
      if (image.scaled?.width !== width && !isZooming && rest > 0) {
        image.scaled = scaled(image, width, height);
        rest--;
      }
      if (!image.scaled) continue;
      const snap = (side) => Math.round(side * ratio) / ratio;
      context.drawImage(image.scaled, snap(box.x), snap(box.y), width / ratio, height / ratio);
    }
    if (rest === 0) redraw();
  }

  const redraw = () => requestAnimationFrame(() => artatlas.map.draw());

  function scaled(image, width, height) {
    const {naturalWidth: w, naturalHeight: h} = image;
    const k = Math.max(width / w, height / h);  // covers the box, cut at both ends alike
    const picture = artatlas.make("canvas", {width, height});
    picture.getContext("2d").drawImage(image, (w - width / k) / 2, (h - height / k) / 2, width / k, height / k, 0, 0, width, height);
    return picture;
  }

  function imageOf(url) {
    const found = images.get(url) ?? Object.assign(new Image(), {src: url, onload: redraw});
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

  function drawLasso(points) {
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = "rgba(255,209,102,.16)";
    context.fill();
    context.strokeStyle = ACCENT;
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  return {draw, boxOf, forget: () => { raster = null; }};
})();
