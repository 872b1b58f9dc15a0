// Selecting works on the map, and taking the list of them away.
"use strict";

artatlas.select = (() => {
  const {state, set, listen, make, byId, say, search} = artatlas;
  const canvas = byId("overlay");
  let shape = "rectangle";
  let points = null;  // of the shape being drawn
  let markShape = () => {};

  function add(numbers) {
    const selection = new Set(state.selection);
    for (const number of numbers) selection.add(number);
    const n = selection.size - state.selection.size;
    set({selection});
    say(`${artatlas.count(n, "work")} added, ${artatlas.format(selection.size)} selected`);
  }

  function toggle(number) {
    const selection = new Set(state.selection);
    if (!selection.delete(number)) selection.add(number);
    set({selection});
    say(`${artatlas.format(selection.size)} selected`);
  }

  const at = (event) => {
    const corner = canvas.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    points = [at(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!points) return;
    const [x, y] = at(event);
    if (shape === "lasso") points.push([x, y]);
    else points = [points[0], [x, points[0][1]], [x, y], [points[0][0], y]];
    artatlas.map.setLasso(points);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!points) return;
    const [x, y] = at(event);
    const isClick = points.every(([px, py]) => Math.hypot(px - x, py - y) < 5);
    if (isClick) {
      const number = artatlas.map.workAt({x, y});
      if (number >= 0) toggle(number);
    } else {
      add(artatlas.map.worksWithin(points));
    }
    points = null;
    artatlas.map.setLasso(null);
  });
  canvas.addEventListener("pointercancel", () => { points = null; artatlas.map.setLasso(null); });
  canvas.addEventListener("wheel", (event) => {  // zooming goes on while selecting
    event.preventDefault();
    artatlas.map.zoomBy(event.deltaY < 0 ? 1.25 : 0.8);
  }, {passive: false});

  // A cell that starts with = + - @ is a formula to spreadsheets; an apostrophe keeps it text. Numbers stay as they are.
  function cell(text) {
    const safe = /^[=+\-@\t\r]/.test(text) && !/^[+-]?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  async function download() {
    const numbers = [...state.selection].sort((a, b) => a - b);
    const works = await Promise.all(numbers.map(artatlas.work));
    const rows = works.map(({id, title, link, fields}) => [id, title, link, ...fields]);
    const names = artatlas.index.columns.map((column) => [artatlas.labelOf(column), column.map].filter(Boolean).join(" "));
    const head = ["filename", "shown as", "link", ...names];
    const text = [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
    const url = URL.createObjectURL(new Blob(["\ufeff", text], {type: "text/csv;charset=utf-8"}));
    make("a", {href: url, download: "works.csv"}).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    say(`List of ${artatlas.count(numbers.length, "work")} downloaded`);
  }

  function show() {
    const {isSelecting, selection} = state;
    byId("selection").hidden = !isSelecting && !selection.size;
    byId("selection-count").textContent = `${artatlas.format(selection.size)} selected`;
    byId("selection-download").disabled = byId("selection-clear").disabled = !selection.size;
    byId("select-button").setAttribute("aria-pressed", isSelecting);
    canvas.classList.toggle("selecting", isSelecting);
  }

  function open() {
    markShape = artatlas.choice(byId("shapes"), [{value: "rectangle", label: "Rectangle"}, {value: "lasso", label: "Lasso"}], (value) => {
      shape = value;
      markShape(value);
    });
    markShape(shape);
    show();
  }

  byId("select-button").onclick = () => set({isSelecting: !state.isSelecting, isList: false});
  byId("selection-clear").onclick = () => set({selection: new Set()});
  byId("selection-download").onclick = download;
  byId("selection-matches").onclick = () => add(Array.from(artatlas.map.order()).filter(search.isMatch));
  listen(["selection", "isSelecting"], show);
  return {open, toggle};
})();
