// Filters by column, the choice of colours, the legend.
"use strict";

(() => {
  const {state, set, listen, make, byId, search, colors, labelOf} = artatlas;
  const SHOWN = 40;  // values of a column at a time; the rest is found by typing

  // Fills the drawer. Values and their counts are looked up when a column is unfolded.
  function open() {
    const columns = artatlas.index.columns.filter(({name, kind}, i) => kind !== "text" && artatlas.columnNumber(name) === i);
    const option = (column) => make("option", {value: column.name, textContent: labelOf(column)});
    const computed = columns.filter(({label}) => label !== undefined);
    byId("color").replaceChildren(make("option", {value: "", textContent: "nothing"}),
      ...columns.filter(({label}) => label === undefined).map(option),
      ...computed.length ? [make("optgroup", {label: "Found by the computer"}, ...computed.map(option))] : []);
    byId("color").value = state.color ?? "";
    byId("filter-columns").replaceChildren(...columns.map(section));
  }

  function section(column) {
    const {name, kind} = column;
    const isRange = kind === "number" || kind === "share";
    const body = make("div");
    const details = make("details", {}, make("summary", {textContent: labelOf(column), dir: "auto"}), body);
    details.dataset.column = name;
    const fill = () => (isRange ? range(body, column) : values(body, column));
    details.ontoggle = () => details.open && fill();
    details.refresh = () => details.open && !isRange && fill();
    if (state.filters.has(name)) details.open = true;
    return details;
  }

  function change(name, filter) {
    const filters = new Map(state.filters);
    if (filter === null) filters.delete(name); else filters.set(name, filter);
    set({filters});
  }

  async function values(body, column) {
    const {name} = column;
    const {values: all, shown} = await search.column(name);
    const counts = await search.counts(name);
    const chosen = state.filters.get(name) ?? new Set();
    let find = body.querySelector("input[type=search]");
    if (!find && all.length > 12) {
      find = make("input", {type: "search", placeholder: `Find in ${artatlas.format(all.length)}`, ariaLabel: `Find in ${labelOf(column)}`, oninput: () => values(body, column)});
      body.append(find);
    }
    const wanted = search.fold(find?.value ?? "");
    const order = [...all.keys()].filter((code) => !wanted || search.fold(shown[code]).includes(wanted))
      .sort((a, b) => chosen.has(all[b]) - chosen.has(all[a]) || counts[b] - counts[a] || a - b);
    const list = make("ul", {className: "values"}, ...order.slice(0, SHOWN).map((code) => value(name, all[code], shown[code], counts[code], chosen)));
    if (order.length > SHOWN) list.append(make("li", {className: "more", textContent: `and ${artatlas.format(order.length - SHOWN)} more: type to find them`}));
    const focused = body.contains(document.activeElement) && document.activeElement.dataset.value;
    body.querySelector("ul")?.remove();
    body.append(list);
    if (focused !== undefined && focused !== false) body.querySelector(`[data-value="${CSS.escape(focused)}"]`)?.focus();
  }

  function value(name, text, shown, n, chosen) {
    const box = make("input", {type: "checkbox", checked: chosen.has(text), onchange: () => {
      const next = new Set(state.filters.get(name) ?? []);
      if (box.checked) next.add(text); else next.delete(text);
      change(name, next.size ? next : null);
    }});
    box.dataset.value = text;
    return make("li", {}, make("label", {}, box, make("span", {textContent: shown || "(empty)", dir: "auto"}), make("small", {textContent: artatlas.format(n)})));
  }

  async function range(body, column) {
    if (body.firstChild) return;
    const {name} = column;
    const {values: all} = await search.column(name);
    const filled = all.filter((text) => text !== "");
    const filter = state.filters.get(name) ?? {};
    const field = (key, label, hint) => make("label", {textContent: `${label} `}, make("input", {
      type: "number", step: "any", placeholder: hint, value: filter[key] ?? "", ariaLabel: `${labelOf(column)} ${label}`, oninput: update,
    }));
    const from = field("from", "from", filled[0]);
    const to = field("to", "to", filled.at(-1));
    function update() {
      const read = (label) => (label.lastChild.value === "" ? null : Number(label.lastChild.value));
      const next = {from: read(from), to: read(to)};
      change(name, next.from === null && next.to === null ? null : next);
    }
    body.append(make("div", {className: "range"}, from, to));
    if (column.note) body.append(make("p", {className: "note", textContent: column.note}));
  }

  function legend() {
    const box = byId("legend");
    box.hidden = !colors.current;
    if (!colors.current) return;
    const column = artatlas.columnOf(state.color);
    const note = column.note ? [make("p", {className: "note", textContent: column.note})] : [];
    box.replaceChildren(make("h2", {textContent: labelOf(column), dir: "auto"}), ...note, make("ul", {}, ...colors.current.legend.map(({label, color, n}) => {
      const chip = make("i");
      chip.style.background = color;
      return make("li", {}, chip, make("span", {textContent: label, dir: "auto"}), make("small", {textContent: artatlas.format(n)}));
    })));
  }

  function toggle(isOpen = byId("filters").hidden) {
    byId("filters").hidden = !isOpen;
    byId("filter-button").setAttribute("aria-expanded", isOpen);
    artatlas.map.fit();
    if (isOpen) byId("filters-close").focus(); else byId("filter-button").focus();
  }

  byId("filter-button").onclick = () => toggle();
  byId("filters-close").onclick = () => toggle(false);
  byId("filters-clear").onclick = () => { set({filters: new Map()}); open(); };
  byId("color").onchange = () => set({color: byId("color").value || null});
  search.onChange(() => {
    for (const details of byId("filter-columns").children) details.refresh();
    byId("filter-button").textContent = state.filters.size ? `Filter (${state.filters.size})` : "Filter";
  });
  colors.onChange(legend);
  listen(["color"], () => { byId("color").value = state.color ?? ""; });
  artatlas.filters = {open, toggle};
})();
