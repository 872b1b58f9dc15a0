// The works that match, as a list: for reading, and for those who do not see the map.
"use strict";

artatlas.list = (() => {
  const {state, set, listen, make, byId, say, search} = artatlas;
  const PER_PAGE = 60;
  let page = 0;
  let numbers = [];  // of the works that match, in the order of the map

  async function show() {
    byId("list").hidden = !state.isList;
    byId("stage").hidden = state.isList;
    if (!state.isList || !artatlas.map.layout) return;
    numbers = Array.from(artatlas.map.order()).filter(search.isMatch);
    const pages = Math.max(1, Math.ceil(numbers.length / PER_PAGE));
    page = Math.min(page, pages - 1);
    const some = numbers.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
    const works = await Promise.all(some.map(artatlas.work));
    const list = byId("list-works");
    list.start = page * PER_PAGE + 1;
    list.replaceChildren(...works.map(row));
    if (!works.length) list.append(make("li", {className: "none", textContent: "No work matches."}));
    byId("list-page").textContent = `Page ${page + 1} of ${artatlas.format(pages)}`;
    byId("list-previous").disabled = page === 0;
    byId("list-next").disabled = page === pages - 1;
  }

  function row({number, title, caption, picture: url}) {
    const button = make("button", {onclick: () => set({work: number, isOpen: true})},
      url ? make("img", {src: url, alt: "", loading: "lazy"}) : make("span", {className: "withheld"}),
      make("span", {}, make("strong", {textContent: title, dir: "auto"}), caption ? make("small", {textContent: caption, dir: "auto"}) : null));
    button.dataset.work = number;
    if (number === state.work) button.setAttribute("aria-current", "true");
    return make("li", {}, button);
  }

  function turn(by) {
    page += by;
    show().then(() => {
      byId("list").scrollTop = 0;
      byId("list").focus({preventScroll: true});
      say(byId("list-page").textContent);
    });
  }

  byId("list-previous").onclick = () => turn(-1);
  byId("list-next").onclick = () => turn(1);
  search.onChange(() => { page = 0; show(); });
  listen(["isList"], show);
  listen(["work"], () => {
    for (const button of byId("list-works").querySelectorAll("button")) {
      if (Number(button.dataset.work) === state.work) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  });
  return {show};
})();
