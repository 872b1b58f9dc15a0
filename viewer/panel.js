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
      link(work), buttons(work), facts(work), ...artatlas.index.spaces.map(placeFor),
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

  function picture({picture: url, title, size: [width, height]}) {
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
    artatlas.index.columns.forEach(({name}, i) => {
      if (fields[i]) list.append(make("dt", {textContent: name, dir: "auto"}), make("dd", {textContent: fields[i], dir: "auto"}));
    });
    list.append(make("dt", {textContent: "file"}), make("dd", {textContent: id, className: "file"}));
    return list;
  }

  function placeFor(space) {
    const section = make("section", {className: "near"}, make("h3", {textContent: SPACES[space] ?? `Nearest by ${space}`}), make("ul"));
    section.dataset.space = space;
    return section;
  }

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
  listen(["selection"], () => {
    const button = byId("panel-select");
    if (button) button.textContent = state.selection.has(state.work) ? "Remove from selection" : "Add to selection";
  });
})();
