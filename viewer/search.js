// Which works match the search and the filters, and what colour each has.
"use strict";

artatlas.search = (() => {
  const {state, listen, load, columnNumber} = artatlas;
  const CODES = {1: Uint8Array, 2: Uint16Array, 4: Uint32Array};
  const columns = new Map();  // number -> column, once loaded
  let matches = null;  // (N,) 1 where a work matches, or null where nothing is asked
  let nMatches = 0;
  const changed = [];

  // Letters without their marks, in lower case: "ecole" finds "École".
  const fold = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}+/gu, "");

  async function column(number) {
    if (columns.has(number)) return columns.get(number);
    const {values, codes, shown} = await load(`columns/${number}`);
    const bytes = artatlas.bytes(codes);
    const n = artatlas.index.n_works;
    const found = {values, shown: shown ?? values, codes: new CODES[bytes.length / n](bytes.buffer), folded: null, starts: null};
    columns.set(number, found);
    return found;
  }

  // All different values of a column as one text, so that a search is a scan.
  function prepare(column) {
    if (column.folded !== null) return;
    const texts = column.values.map((value) => fold(value).replaceAll("\n", " "));
    column.starts = new Uint32Array(texts.length + 1);
    for (let i = 0; i < texts.length; i++) column.starts[i + 1] = column.starts[i] + texts[i].length + 1;
    column.folded = texts.join("\n") + "\n";
  }

  function valuesWith(column, word) {
    const has = new Uint8Array(column.values.length);
    let value = 0;
    for (let at = column.folded.indexOf(word); at >= 0; at = column.folded.indexOf(word, column.starts[value + 1])) {
      let high = column.values.length;  // the last value that starts at or before `at`
      while (value + 1 < high) {
        const middle = (value + high) >> 1;
        if (column.starts[middle] <= at) value = middle; else high = middle;
      }
      has[value] = 1;
    }
    return has;
  }

  const ofMetadata = () => Promise.all(artatlas.ofMetadata().map(({name}) => column(columnNumber(name))));

  // Works that have every word of the query in some column, each perhaps in another one.
  async function worksWith(query) {
    const words = fold(query).split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const all = await ofMetadata();
    const result = new Uint8Array(artatlas.index.n_works).fill(1);
    all.forEach(prepare);
    for (const word of words) {
      const found = new Uint8Array(result.length);
      for (const {codes, ...rest} of all) {
        const has = valuesWith({...rest}, word);
        for (let i = 0; i < found.length; i++) found[i] |= has[codes[i]];
      }
      for (let i = 0; i < result.length; i++) result[i] &= found[i];
    }
    return result;
  }

  // Which values of a column a filter lets through: a Set of values, or {from, to} for numbers.
  function allowed(column, filter) {
    return Uint8Array.from(column.values, (value) => {
      if (filter instanceof Set) return filter.has(value);
      const number = value === "" ? NaN : Number(value);
      return number >= (filter.from ?? -Infinity) && number <= (filter.to ?? Infinity);
    });
  }

  // Works that pass all filters but that of `except`.
  async function worksPassing(except = null) {
    let result = null;
    for (const [name, filter] of state.filters) {
      if (name === except) continue;
      const {codes, ...rest} = await column(columnNumber(name));
      const allows = allowed(rest, filter);
      result ??= new Uint8Array(artatlas.index.n_works).fill(1);
      for (let i = 0; i < result.length; i++) result[i] &= allows[codes[i]];
    }
    return result;
  }

  function both(one, other) {
    if (!one || !other) return one ?? other;
    const result = new Uint8Array(one.length);
    for (let i = 0; i < result.length; i++) result[i] = one[i] & other[i];
    return result;
  }

  let run = 0;
  let lastQuery = {query: "", works: null};
  async function update() {
    const mine = ++run;
    const start = performance.now();
    const query = state.query;
    const found = query === lastQuery.query ? lastQuery.works : await worksWith(query);
    const passing = await worksPassing();
    if (mine !== run) return;  // a later question overtook this one
    lastQuery = {query, works: found};
    matches = both(found, passing);
    nMatches = matches ? matches.reduce((sum, one) => sum + one, 0) : artatlas.index.n_works;
    artatlas.search.took_ms = performance.now() - start;
    for (const listener of changed) listener();
  }

  // How many works have each value of a column, among those that the search and the other filters leave: (values,)
  async function counts(name) {
    const {codes, values} = await column(columnNumber(name));
    const among = both(lastQuery.works, await worksPassing(name));
    const result = new Uint32Array(values.length);
    for (let i = 0; i < codes.length; i++) if (!among || among[i]) result[codes[i]]++;
    return result;
  }

  listen(["query", "filters"], update);
  listen(["map"], () => [...state.filters.keys()].some(artatlas.isOfMap) && update());

  return {
    column: (name) => column(columnNumber(name)), counts, fold, update,
    prepareAll: async () => (await ofMetadata()).forEach(prepare),
    onChange: (listener) => changed.push(listener),
    isMatch: (number) => !matches || matches[number] === 1,
    get matches() { return matches; },
    get nMatches() { return nMatches; },
    took_ms: 0,
  };
})();

// Colours of a column: each work a colour, and a legend.
artatlas.colors = (() => {
  const {state, listen} = artatlas;
  // Told apart by people with any colour vision, on a dark ground (Okabe & Ito 2008, lightened); the rest is grey.
  const NAMED = ["#56b4e9", "#e69f00", "#19b58b", "#f0e442", "#e87fb9", "#ff7043", "#a990ff", "#bcd35f"];
  const OTHERS = "#8d8f96";
  const SCALE = ["#3b3fb5", "#2f7fd1", "#2bb3a3", "#9ccf52", "#fde24b"];  // dark to light
  const SHARES = ["#e8601c", "#f6b26b", "#dcdcd6", "#7fb8de", "#4a83c4"];  // of 0 to 1: what is low stands out
  let current = null;  // {palette: [[r, g, b]], codes: (N,) Uint8Array, legend: [{label, color, n, filter}]}
  const changed = [];

  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  async function categories(name) {
    const {values, codes, shown: texts} = await artatlas.search.column(name);
    const counts = new Uint32Array(values.length);
    for (const code of codes) counts[code]++;
    const order = [...counts.keys()].filter((code) => values[code] !== "").sort((a, b) => counts[b] - counts[a] || a - b);
    const shown = order.slice(0, NAMED.length);
    const colorOf = new Uint8Array(values.length).fill(NAMED.length);
    shown.forEach((code, i) => { colorOf[code] = i; });
    const legend = shown.map((code, i) => ({label: texts[code], color: NAMED[i], n: counts[code]}));
    const others = codes.length - shown.reduce((sum, code) => sum + counts[code], 0);
    if (others) legend.push({label: "all others", color: OTHERS, n: others, isRest: true});
    return {palette: [...NAMED, OTHERS].map(rgb), codes: Uint8Array.from(codes, (code) => colorOf[code]), legend};
  }

  // Five steps with about as many works each: what lies within one range of values in a column is told apart anyway.
  async function steps(name) {
    const {values, codes} = await artatlas.search.column(name);
    const counts = new Uint32Array(values.length);
    for (const code of codes) counts[code]++;
    const filled = values.flatMap((value, code) => (value === "" ? [] : [code]));
    const total = filled.reduce((sum, code) => sum + counts[code], 0);
    const colorOf = new Uint8Array(values.length).fill(SCALE.length);
    const ranges = SCALE.map((color) => ({color, n: 0, values: []}));
    let before = 0;
    for (const code of filled) {
      const step = Math.min(SCALE.length - 1, Math.floor(((before + counts[code] / 2) / total) * SCALE.length));
      colorOf[code] = step;
      ranges[step].n += counts[code];
      ranges[step].values.push(values[code]);
      before += counts[code];
    }
    const legend = ranges.filter(({n}) => n).map(({color, n, values: own}) => ({
      label: own.length > 1 ? `${own[0]} – ${own.at(-1)}` : own[0], color, n,
    }));
    if (total < codes.length) legend.push({label: "unknown", color: OTHERS, n: codes.length - total, isRest: true});
    return {palette: [...SCALE, OTHERS].map(rgb), codes: Uint8Array.from(codes, (code) => colorOf[code]), legend};
  }

  // Five steps of equal width: what these numbers mean does not depend on the other works.
  async function shares(name) {
    const {values, codes} = await artatlas.search.column(name);
    const stepOf = Uint8Array.from(values, (value) => Math.min(SHARES.length - 1, Math.floor(Number(value) * SHARES.length + 1e-9)));
    const ranges = SHARES.map((color) => ({color, n: 0, own: []}));
    values.forEach((value, code) => ranges[stepOf[code]].own.push(Math.round(100 * Number(value))));
    for (const code of codes) ranges[stepOf[code]].n++;
    const legend = ranges.filter(({own}) => own.length)
      .map(({color, n, own}) => ({label: own.length > 1 ? `${own[0]} – ${own.at(-1)} %` : `${own[0]} %`, color, n}));
    return {palette: SHARES.map(rgb), codes: Uint8Array.from(codes, (code) => stepOf[code]), legend};
  }

  async function update() {
    const {color: name, map} = state;
    const column = artatlas.columnOf(name);
    const ways = {number: steps, share: shares, category: categories, text: categories};
    const found = column ? await ways[column.kind](name) : null;
    if (name !== state.color || map !== state.map) return;
    current = found;
    for (const listener of changed) listener();
  }

  listen(["color"], update);
  listen(["map"], () => artatlas.isOfMap(state.color) && update());
  return {onChange: (listener) => changed.push(listener), update, get current() { return current; }};
})();
