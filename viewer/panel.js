// The panel of a single work: its picture, what is known of it, its nearest works.
"use strict";

(() => {
  const {state, set, listen, make, byId, say} = artatlas;
  const SPACES = {content: "Nearest by content", style: "Nearest by style", color: "Nearest by colour", combined: "Nearest over all"};
  const panel = byId("panel");
  let opener = null;  // what had the focus before

  async function show() {
    if (!state.isOpen || state.work === null) {
      const hadFocus = panel.contains(document.activeElement);
      panel.hidden = true;
      panel.replaceChildren();
      if (hadFocus) (opener?.isConnected && opener.offsetParent ? opener : byId("stage")).focus({preventScroll: true});
      return;
    }
    const number = state.work;
    const isOpening = panel.hidden;
    if (isOpening) opener = document.activeElement;
    const hadFocus = panel.contains(document.activeElement);
    const work = await artatlas.work(number);
    if (!state.isOpen || state.work !== number) return;
    panel.hidden = false;
    panel.replaceChildren(...[
      make("button", {className: "icon close", ariaLabel: "Close", textContent: "×", onclick: () => set({isOpen: false})}),
      picture(work), make("h2", {textContent: work.title, dir: "auto"}),
      work.caption ? make("p", {className: "caption", textContent: work.caption, dir: "auto"}) : null,
      link(work), buttons(work), facts(work), trust(work), ...artatlas.index.spaces.map((space) => placeFor(space, work)),
    ].filter(Boolean));
    panel.scrollTop = 0;
    if (hadFocus) panel.focus({preventScroll: true});
    if (isOpening) artatlas.map.reveal(number);
    say([work.title, work.caption].filter(Boolean).join(", "));
    const near = await artatlas.neighbors(number);
    const works = await Promise.all(near.map((numbers) => Promise.all(numbers.map(artatlas.work))));
    if (state.work !== number || !state.isOpen) return;
    works.forEach((some, i) => fill(panel.querySelector(`[data-space="${CSS.escape(artatlas.index.spaces[i])}"] ul`), some));
  }

  function picture({picture: small, large, title, size: [width, height]}) {
    const url = large || small;
    if (!url) return make("p", {className: "withheld", textContent: "This picture may not be shown."});
    const image = make("img", {src: url, alt: title, width, height, className: "large"});
    return make("a", {href: url, target: "_blank", rel: "noopener", title: "Open the picture"}, image);
  }

  function link({link: address, title}) {
    if (!address || !artatlas.isHarmless(address)) return null;
    return make("p", {}, make("a", {href: address, target: "_blank", rel: "noopener noreferrer", textContent: "More about this work", ariaLabel: `More about ${title}`}));
  }

  function buttons({number}) {
    const isIn = state.selection.has(number);
    const select = make("button", {id: "panel-select", textContent: isIn ? "Remove from selection" : "Add to selection", onclick: () => artatlas.select.toggle(number)});
    const locate = make("button", {textContent: "Show on map", onclick: () => { set({isList: false}); artatlas.map.goTo(number); }});
    return make("div", {className: "row"}, select, locate);
  }

  function facts({id, fields}) {
    const list = make("dl");
    artatlas.ofMetadata().forEach(({name}, i) => {
      if (fields[i]) list.append(make("dt", {textContent: name, dir: "auto"}), make("dd", {textContent: fields[i], dir: "auto"}));
    });
    list.append(make("dt", {textContent: "file"}), make("dd", {textContent: id, className: "file"}));
    return list;
  }

  // How many of the works around it on each map are really like it: what report.html tells of all works.
  function trust({fields}) {
    const rows = artatlas.index.columns.flatMap(({map, n_neighbors: k}, i) => {
      if (!map) return [];
      const bar = make("i", {className: "bar", ariaHidden: "true"}, make("b"));
      bar.firstChild.style.width = `${100 * Number(fields[i])}%`;
      const row = make("li", {}, make("span", {textContent: artatlas.capital(map)}), bar, make("span", {textContent: `${Math.round(Number(fields[i]) * k)} of ${k}`}));
      row.dataset.map = map;
      return [row];
    });
    if (!rows.length) return null;
    const section = make("section", {className: "trust"}, make("h3", {textContent: "How far to trust its place"}),
      make("p", {textContent: "Of the works around it on a map, so many are among those most like it:"}), make("ul", {}, ...rows));
    markMap(section);
    return section;
  }

  function markMap(section) {
    for (const row of section.querySelectorAll("li")) {
      if (row.dataset.map === state.map) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
    }
  }

  function placeFor(space, {fields}) {
    const head = make("div", {className: "near-head"}, make("h3", {textContent: SPACES[space] ?? `Nearest by ${space}`}));
    const i = artatlas.index.columns.findIndex((column) => column.space === space);
    if (i >= 0 && fields[i] !== "") head.append(group(artatlas.index.columns[i], fields[i]));
    const section = make("section", {className: "near"}, head, make("ul"));
    section.dataset.space = space;
    return section;
  }

  // Shows the whole group that a work is in, and all works again.
  function group({name, label, sizes}, value) {
    const n = sizes[Number(value) + 1];
    const button = make("button", {className: "group", textContent: `Its group: ${artatlas.format(n)}`, title: `Only show group ${value}`, ariaLabel: `Only show group ${value} of ${label.toLowerCase()}, ${artatlas.count(n, "work")}`});
    button.onclick = () => {
      const filters = new Map(state.filters);
      if (isShown(name, value)) filters.delete(name); else filters.set(name, new Set([value]));
      set({filters});
      artatlas.filters.open();
    };
    button.mark = () => button.setAttribute("aria-pressed", isShown(name, value));
    button.mark();
    return button;
  }

  const isShown = (name, value) => state.filters.get(name)?.size === 1 && state.filters.get(name).has(value);

  function fill(list, works) {
    list.replaceChildren(...works.map(({number, title, caption, picture: url}) => {
      const label = [title, caption].filter(Boolean).join(", ");
      const image = url ? make("img", {src: url, alt: "", loading: "lazy"}) : make("span", {className: "withheld"});
      const button = make("button", {title: label, ariaLabel: label, onclick: () => { set({work: number, isOpen: true}); artatlas.map.goTo(number); }}, image);
      button.dataset.work = number;
      return make("li", {}, button);
    }));
    if (!works.length) list.replaceWith(make("p", {textContent: "none"}));
  }

  listen(["work", "isOpen"], show);
  listen(["map"], () => panel.querySelectorAll(".trust").forEach(markMap));
  listen(["filters"], () => panel.querySelectorAll(".group").forEach((button) => button.mark()));
  listen(["selection"], () => {
    const button = byId("panel-select");
    if (button) button.textContent = state.selection.has(state.work) ? "Remove from selection" : "Add to selection";
  });
})();
