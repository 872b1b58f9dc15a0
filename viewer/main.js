// Opens the page, ties its parts to buttons and keys, and keeps its address up to date.
"use strict";

artatlas.main = (() => {
  const {state, set, listen, byId, say, tell, search, map} = artatlas;
  const MOST_NAMED = 800;  // works of a selection that a link names one by one, in 7 letters each
  const LONGEST_ADDRESS = 6000;  // characters of a selection; mail programs break longer ones
  let isReady = false;
  let markMap = () => {};
  let markLayout = () => {};

  // The address. Works are named by number and id: after a new build the number may be another work's. Those of a
  // selection are named by hashes of their ids, or, where they are many, by ranges of numbers that hold for this build.

  let hashes = null;  // of all works, once there is a selection
  async function readHashes() {
    hashes ??= artatlas.bytes(await artatlas.load("hashes"));
  }

  function packHashes(numbers) {
    const {hash_bytes: n} = artatlas.index;
    let text = "";
    for (const number of numbers) text += String.fromCharCode(...hashes.subarray(n * number, n * (number + 1)));
    return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  }

  // [numbers, how many works were named]; those that are no longer there have no number.
  async function unpackHashes(text) {
    await readHashes();
    const {hash_bytes: n, n_works: nWorks} = artatlas.index;
    const key = (bytes, i) => bytes.subarray(n * i, n * (i + 1)).reduce((sum, byte) => 256 * sum + byte, 0);
    const named = artatlas.bytes(text.replaceAll("-", "+").replaceAll("_", "/"));
    const wanted = new Set(Array.from({length: Math.floor(named.length / n)}, (_, i) => key(named, i)));
    const numbers = [];
    for (let i = 0; i < nWorks; i++) if (wanted.has(key(hashes, i))) numbers.push(i);
    return [numbers, wanted.size];
  }

  const pack = (numbers) => {  // 3,4,5,9 -> 3-5.9
    const parts = [];
    for (let i = 0; i < numbers.length;) {
      let end = i;
      while (numbers[end + 1] === numbers[end] + 1) end++;
      parts.push(end > i ? `${numbers[i]}-${numbers[end]}` : `${numbers[i]}`);
      i = end + 1;
    }
    return parts.join(".");
  };
  const unpack = (text) => text.split(".").flatMap((part) => {
    const [from, to = from] = part.split("-").map(Number);
    if (!(from >= 0 && to >= from && to < artatlas.index.n_works)) return [];
    return Array.from({length: to - from + 1}, (_, i) => from + i);
  });

  function address() {
    const parts = new URLSearchParams();
    parts.set("map", state.map);
    parts.set("layout", state.isList ? "list" : state.layout);
    const view = map.view();
    if (view) parts.set("view", view.join(","));
    if (state.work !== null) parts.set("work", `${state.work}~${artatlas.known(state.work)?.id ?? ""}`);
    if (state.isOpen) parts.set("open", "1");
    if (state.query) parts.set("q", state.query);
    if (state.color) parts.set("color", state.color);
    for (const [name, filter] of state.filters) {
      const value = filter instanceof Set ? {in: [...filter]} : filter;
      parts.append("filter", JSON.stringify([name, value]));
    }
    for (const [name, text] of selected()) parts.set(name, text);
    return `#${parts}`;
  }

  function selected() {
    const numbers = [...state.selection].sort((a, b) => a - b);
    if (numbers.length && numbers.length <= MOST_NAMED && hashes) return [["selected", packHashes(numbers)]];
    const packed = `${artatlas.index.version}~${pack(numbers)}`;
    return numbers.length > MOST_NAMED && packed.length <= LONGEST_ADDRESS ? [["rows", packed]] : [];
  }

  let timer = 0;
  let own = "";  // the address that we wrote ourselves
  function rememberView() {
    if (!isReady) return;
    clearTimeout(timer);
    timer = setTimeout(write, 200);
  }

  function write() {
    clearTimeout(timer);
    own = address();
    history.replaceState(null, "", own);
  }

  async function readSelection(parts, lost) {
    const [version, packed = ""] = (parts.get("rows") ?? "").split("~");
    if (version && version === artatlas.index.version) return new Set(unpack(packed));
    if (version) lost.push("The selection of the link was too large to outlive the new build of this page, and is left out.");
    if (!parts.get("selected")) return new Set();
    try {
      const [numbers, n] = await unpackHashes(parts.get("selected"));
      const gone = n - numbers.length;
      if (gone > 0) lost.push(`Of ${artatlas.count(n, "selected work")} that the link names, ${artatlas.format(gone)} ${gone === 1 ? "is" : "are"} no longer in the collection.`);
      return new Set(numbers);
    } catch (error) {
      if (error.name !== "InvalidCharacterError") throw error;
      lost.push("The selection of the link could not be read.");
      return new Set();
    }
  }

  async function read() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const lost = [];  // what of the link has no meaning any more
    const {maps, columns} = artatlas.index;
    const changes = {map: maps[0].name, layout: "grid", isList: false, work: null, isOpen: false, query: parts.get("q") ?? "",
                     color: isReady || location.hash ? null : artatlas.index.color_by, filters: new Map(), selection: new Set()};
    if (maps.some(({name}) => name === parts.get("map"))) changes.map = parts.get("map");
    if (parts.get("layout") === "scatter") changes.layout = "scatter";
    changes.isList = parts.get("layout") === "list";
    if (columns.some(({name}) => name === parts.get("color"))) changes.color = parts.get("color");
    for (const text of parts.getAll("filter")) {
      try {
        const [name, value] = JSON.parse(text);
        if (columns.some((column) => column.name === name)) changes.filters.set(name, value.in ? new Set(value.in) : value);
      } catch {
        lost.push("A filter of the link could not be read.");
      }
    }
    changes.work = await find(parts.get("work"));
    changes.isOpen = changes.work !== null && parts.get("open") === "1";
    if (parts.get("work") && changes.work === null) lost.push("The work of the link is no longer in the collection.");
    changes.selection = await readSelection(parts, lost);
    if (lost.length) tell(lost.join(" "));
    const view = (parts.get("view") ?? "").split(",").map(Number);
    return {changes, view: view.length === 3 && view.every(Number.isFinite) && view[2] > 0 ? view : null};
  }

  async function find(text) {
    if (!text) return null;
    const [number, id] = [Number(text.split("~")[0]), text.slice(text.indexOf("~") + 1)];
    if (number >= 0 && number < artatlas.index.n_works && (await artatlas.work(number)).id === id) return number;
    for (let i = 0; i < artatlas.index.n_works; i += artatlas.index.works_per_file) {  // the collection was built anew
      const {ids} = await artatlas.load(`works/${i / artatlas.index.works_per_file}`);
      if (ids.includes(id)) return i + ids.indexOf(id);
    }
    return null;
  }

  async function go() {
    const {changes, view} = await read();
    set(changes);
    byId("query").value = changes.query;
    artatlas.filters.open();
    await Promise.all([search.update(), artatlas.colors.update()]);
    await map.show(view);
    artatlas.list.show();
    isReady = true;
    write();
  }

  // Moving from work to work

  function walk(dx, dy) {
    const from = map.has(state.work) ? state.work : -1;
    const number = from < 0 ? map.nearestToCenter() : map.neighbor(from, dx, dy);
    if (number < 0) return;
    set({work: number});
    map.goTo(number);
    announce(number);
  }

  async function announce(number) {
    const {title, caption} = await artatlas.work(number);
    if (state.work === number && !state.isOpen) say([title, caption].filter(Boolean).join(", "));
  }

  function step(by) {
    const matches = Array.from(map.order()).filter(search.isMatch);
    if (!matches.length) return;
    const at = matches.indexOf(state.work);
    const number = matches[at < 0 ? (by > 0 ? 0 : matches.length - 1) : (at + by + matches.length) % matches.length];
    set({work: number});
    map.goTo(number);
    announce(number);
  }

  const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const isTyping = event.target.matches("input, select, textarea");
    if (event.key === "Escape") close();
    else if (isTyping) {
      if (event.target.id !== "query" || event.key !== "Enter") return;
      step(event.shiftKey ? -1 : 1);
    } else if (event.key === "/") byId("query").focus();
    else if (event.key === "?") byId("help").showModal();
    else if (event.key === "l") set({isList: !state.isList});
    else if (event.key === "n") step(1);
    else if (event.key === "p") step(-1);
    else if (event.key === "x" && state.work !== null) artatlas.select.toggle(state.work);
    else if (state.isList) return;
    else if (event.key === "+" || event.key === "=") map.zoomBy(1.5);
    else if (event.key === "-") map.zoomBy(1 / 1.5);
    else if (event.key === "0") map.home();
    else if (event.target !== byId("stage") && event.target !== document.body) return;
    else if (ARROWS[event.key]) walk(...ARROWS[event.key]);
    else if (event.key === "Enter" && state.work !== null) set({isOpen: !state.isOpen});
    else return;
    event.preventDefault();
  }

  function close() {
    if (state.isOpen) set({isOpen: false});
    else if (!byId("filters").hidden) artatlas.filters.toggle(false);
    else if (!byId("notice").hidden) byId("notice").hidden = true;
    else if (state.isSelecting) set({isSelecting: false});
    else if (state.query) {
      byId("query").value = "";
      set({query: ""});
    } else if (state.work !== null) set({work: null});
  }

  async function copyLink() {
    write();
    const n = state.selection.size;
    if (n && !selected().length) tell(`The selection of ${artatlas.count(n, "work")} is too large for a link. Download its CSV to keep it.`);
    else if (n > MOST_NAMED) tell(`The link holds the selection of ${artatlas.count(n, "work")} until this page is built anew. Download its CSV to keep it.`);
    try {
      await navigator.clipboard.writeText(location.href);
      say("Link copied");
      const button = byId("link-button");
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy link"; }, 1500);
    } catch {  // not allowed here: the visitor copies it himself
      byId("link-text").value = location.href;
      byId("link-dialog").showModal();
      byId("link-text").select();
    }
  }

  function tellCount() {
    const {n_works: n} = artatlas.index;
    const isAsked = search.matches !== null;
    const text = isAsked ? `${artatlas.format(search.nMatches)} of ${artatlas.count(n, "work")}` : artatlas.count(n, "work");
    byId("count").textContent = text;
    byId("previous").hidden = byId("next").hidden = !isAsked || !search.nMatches;
    if (isReady) say(isAsked ? `${artatlas.count(search.nMatches, "work")} found` : text);
  }

  async function open() {
    artatlas.index = await artatlas.load("index");
    markMap = artatlas.choice(byId("maps"), artatlas.index.maps.map(({name}) => ({value: name, label: artatlas.capital(name)})), (value) => set({map: value}));
    markLayout = artatlas.choice(byId("layouts"), [["grid", "Grid"], ["scatter", "Scatter"], ["list", "List"]].map(([value, label]) => ({value, label})),
      (value) => set(value === "list" ? {isList: true} : {layout: value, isList: false}));
    const mark = () => { markMap(state.map); markLayout(state.isList ? "list" : state.layout); };
    listen(["map", "layout", "isList"], mark);
    listen(["map", "layout"], () => isReady && map.show().then(artatlas.list.show));
    listen(["isList"], () => isReady && !state.isList && requestAnimationFrame(() => map.draw()));
    listen(["map", "layout", "isList", "work", "isOpen", "query", "filters", "color", "selection"], rememberView);
    listen(["selection"], () => state.selection.size && !hashes && readHashes().then(rememberView));
    search.onChange(tellCount);
    artatlas.select.open();
    map.open();
    await go();
    mark();
    addEventListener("hashchange", () => { if (location.hash !== own) go(); });
  }

  let typing = 0;
  byId("query").oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => set({query: byId("query").value.trim()}), 120);
  };
  byId("query").onfocus = () => { if (artatlas.index) search.prepareAll(); };
  byId("next").onclick = () => step(1);
  byId("previous").onclick = () => step(-1);
  byId("zoom-in").onclick = () => map.zoomBy(1.5);
  byId("zoom-out").onclick = () => map.zoomBy(1 / 1.5);
  byId("zoom-home").onclick = () => map.home();
  byId("help-button").onclick = () => byId("help").showModal();
  byId("link-button").onclick = copyLink;
  byId("notice-close").onclick = () => { byId("notice").hidden = true; };
  byId("skip").onclick = (event) => { event.preventDefault(); set({isList: true}); byId("list").focus(); };
  document.addEventListener("keydown", key);

  artatlas.opened = open().catch((error) => {
    byId("waiting").hidden = false;
    byId("waiting").textContent = `The collection could not be opened: ${error.message}. Is the whole folder here, and was it built to its end?`;
    throw error;
  });
  return {rememberView};
})();
