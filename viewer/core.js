// What all parts of the page share: its data, read file by file as it is needed, and its state.
"use strict";

const artatlas = (() => {
  const version = document.body.dataset.version;
  const waiting = new Map();  // name -> {promise, resolve} of data files, asked for once

  // Data files are scripts that call this: the one kind of file that a page may also load from the disk.
  function receive(name, data) {
    waiting.get(name)?.resolve(data);
  }

  function load(name) {
    if (waiting.has(name)) return waiting.get(name).promise;
    const entry = {};
    entry.promise = new Promise((resolve, reject) => {
      entry.resolve = resolve;
      const script = document.createElement("script");
      script.src = `data/${name}.js?${version}`;
      script.onload = () => { script.remove(); reject(new Error(`${script.src} holds no data`)); };  // no effect once resolved
      script.onerror = () => {
        waiting.delete(name);  // the next one who asks tries again
        reject(new Error(`${script.src} could not be loaded`));
      };
      document.head.append(script);
    });
    waiting.set(name, entry);
    return entry.promise;
  }

  function bytes(base64) {
    const text = atob(base64);
    const array = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
    return array;
  }

  const array = (base64, Type) => new Type(bytes(base64).buffer);

  // Works: {id, title, caption, link, picture, large, size, fields}; `large` where there is a larger picture

  const files = new Map();

  const fileOf = (number) => Math.floor(number / artatlas.index.works_per_file);

  async function work(number) {
    const file = fileOf(number);
    files.set(file, await load(`works/${file}`));
    return known(number);
  }

  // The work if its file is here already, else null.
  function known(number) {
    const data = files.get(fileOf(number));
    if (!data) return null;
    const i = number % artatlas.index.works_per_file;
    return {
      number, id: data.ids[i], title: data.titles[i], caption: data.captions[i], link: data.links[i],
      picture: data.pictures[i] && `pictures/${data.pictures[i]}`, large: data.large?.[i] && `pictures/${data.large[i]}`,
      size: data.sizes[i],
      fields: data.fields.map((values) => values[i]),
    };
  }

  // Numbers of the nearest works, one array for each space.
  async function neighbors(number) {
    const {n_neighbors: k, spaces, works_per_file: perFile} = artatlas.index;
    const all = array(await load(`neighbors/${fileOf(number)}`), Int32Array);
    const start = (number % perFile) * spaces.length * k;
    return spaces.map((_, i) => Array.from(all.subarray(start + i * k, start + (i + 1) * k)).filter((other) => other >= 0));
  }

  // Columns: {name, kind, n_values} of the metadata; others have a label too, and perhaps a map that they belong to.

  const columnNumber = (name) => artatlas.index.columns
    .findIndex((column) => column.name === name && (column.map ?? state.map) === state.map);
  const columnOf = (name) => artatlas.index.columns[columnNumber(name)];
  const labelOf = (column) => column.label ?? column.name;
  const isOfMap = (name) => Boolean(columnOf(name)?.map);  // another map has another column of that name
  const ofMetadata = () => artatlas.index.columns.filter(({label}) => label === undefined);

  // State. Whoever changes it calls set(); whoever depends on it listens.

  const state = {
    map: "", layout: "grid", isList: false, work: null, isOpen: false, query: "", filters: new Map(), color: null,
    selection: new Set(), isSelecting: false,
  };
  const listeners = [];

  function listen(keys, listener) {
    listeners.push({keys, listener});
  }

  function set(changes) {
    const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
    Object.assign(state, changes);
    for (const {keys, listener} of listeners) {
      if (keys.some((key) => changed.includes(key))) listener(changed);
    }
  }

  // Building the page. Text from metadata is always text: nothing here takes HTML.

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in element && name !== "role") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const byId = (id) => document.getElementById(id);

  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replaceAll("_", " ");

  let sayTimer = 0;
  function say(text) {  // to screen readers; what follows quickly replaces what went before
    clearTimeout(sayTimer);
    sayTimer = setTimeout(() => { byId("status").textContent = text; }, 150);
  }

  function tell(text) {  // to everybody, until it is closed
    byId("notice").hidden = false;
    byId("notice-text").textContent = text;
    say(text);
  }

  // http, https and relative addresses only; the build has checked them already.
  function isHarmless(address) {
    try {
      return ["http:", "https:", location.protocol].includes(new URL(address, location.href).protocol);
    } catch {
      return false;
    }
  }

  // Buttons of which one is chosen, as radio buttons are: arrow keys move the choice.
  function choice(element, options, onChoose) {
    const buttons = options.map(({value, label}) => {
      const button = make("button", {type: "button", role: "radio", textContent: label, onclick: () => onChoose(value)});
      button.dataset.value = value;
      return button;
    });
    element.replaceChildren(...buttons);
    element.onkeydown = (event) => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const i = buttons.findIndex((button) => button.getAttribute("aria-checked") === "true");
      const next = buttons[(i + step + buttons.length) % buttons.length];
      next.focus();
      next.click();
    };
    return (value) => {
      for (const button of buttons) {
        const isChosen = button.dataset.value === value;
        button.setAttribute("aria-checked", isChosen);
        button.tabIndex = isChosen ? 0 : -1;
      }
    };
  }

  const number = new Intl.NumberFormat("en");
  const count = (n, one, many = `${one}s`) => `${number.format(n)} ${n === 1 ? one : many}`;

  return {receive, load, bytes, array, work, known, neighbors, state, listen, set, make, byId, capital, say, tell, isHarmless, choice, count,
          columnNumber, columnOf, labelOf, isOfMap, ofMetadata,
          format: (n) => number.format(n), version, index: null};
})();
