// Draws the page's tables and figures from the data inside the file. Nothing is loaded, nothing is sent.
"use strict";
(async () => {
// the data are JSON, compressed by gzip and written in base64
async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text());
}
const unpacked = (id) => inflated(document.getElementById(id).textContent);
const D = await unpacked("data");
let held = null;
const parts = async () => (loaded = await (held ??= unpacked("parts")));
// of blocks with a line each, a line is unpacked when first asked for
const lineOf = (() => { const held = new Map(); return (id, at) => { if (!held.has(id)) held.set(id, $(id).textContent.split("\n")); return held.get(id)[at]; }; })();
const lines = (() => { const held = new Map(); return (id, at) => { const key = `${id} ${at}`; if (!held.has(key)) held.set(key, lineOf(id, at) ? inflated(lineOf(id, at)) : Promise.resolve(null)); return held.get(key); }; })();
const X = D.explore, MISSING = "–", ALPHA = D.alpha;
const $ = (id) => document.getElementById(id);
const palette = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => `var(--c${i})`);
const symbols = ["circle", "square", "triangle", "diamond", "star", "cross", "wye", "diamond2"];
const dashes = [null, "6 3", "2 3", "8 3 2 3"];

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) made.setAttribute(name, value);
  made.append(...children.filter((child) => child != null));
  return made;
}
const fixed = (value, places = 2) => value == null ? MISSING : value.toFixed(places).replace("-", "−");
const signed = (value) => value == null ? MISSING : Math.round(value * 100) === 0 ? "±0.00" : (value > 0 ? "+" : "−") + Math.abs(value).toFixed(2);
const rounded = (value, digits) => Number.isInteger(value) ? value : +value.toPrecision(digits); // counts and steps stay whole
const plainNumber = (value) => value == null ? MISSING : String(rounded(value, 5)).replace("-", "−");
const inMetric = (metric, value) => rates[names.indexOf(metric)] ? fixed(value) : plainNumber(value);
const probability = (p) => p == null ? MISSING : p < 0.00005 ? "< 0.0001" : p.toFixed(4);
const unique = (values) => [...new Set(values)];

// --- the state of the page, kept in the address -------------------------------------------------------------------
const state = new Map(new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : ""));
function keep(name, value) {
  if (value == null || value === "") state.delete(name); else state.set(name, String(value));
  history.replaceState(null, "", "#" + new URLSearchParams([...state]));
}
function choose(name, label, options, chosen, changed) {
  const select = el("select", { id: `choose-${name}` });
  for (const [value, words] of options) select.append(el("option", { value }, words));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
  select.addEventListener("change", () => changed(select.value));
  return el("label", { for: `choose-${name}` }, `${label} `, select);
}

// --- rows of the table of everything ------------------------------------------------------------------------------
const names = X.names.map(([name]) => name), rates = X.names.map(([, rate]) => rate);
const made = new Map(), numbersOf = [];
const size = (number) => X.rows[X.of[number]].length;
const total = d3.sum(D.cells, (_, number) => size(number));
// by list of places: each row's place in it, or -1
const placesOf = (() => { const held = new Map(); return (number, size) => { const key = `${number} ${size}`; if (!held.has(key)) { const at = new Int32Array(size).fill(-1); let row = 0; X.places[number].forEach((step, i) => { row += step; at[row] = i; }); held.set(key, at); } return held.get(key); }; })();
// the numbers of cells are there for good once they were asked for
const reached = (cells) => Promise.all(cells.filter((number) => !numbersOf[number]).map(async (number) => { numbersOf[number] = await inflated(lineOf("cells", number)); }));
function valueAt(cell, row, metric) {
  const column = numbersOf[cell].metrics[metric];
  if (!column) return null;
  const at = placesOf(column[0], size(cell))[row];
  return at < 0 ? null : rates[metric] ? column[1][at] / 10000 : column[1][at];
}
function rowAt(number, at) {
  const [family, task, method, labelling, base, main, corrected] = X.rows[X.of[number]][at], { backbone, dataset } = D.cells[number], { tests } = numbersOf[number];
  const value = main < 0 ? null : valueAt(number, at, main), baseline = base < 0 || main < 0 ? null : valueAt(number, base, main);
  const row = { cell: number, at, backbone, dataset, family: X.words[family], task: X.words[task], method: X.words[method], labelling: X.words[labelling] || "all",
    corrected, metric: main < 0 ? "" : names[main], value, baseline, difference: null, low: null, high: null, p: null, padj: null, queries: null, verdict: "" };
  const test = tests.length ? placesOf(tests[0], size(number))[at] : -1;
  if (test >= 0) {
    const [, more, below, above, p, padj, queries] = tests.map((column, i) => i ? column[test] : null);
    const derived = value != null && baseline != null && rates[main] ? Math.floor((Math.round(10000 * value) - Math.round(10000 * baseline) + 50) / 100) : 0;
    const difference = more == null ? null : derived + more, middle = difference ?? 0, scale = (v) => v == null ? null : v / 100;
    Object.assign(row, { difference: scale(difference), low: below == null ? null : scale(middle - below), high: above == null ? null : scale(middle + above + (below ?? 0)), p, padj, queries });
    row.verdict = padj == null || difference == null || padj >= ALPHA ? "undecided" : difference > 0 ? "better" : "worse";
  }
  if (row.difference == null && baseline != null && value != null && rates[main]) row.difference = value - baseline;
  return row;
}
function rowsOf(number) {
  if (!made.has(number)) made.set(number, X.rows[X.of[number]].map((_, at) => rowAt(number, at)));
  return made.get(number);
}
const cellsWhere = (chosen) => D.cells.map((_, number) => number).filter((number) => chosen(D.cells[number]));
function said(row) {
  const metric = row.metric, at = names.indexOf(metric), value = rates[at] ? `${fixed(row.value)} %` : plainNumber(row.value);
  const lines = [`${row.backbone} on ${row.dataset}`, `${row.task}, ${row.labelling}: ${row.method}`, `${metric} ${value}`];
  if (row.difference != null) lines.push(`${signed(row.difference)} points to the baseline's ${fixed(row.baseline)} %`);
  if (row.low != null) lines.push(`95 % interval [${fixed(row.low)}, ${fixed(row.high)}]`);
  if (row.p != null || row.padj != null) lines.push(`p ${probability(row.p)}, corrected ${probability(row.padj)}: ${row.verdict}`);
  if (row.queries != null) lines.push(`${row.queries} queries`);
  if (row.difference != null && row.verdict === "") lines.push("not tested");
  return lines.join("\n");
}

// a figure is one image with one description: the names that Plot gives its marks are for no reader
function pictured(plot) {
  plot.setAttribute("role", "img");
  for (const mark of plot.querySelectorAll("[aria-label]")) { mark.dataset.mark = mark.getAttribute("aria-label"); mark.removeAttribute("aria-label"); }
  for (const mark of plot.querySelectorAll("[aria-hidden]")) mark.removeAttribute("aria-hidden");
  return plot;
}

// --- the forest ---------------------------------------------------------------------------------------------------
function sign(i, line = false) {
  const path = d3.symbol(d3["symbol" + symbols[i % 8][0].toUpperCase() + symbols[i % 8].slice(1)] ?? d3.symbolWye, 48)();
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", 14); svg.setAttribute("height", 14); svg.setAttribute("viewBox", "-7 -7 14 14"); svg.setAttribute("aria-hidden", "true"); svg.classList.add("sign");
  const draw = (d, more) => { const mark = document.createElementNS("http://www.w3.org/2000/svg", "path"); for (const [name, value] of Object.entries({ d, ...more })) if (value) mark.setAttribute(name, value); svg.append(mark); };
  if (line) { svg.setAttribute("width", 30); svg.setAttribute("viewBox", "-15 -7 30 14"); draw("M-15,0H15", { stroke: palette[i % 8], "stroke-width": 1.5, "stroke-dasharray": dashes[Math.floor(i / 8) % 4] }); }
  draw(path, { fill: palette[i % 8] });
  return svg;
}
const MOST = 60; // labellings of all datasets that are drawn where nobody asked for them
async function forest() {
  const controls = $("forest-controls"), figure = $("forest-figure");
  const comparable = (row) => row.difference != null && row.family !== "clustering";
  const backbones = unique(D.cells.map((cell) => cell.backbone));
  const cellsOf = (backbone) => D.cells.map((_, number) => number).filter((number) => D.cells[number].backbone === backbone && X.compared[number]);
  const first = backbones.find((backbone) => cellsOf(backbone).length);
  if (!first) { $("forest").hidden = true; return null; }
  let turn = 0;
  const draw = async () => {
    const mine = ++turn, backbone = backbones.includes(state.get("fb")) ? state.get("fb") : first;
    await reached(cellsOf(backbone));
    if (mine !== turn) return;
    const of = cellsOf(backbone).flatMap(rowsOf).filter(comparable);
    const tasks = unique(of.map((row) => row.task));
    if (!tasks.length) tasks.push("");
    const task = tasks.includes(state.get("ft")) ? state.get("ft") : tasks[0];
    const of_task = of.filter((row) => row.task === task), datasets = unique(of_task.map((row) => row.dataset));
    const whole = unique(of_task.map((row) => `${row.dataset} ${row.labelling}`)).length <= MOST ? "all" : datasets[0];
    const dataset = [...datasets, "all"].includes(state.get("fd")) ? state.get("fd") : whole;
    const here = dataset === "all" ? of_task : of_task.filter((row) => row.dataset === dataset);
    const methods = unique(here.map((row) => row.method));
    const counts = (row) => !D.cells[row.cell].uncounted.includes(row.labelling);
    // as the sentences have it: of the corrections that most labellings have
    const by = d3.rollup(here.filter((row) => row.corrected && counts(row)), (of) => [of.length, d3.mean(of, (row) => row.difference)], (row) => row.method);
    const best = [...by.keys()].sort((a, b) => d3.descending(by.get(a)[0], by.get(b)[0]) || d3.descending(by.get(a)[1], by.get(b)[1]))[0];
    const usual = methods.filter((method) => method === best || !here.some((row) => row.method === method && row.corrected));
    const asked = (state.get("fm") ?? "").split("|").filter((method) => methods.includes(method));
    const shown = methods.filter((method) => (asked.length ? asked : usual).includes(method));
    const several = unique(here.map((row) => row.dataset)).length > 1;
    const again = (name) => async (value) => { keep(name, value); await draw(); $(`choose-${name}`)?.focus(); };
    const boxes = el("fieldset", {}, el("legend", {}, "methods"));
    methods.forEach((method) => {
      const box = el("input", { type: "checkbox", value: method });
      box.checked = shown.includes(method);
      box.addEventListener("change", async () => {
        keep("fm", [...boxes.querySelectorAll("input:checked")].map((checked) => checked.value).join("|"));
        await draw();
        [...controls.querySelectorAll("input")].find((other) => other.value === method)?.focus();
      });
      boxes.append(el("label", {}, box, " ", box.checked ? sign(shown.indexOf(method)) : "", ` ${method}${method === best ? " (best correction)" : ""}`));
    });
    controls.replaceChildren(
      ...(backbones.length > 1 ? [choose("fb", "backbone", backbones.map((name) => [name, name]), backbone, again("fb"))] : []),
      choose("ft", "task", tasks.map((name) => [name, name]), task, again("ft")),
      ...(datasets.length > 1 ? [choose("fd", "dataset", [["all", `all ${datasets.length}`], ...datasets.map((name) => [name, name])], dataset, again("fd"))] : []), boxes);
    const data = here.filter((row) => shown.includes(row.method)).map((row) => ({ ...row, where: several ? `${row.dataset} · ${row.labelling}` : row.labelling }));
    const groups = unique(data.map((row) => row.where));
    const long = Math.min(180, 12 + 6.6 * d3.max(groups, (name) => name.length) || 60);
    const width = Math.max(330, Math.min(900, figure.clientWidth - 4 || 700));
    const step = 11, tall = shown.length * step + 9;
    const colour = (row) => palette[shown.indexOf(row.method) % 8], symbol = (row) => symbols[shown.indexOf(row.method) % 8];
    // the row of a labelling, and in it a place a method
    const y = (row) => groups.indexOf(row.where) * tall + (shown.indexOf(row.method) + 0.5) * step + 4.5;
    const plot = Plot.plot({
      width, height: groups.length * tall + 44, marginLeft: long, marginRight: 14, marginTop: 4, marginBottom: 38,
      x: { label: "difference in points →", nice: true, grid: true },
      y: { domain: [Math.max(1, groups.length * tall), 0], axis: null },
      symbol: { type: "identity" }, color: { type: "identity" },
      ariaLabel: `Differences to the baseline in ${task} of ${backbone}, by labelling and method`,
      marks: [
        ...(groups.length > 40 ? [] : [Plot.ruleY(groups.map((_, i) => i * tall), { strokeOpacity: 0.15 })]),
        Plot.ruleX([0]),
        Plot.text(groups, { frameAnchor: "left", x: null, y: (name) => (groups.indexOf(name) + 0.5) * tall, text: (name) => name, dx: -6, textAnchor: "end", fontSize: 12, lineWidth: long / 12, textOverflow: "ellipsis" }),
        Plot.ruleY(data.filter((row) => row.low != null), { x1: "low", x2: "high", y, stroke: colour, strokeWidth: 1.6 }),
        Plot.dot(data, { x: "difference", y, stroke: colour, strokeWidth: 1.6, symbol, r: 4, fill: (row) => row.verdict === "better" || row.verdict === "worse" ? colour(row) : "var(--paper)" }),
        Plot.tip(data, Plot.pointer({ x: "difference", y, title: said, maxRadius: 30, fill: "var(--paper)" })),
      ],
    });
    plot.classList.add("fixed");
    figure.replaceChildren(pictured(plot));
  };
  await draw();
  return draw;
}

// --- tables -------------------------------------------------------------------------------------------------------
function matches(asked, value) {
  const text = asked.trim();
  if (!text) return true;
  const number = text.match(/^(<=|>=|<|>|=)\s*([-−]?[\d.]+)$/);
  if (number) {
    if (value == null || value === "") return false;
    const bound = +number[2].replace("−", "-");
    return { "<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound, "=": Math.abs(value - bound) < 0.005 }[number[1]];
  }
  const held = String(value ?? "").toLowerCase();
  if (text.startsWith("!")) return !held.includes(text.slice(1).toLowerCase());
  return text.toLowerCase().split("|").some((part) => held.includes(part.trim()));
}
function column(title, field, more = {}) {
  return { title, field, headerFilter: "input", headerFilterFunc: matches, headerFilterPlaceholder: "filter",
    headerFilterParams: { elementAttributes: { "aria-label": `filter ${title}` } }, headerSortTristate: true, resizable: "header", ...more };
}
const numeric = (title, field, shown, more = {}) => column(title, field, { hozAlign: "right", headerHozAlign: "right", sorter: "number", sorterParams: { alignEmptyValues: "bottom" }, formatter: (cell) => shown(cell.getValue()), width: 108, ...more });
function focusable(row, picked) {
  const element = row.getElement();
  element.tabIndex = 0;
  element.onkeydown = (event) => {
    if (event.target !== element) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); picked(row); }
    const next = event.key === "ArrowDown" ? element.nextElementSibling : event.key === "ArrowUp" ? element.previousElementSibling : null;
    if (next) { event.preventDefault(); next.focus(); }
  };
}
const DIMENSIONS = ["backbone", "dataset", "task", "method", "labelling"];
const WHAT = [["difference", "difference to the baseline"], ["value", "value"]];
const WHOLE = 300000; // rows that a browser still shows as one table
function explore() {
  const controls = $("table-controls"), place = $("table");
  const numbers = names.map((name, i) => ["m" + i, name]);
  const optional = [["family", "family"], ["baseline", "baseline"], ["low", "interval, low"], ["high", "interval, high"], ["p", "p"], ["queries", "queries"], ...numbers];
  let table = null, lines = [], standing = null;
  const asked = () => (state.get("cols") ?? "").split(",").filter(Boolean);
  const tasks = unique(X.rows.flatMap((list) => list.map((row) => row[1]))).map((word) => X.words[word]);
  const usual = total > 30000 ? `backbone:${D.cells[0].backbone}` : "all";
  // all rows, those of a backbone, of a dataset, or of a task in all cells
  async function chosen() {
    const [kind, name] = (state.get("of") ?? usual).split(/:(.*)/s);
    const cells = cellsWhere((cell) => kind !== "backbone" && kind !== "dataset" || cell[kind] === name);
    await reached(cells);
    if (kind !== "task") return cells.flatMap(rowsOf);
    return cells.flatMap((number) => X.rows[X.of[number]].flatMap((row, at) => X.words[row[1]] === name ? [rowAt(number, at)] : []));
  }
  function flat(rows) {
    const more = new Set(asked()), metrics = [...more].filter((field) => /^m\d+$/.test(field)).map((field) => +field.slice(1));
    const data = metrics.length ? rows.map((row) => ({ ...row, ...Object.fromEntries(metrics.map((i) => ["m" + i, valueAt(row.cell, row.at, i)])) })) : rows;
    const shown = (field) => field.startsWith("m") && field !== "method" && field !== "metric" ? rates[+field.slice(1)] ? fixed : plainNumber : field === "p" ? probability : field === "queries" ? (v) => v ?? MISSING : fixed;
    return { data, columns: [
      column("backbone", "backbone", { width: 115 }), column("dataset", "dataset", { width: 105 }), column("task", "task", { width: 178 }),
      column("labelling", "labelling", { width: 115 }), column("method", "method", { width: 155 }),
      column("metric", "metric", { width: 96 }), numeric("value", "value", plainNumber, { width: 85, formatter: (cell) => inMetric(cell.getData().metric, cell.getValue()) }),
      numeric("difference", "difference", signed, { width: 118, formatter: (cell) => { const row = cell.getData(); cell.getElement().classList.toggle("better", row.verdict === "better"); cell.getElement().classList.toggle("worse", row.verdict === "worse"); return signed(row.difference); } }),
      numeric("p, corrected", "padj", probability, { width: 132 }), column("verdict", "verdict", { width: 105, formatter: (cell) => cell.getValue() || MISSING }),
      ...optional.filter(([field]) => more.has(field)).map(([field, title]) => field === "family" ? column(title, field) : numeric(title, field, shown(field))),
    ] };
  }
  function pivoted(over, rows) {
    const measure = state.get("what") === "value" ? "value" : "difference";
    const kept = DIMENSIONS.filter((name) => name !== over), heads = new Map(), found = new Map();
    for (const row of rows) {
      if (measure === "difference" && row.difference == null) continue;
      const key = kept.map((name) => row[name]).join("\u0000") + row.metric;
      if (!found.has(key)) found.set(key, { ...Object.fromEntries(kept.map((name) => [name, row[name]])), metric: row.metric, rows: {} });
      if (!heads.has(row[over])) heads.set(row[over], "v" + heads.size);
      const field = heads.get(row[over]);
      found.get(key)[field] = row[measure]; found.get(key).rows[field] = row;
    }
    const shown = (cell) => {
      const row = cell.getData().rows[cell.getField()], element = cell.getElement();
      if (measure === "difference" && row) { element.classList.toggle("better", row.verdict === "better"); element.classList.toggle("worse", row.verdict === "worse"); }
      return measure === "difference" ? signed(cell.getValue()) : inMetric(cell.getData().metric, cell.getValue());
    };
    return { data: [...found.values()], columns: [
      ...kept.map((name) => column(name, name, { width: name === "task" ? 200 : 130 })), column("metric", "metric", { width: 98 }),
      ...[...heads].map(([title, field]) => numeric(title, field, signed, { formatter: shown, width: 130 })) ] };
  }
  function show(cell) {
    const data = cell.getData(), field = "getField" in cell ? cell.getField() : "", row = data.rows ? data.rows[field] ?? Object.values(data.rows)[0] : data;
    for (const other of place.querySelectorAll(".tabulator-row.at")) other.classList.remove("at");
    (field ? cell.getRow() : cell).getElement().classList.add("at");
    const others = data.rows ? [] : names.map((name, i) => { const value = valueAt(row.cell, row.at, i); return value == null ? null : `${name} ${rates[i] ? fixed(value) + " %" : plainNumber(value)}`; }).filter(Boolean);
    const button = el("button", { type: "button" }, "Show this cell below");
    button.addEventListener("click", () => { pick(row.cell); $("gap").scrollIntoView(); });
    $("picked").replaceChildren(el("p", {}, said(row).split("\n").join(" · ")), ...(others.length ? [el("p", { class: "none" }, `All metrics: ${others.join(", ")}`)] : []), button);
  }
  let turn = 0;
  async function build() {
    const mine = ++turn, rows = await chosen();
    if (mine !== turn) return;
    const over = DIMENSIONS.includes(state.get("pivot")) ? state.get("pivot") : "";
    const { data, columns } = over ? pivoted(over, rows) : flat(rows);
    standing = { data, columns };
    const filters = [...state].filter(([name, value]) => name.startsWith("f.") && value && columns.some((c) => c.field === name.slice(2)));
    const [field, dir] = (state.get("sort") ?? "").split(":");
    lines = [];
    table?.destroy();
    place.replaceChildren();
    const holder = el("div", {});
    place.append(holder);
    table = new Tabulator(holder, {
      data, columns, height: Math.max(260, Math.min(560, 80 + 32 * data.length)), layout: "fitDataStretch", placeholder: "No row matches", columnDefaults: { resizable: "header", tooltip: (event, cell) => { const d = cell.getData(), row = d.rows ? d.rows[cell.getField()] : d; return row ? said(row) : ""; } },
      initialHeaderFilter: filters.map(([name, value]) => ({ field: name.slice(2), value })),
      initialSort: columns.some((c) => c.field === field) ? [{ column: field, dir: dir === "desc" ? "desc" : "asc" }] : [],
      rowFormatter: (row) => focusable(row, show), selectableRows: false, renderVerticalBuffer: 120, renderHorizontal: columns.length > 25 ? "virtual" : "basic",
    });
    table.on("cellClick", (event, cell) => show(cell));
    table.on("dataFiltered", (_, found) => { lines = found; $("table-count").textContent = `${found.length.toLocaleString("en")} of ${data.length.toLocaleString("en")} rows`; });
    const changed = () => {
      for (const name of [...state.keys()]) if (name.startsWith("f.")) state.delete(name);
      for (const { field: of, value } of table.getHeaderFilters()) if (value) state.set("f." + of, value);
      const [first] = table.getSorters();
      keep("sort", first ? `${first.field}:${first.dir}` : "");
    };
    table.on("tableBuilt", () => { table.on("dataFiltered", changed); table.on("dataSorted", changed); labelled(holder, "All cells, tasks, methods and labellings"); });
    table.on("renderComplete", () => labelled(holder, "All cells, tasks, methods and labellings"));
  }
  const copy = (label, text) => { const button = el("button", { type: "button" }, label); button.addEventListener("click", () => copied(label, text())); return button; };
  const taken = (separator) => {
    const built = table.initialized, shown = built ? table.getColumns().filter((c) => c.isVisible()).map((c) => c.getDefinition()) : standing.columns;
    const rows = built ? table.getData("active") : standing.data, differences = (row) => row.rows && state.get("what") !== "value";
    const cells = rows.map((row) => shown.map((c) => {
      const value = row[c.field], metric = /^m\d+$/.exec(c.field) ? names[+c.field.slice(1)] : row.metric;
      if (typeof value !== "number") return value ?? "";
      if (c.field === "padj" || c.field === "p") return separator === "csv" ? value : probability(value);
      if (separator === "csv") return rounded(value, 7);
      if (c.field === "queries") return String(value);
      if (c.field === "low" || c.field === "high") return fixed(value);
      return c.field === "difference" || differences(row) ? signed(value) : inMetric(metric, value);
    }));
    const bold = rows.map((row) => shown.map((c) => differences(row) && ["better", "worse"].includes(row.rows[c.field]?.verdict)));
    return [shown.map((c) => c.title), cells, shown.map((c) => c.hozAlign === "right"), bold];
  };
  const toolbar = () => {
    const over = state.get("pivot") ?? "";
    const kinds = D.cells.length < 2 ? [] : [...["backbone", "dataset"].map((kind) => [kind, unique(D.cells.map((cell) => cell[kind]))]).filter(([, all]) => all.length > 1), ["task", tasks]];
    const whole = [...(total > WHOLE ? [] : [["all", `all ${total.toLocaleString("en")} rows`]]), ...kinds.flatMap(([kind, all]) => all.map((name) => [`${kind}:${name}`, `${kind} ${name}`]))];
    const parts = whole.length === 1 ? [] : [choose("of", "of", whole, state.get("of") ?? usual, (value) => { keep("of", value); build(); })];
    parts.push(choose("pivot", "columns", [["", "as they are"], ...DIMENSIONS.map((name) => [name, `one a ${name}`])], over, (value) => { keep("pivot", value); toolbar(); build(); $("choose-pivot").focus(); }));
    if (over) parts.push(choose("what", "numbers", WHAT, state.get("what") ?? "difference", (value) => { keep("what", value); build(); }));
    else {
      const boxes = el("fieldset", {}, el("legend", {}, "also"));
      const inside = el("details", {}, el("summary", {}, "More columns"), boxes);
      for (const [field, title] of optional) {
        const box = el("input", { type: "checkbox", value: field });
        box.checked = asked().includes(field);
        box.addEventListener("change", () => { keep("cols", [...boxes.querySelectorAll("input:checked")].map((b) => b.value).join(",")); build(); });
        boxes.append(el("label", {}, box, ` ${title}`));
      }
      parts.push(inside);
    }
    const clear = el("button", { type: "button" }, "Clear filters");
    clear.addEventListener("click", () => { table.clearHeaderFilter(); table.clearSort(); });
    parts.push(clear, copy("Copy Markdown", () => markdown(...taken("md"))), copy("Copy LaTeX", () => latex(...taken("tex"))), copy("Copy CSV", () => csv(...taken("csv"))));
    controls.replaceChildren(...parts);
  };
  toolbar();
  grids.set(place, { table: () => null, paper: () => { if (!standing) return null; const [heads, rows, right] = taken("md"); return firstRows("The table as it stands", heads, rows, right); } });
  build();
}
// Tabulator leaves its grid without a name, and puts into it what can be focused but is neither row nor cell
function labelled(holder, name) {
  holder.setAttribute("aria-label", name);
  holder.querySelector(".tabulator-tableholder")?.removeAttribute("tabindex");
}
const BOLD = `Bold: corrected p < ${ALPHA}.`;
function markdown(heads, lines, right, bold) {
  const cell = (value) => String(value).replaceAll("|", "\\|").replaceAll("\n", " ");
  return [`| ${heads.map(cell).join(" | ")} |`, `|${right.map((r) => r ? "---:" : "---").join("|")}|`, ...lines.map((line, i) => `| ${line.map((value, j) => bold[i][j] ? `**${cell(value)}**` : cell(value)).join(" | ")} |`), ...(bold.flat().some(Boolean) ? ["", BOLD] : [])].join("\n");
}
function latex(heads, lines, right, bold) {
  const signs = { "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", _: "\\_", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}", "−": "$-$", "±": "$\\pm$", "–": "--", "<": "$<$", ">": "$>$", "⁺": "$^+$", φ: "$\\phi$" };
  const cell = (value) => String(value).replace(/[&%$#_{}~^\\−±–<>⁺φ]/g, (sign) => signs[sign]);
  const row = (line, i) => line.map((value, j) => bold[i]?.[j] ? `\\textbf{${cell(value)}}` : cell(value)).join(" & ") + " \\\\";
  return [...(bold.flat().some(Boolean) ? [`% ${BOLD}`] : []), `\\begin{tabular}{${right.map((r) => r ? "r" : "l").join("")}}`, "\\toprule", row(heads, -1), "\\midrule", ...lines.map(row), "\\bottomrule", "\\end{tabular}"].join("\n");
}
function csv(heads, lines) {
  const cell = (value) => /[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  return [heads, ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n";
}
function copied(what, text) {
  const dialog = $("copied"), area = dialog.querySelector("textarea");
  area.value = text;
  const tell = (done) => { $("copied-said").textContent = done ? `${what.replace("Copy ", "")} is on the clipboard; here it is as well.` : "Press Ctrl+C to copy it."; };
  dialog.showModal();
  area.select();
  (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => tell(true), () => tell(document.execCommand("copy")));
}

// --- blocks -------------------------------------------------------------------------------------------------------
const numberLike = (text) => /^[+−±<>\s]*[\d.,]+( ?%)?$|^–$|^$|^\[.*\]$/.test(text);
const ROWS = 40; // of a plain table, at most, and of a longer one on paper
function plainTable(caption, heads, lines, right) {
  const head = el("tr", {}, ...heads.map((text, i) => el("th", { scope: "col", class: right[i] ? "n" : null }, text)));
  const body = lines.map((line) => el("tr", {}, ...line.map((text, i) => i ? el("td", { class: right[i] ? "n" : null }, ...linked(text, heads[i])) : el("th", { scope: "row" }, ...linked(text, heads[i])))));
  return el("table", { class: heads.length > 9 ? "plain wide" : "plain" }, el("caption", {}, caption), el("thead", {}, head), el("tbody", {}, ...body));
}
function firstRows(caption, heads, lines, right) {
  return plainTable(lines.length > ROWS ? `${caption}: the first ${ROWS} of ${lines.length.toLocaleString("en")} rows` : caption, heads, lines.slice(0, ROWS), right);
}
function tableBlock(block) {
  const { heads, rows: lines, caption } = block;
  const right = heads.map((_, i) => lines.some((line) => line[i] && line[i] !== MISSING) && lines.every((line) => numberLike(line[i] ?? "")));
  const build = () => {
    if (lines.length > ROWS) {
      const holder = el("div", {});
      let made = null;
      const value = (text) => parseFloat(String(text).replace("−", "-").replace(/,(?=\d)|[+±<>[\s]/g, "")); // an interval by its lower end
      setTimeout(() => { if (!holder.isConnected) return;
        made = new Tabulator(holder, { data: lines.map((line) => Object.fromEntries(line.map((text, i) => ["c" + i, text]))), height: 420, layout: "fitDataStretch", rowFormatter: (row) => focusable(row, () => {}), renderVerticalBuffer: 60,
        columns: heads.map((head, i) => column(head, "c" + i, { hozAlign: right[i] ? "right" : "left", formatter: "plaintext", ...(right[i] ? { sorter: (a, b) => (isNaN(value(a)) ? -Infinity : value(a)) - (isNaN(value(b)) ? -Infinity : value(b)) } : {}) })) });
        made.on("tableBuilt", () => labelled(holder, caption)); });
      grids.set(holder, { table: () => made, paper: () => firstRows(caption, heads, lines, right) });
      return el("div", {}, el("p", { class: "none" }, caption), holder);
    }
    return el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": caption }, plainTable(caption, heads, lines, right));
  };
  return block.folded ? folded(caption, build) : build();
}
// what is inside of it is there while it is open
const folds = new WeakMap();
function folded(title, build) {
  const made = el("details", {}, el("summary", {}, title));
  const turned = () => {
    if (made.open && made.children.length === 1) made.append(build());
    if (!made.open) { dropped(made); while (made.children.length > 1) made.lastChild.remove(); }
  };
  folds.set(made, turned);
  made.addEventListener("toggle", turned);
  return made;
}
const grids = new Map(); // an element → the Tabulator in it, and what of it is printed
function dropped(element) {
  for (const [holder, { table }] of [...grids]) if (element.contains(holder) || !holder.isConnected) { table()?.destroy(); grids.delete(holder); }
}
function linked(text, head) {
  if (head !== "source" && !/arxiv/i.test(text ?? "")) return [text ?? ""];
  const parts = [];
  let end = 0;
  for (const found of String(text ?? "").matchAll(/(?:arXiv[: ]|https:\/\/arxiv\.org\/abs\/)?\b(\d{4}\.\d{5})\b/g)) {
    parts.push(text.slice(end, found.index), el("a", { href: `https://arxiv.org/abs/${found[1]}` }, `arXiv ${found[1]}`));
    end = found.index + found[0].length;
  }
  return [...parts, String(text ?? "").slice(end)];
}
const look = (i) => ({ stroke: palette[i % 8], symbol: symbols[i % 8], dash: dashes[Math.floor(i / 8) % 4] });
function linesBlock(block) {
  const all = unique(block.panels.flatMap((panel) => panel.lines.map((line) => line.name)).filter(Boolean));
  const width = 330;
  const symlog = block.scale === "symlog";
  const drawn = block.panels.map((panel) => {
    const points = panel.lines.flatMap((line) => line.x.map((x, i) => ({ line: line.name, x, y: line.y[i], low: line.low?.[i], high: line.high?.[i] }))).filter((point) => point.y != null);
    if (!points.length) return null;
    const at = unique(points.map((point) => point.x)).sort((a, b) => a - b);
    const place = symlog ? (x) => Math.sign(x) * Math.log10(1 + Math.abs(x)) : block.scale === "log" ? Math.log10 : (x) => x;
    const span = place(at.at(-1)) - place(at[0]) || 1, ticks = [];
    for (const x of [...at].reverse()) if (!ticks.length || place(ticks.at(-1)) - place(x) >= 0.12 * span) ticks.push(x);
    const colour = (point) => point.line ? look(all.indexOf(point.line)).stroke : "currentColor";
    const symbol = (point) => point.line ? look(all.indexOf(point.line)).symbol : "circle";
    const dense = points.length > 60 * panel.lines.length;
    const plot = Plot.plot({
      width, height: 200, marginLeft: 46, marginRight: 14, marginTop: 10, marginBottom: 34,
      x: { type: block.scale === "linear" ? "linear" : block.scale, ...(symlog ? { constant: 1 } : {}), label: block.over, ...(symlog || (at.length <= 40 && block.scale !== "linear") ? { ticks, tickFormat: (x) => plainNumber(x) } : { ticks: 6, tickFormat: (x) => plainNumber(x) }) },
      y: { label: null, grid: true, ticks: 5, zero: false, tickFormat: (y) => plainNumber(y) }, color: { type: "identity" }, symbol: { type: "identity" },
      ariaLabel: `${panel.title} over ${block.over}`,
      marks: [
        ...(block.marks ?? []).map(([x], i) => Plot.ruleX([x], { strokeDasharray: i ? "1 4" : "5 4", strokeOpacity: 0.7 })),
        ...(panel.level == null ? [] : [Plot.ruleY([panel.level], { strokeDasharray: "5 4", strokeOpacity: 0.8 })]),
        Plot.areaY(points.filter((p) => p.low != null), { x: "x", y1: "low", y2: "high", z: "line", fill: colour, fillOpacity: 0.18 }),
        ...panel.lines.map((line) => Plot.line(points.filter((p) => p.line === line.name), { x: "x", y: "y", stroke: colour, strokeWidth: 1.5, strokeDasharray: line.name ? look(all.indexOf(line.name)).dash : null })),
        ...(dense || points.length > 80 ? [] : [Plot.dot(points, { x: "x", y: "y", stroke: colour, fill: colour, symbol, r: 2.4 })]),
        Plot.tip(points, Plot.pointer({ x: "x", y: "y", fill: "var(--paper)", title: (p) => `${p.line ? p.line + "\n" : ""}${block.over} ${plainNumber(p.x)}: ${plainNumber(p.y)}${panel.unit ? " " + panel.unit : ""}${p.low == null ? "" : `\n[${plainNumber(p.low)}, ${plainNumber(p.high)}]`}` })),
      ],
    });
    return el("div", {}, el("p", { class: "panel" }, panel.title), pictured(plot));
  }).filter(Boolean);
  const marks = (block.marks ?? []).map(([, name], i) => `${i ? "┈" : "╌"} ${name}`);
  const legend = el("ul", { class: "legend" }, ...all.map((name, i) => el("li", {}, sign(i, true), ` ${name}`)), ...marks.map((words) => el("li", {}, words)));
  const table = () => {
    const over = unique(block.panels.flatMap((panel) => panel.lines.flatMap((line) => line.x))).sort((a, b) => a - b);
    // the longer side goes down
    const drawnLines = block.panels.flatMap((panel) => panel.lines.map((line) => [panel.title + (line.name ? ` · ${line.name}` : ""), new Map(line.x.map((x, i) => [x, line.y[i]]))]));
    if (over.length > Math.max(12, drawnLines.length)) {
      return tableBlock({ caption: `Over ${block.over}, all numbers`, heads: [block.over, ...drawnLines.map(([name]) => name)], rows: over.map((x) => [plainNumber(x), ...drawnLines.map(([, at]) => plainNumber(at.get(x)))]) });
    }
    return tableBlock({ caption: `Over ${block.over}, all numbers`, heads: ["measure", "line", ...over.map(plainNumber)],
      rows: block.panels.flatMap((panel) => panel.lines.map((line) => { const at = new Map(line.x.map((x, i) => [x, line.y[i]])); return [panel.title, line.name, ...over.map((x) => plainNumber(at.get(x)))]; })) });
  };
  return el("figure", {}, all.length || marks.length ? legend : null, el("div", { class: "panels-of" }, ...drawn), el("figcaption", {}, block.caption), folded("All numbers", table));
}
function histogramsBlock(block) {
  const height = 46, all = block.panels;
  const left = d3.min(all, (p) => p.left), right = d3.max(all, (p) => p.left + p.width * Math.max(p.matching.length, p.other.length));
  const width = 560, x = d3.scaleLinear([left, right], [6, width - 6]);
  const svg = d3.create("svg").attr("viewBox", [0, 0, width, all.length * height + 34]).attr("width", width).attr("role", "img")
    .attr("aria-label", `${block.caption}: ${all.map((p) => `${p.name}${p.step && ", step " + p.step} overlap ${p.overlap}`).join("; ")}`);
  all.forEach((panel, i) => {
    const top = 99, base = (i + 1) * height;
    const outline = (bins, closed) => {
      let path = `M${x(panel.left)},${base}`;
      bins.forEach((value, j) => { const y = base - value / top * (height - 16); path += `V${y.toFixed(1)}H${x(panel.left + (j + 1) * panel.width).toFixed(1)}`; });
      return path + `V${base}` + (closed ? "Z" : "");
    };
    svg.append("path").attr("d", outline(panel.matching, true)).attr("fill", "var(--c2)").attr("fill-opacity", 0.5);
    svg.append("path").attr("d", outline(panel.other)).attr("fill", "none").attr("stroke", "var(--c1)").attr("stroke-width", 1.5);
    svg.append("line").attr("x1", 6).attr("x2", width - 6).attr("y1", base).attr("y2", base).attr("stroke", "currentColor").attr("stroke-opacity", 0.4);
    const words = svg.append("text").attr("x", 6).attr("y", base - height + 13).attr("font-size", 12).attr("fill", "currentColor");
    words.text(panel.name + (panel.step ? `, step ${panel.step}` : ""));
    svg.append("text").attr("x", width - 6).attr("y", base - height + 13).attr("font-size", 12).attr("text-anchor", "end").attr("fill", "currentColor").text(`overlap ${panel.overlap}`);
  });
  svg.append("g").attr("transform", `translate(0,${all.length * height})`).call(d3.axisBottom(x).ticks(8)).attr("font-size", 11).attr("font-family", "system-ui, sans-serif");
  return el("figure", {}, el("ul", { class: "legend" }, el("li", {}, el("span", { style: "color:var(--c2)" }, "█"), " matching pairs"), el("li", {}, el("span", { style: "color:var(--c1)" }, "━"), " other pairs")),
    el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Figure: similarities" }, svg.node()),
    el("figcaption", {}, `${block.caption}; over the cosine, each panel on a vertical scale of its own. The overlap is the area that the two histograms share, each of area 1.`));
}
// two signs a coordinate, six bits each
const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const SIX = Object.fromEntries([...SIGNS].map((sign, i) => [sign, i]));
const coordinates = (text) => Array.from({ length: text.length / 2 }, (_, i) => 64 * SIX[text[2 * i]] + SIX[text[2 * i + 1]]);
function cloudBlock(packed, all) {
  const block = { ...packed, items: all.items, modalities: Object.fromEntries(Object.entries(packed.modalities).map(([kind, p]) => [kind, { x: coordinates(p.x), y: coordinates(p.y), of: all.lists[p.of] }])) };
  const kinds = Object.keys(block.modalities), usual = { image: 1, text: 0, oti: 2, ovi: 3 };
  const width = 640, xs = kinds.flatMap((k) => block.modalities[k].x), ys = kinds.flatMap((k) => block.modalities[k].y);
  const scale = (width - 40) / Math.max(1, d3.max(xs)), height = Math.max(160, d3.max(ys) * scale + 40);
  const at = (points, i) => [20 + points.x[i] * scale, height - 20 - points.y[i] * scale];
  const svg = d3.create("svg").attr("viewBox", [0, 0, width, height]).attr("class", "cloud").attr("role", "img")
    .attr("aria-label", `Scatter of ${kinds.map((k) => `${block.modalities[k].x.length} ${k} features`).join(", ")} in a plane`);
  const legend = el("ul", { class: "legend" }), every = [], size = xs.length > 400 ? 5 : 7;
  kinds.forEach((kind, n) => {
    const points = block.modalities[kind], colour = palette[(usual[kind] ?? 4 + n) % 8], square = n % 2;
    let path = "";
    points.x.forEach((_, i) => { const [x, y] = at(points, i); path += `M${x.toFixed(1)},${y.toFixed(1)}h0`; every.push({ kind, x, y, of: points.of[i] }); });
    svg.append("path").attr("d", path).attr("stroke", colour).attr("stroke-width", size).attr("stroke-linecap", square ? "square" : "round").attr("stroke-opacity", 0.55).attr("fill", "none");
    legend.append(el("li", {}, el("span", { style: `color:${colour}` }, square ? "■" : "●"), ` ${kind} (${points.x.length})`));
  });
  kinds.forEach((kind) => {
    const [x, y] = [d3.mean(every.filter((p) => p.kind === kind), (p) => p.x), d3.mean(every.filter((p) => p.kind === kind), (p) => p.y)];
    svg.append("path").attr("d", `M${x - 6},${y - 6}l12,12m0,-12l-12,12`).attr("stroke", "currentColor").attr("stroke-width", 2.2).append("title").text(`mean of ${kind}`);
  });
  const join = svg.append("path").attr("stroke", "currentColor").attr("stroke-width", 1.5).attr("fill", "none"), rings = svg.append("path").attr("stroke", "currentColor").attr("stroke-width", 2).attr("fill", "none");
  const words = el("p", { class: "said", "aria-live": "polite" }, " ");
  svg.on("pointermove", (event) => {
    const [x, y] = d3.pointer(event), near = d3.least(every, (p) => (p.x - x) ** 2 + (p.y - y) ** 2);
    if (!near || (near.x - x) ** 2 + (near.y - y) ** 2 > 600) return;
    const pair = every.filter((p) => p.of === near.of);
    join.attr("d", pair.map((p) => `M${near.x},${near.y}L${p.x},${p.y}`).join(""));
    rings.attr("d", pair.map((p) => `M${p.x - 6},${p.y}a6,6 0 1,0 12,0a6,6 0 1,0 -12,0`).join(""));
    words.textContent = `${near.kind} of ${block.items[near.of]}${pair.length > 1 ? `, joined with its ${pair.filter((p) => p !== near).map((p) => p.kind).join(", ")}` : ""}`;
  });
  return el("figure", {}, legend, svg.node(), words, el("figcaption", {}, block.caption));
}
// spheres over steps: never moving by themselves; where less motion is preferred there is the slider alone
function sphereBlock(block) {
  const last = d3.max(block.runs, (run) => run.steps.length) - 1, radius = 100, named = ["first encoder", "second encoder"];
  const place = (sign) => (sign / 4095 * 2 - 1) * radius;
  const balls = block.runs.map((run) => {
    const svg = d3.create("svg").attr("viewBox", "-112 -112 224 224").attr("width", 240).attr("role", "img");
    svg.append("circle").attr("r", radius).attr("fill", "none").attr("stroke", "currentColor").attr("stroke-opacity", 0.4);
    const pairs = svg.append("path").attr("fill", "none").attr("stroke", "currentColor").attr("stroke-opacity", 0.2).attr("stroke-width", 0.6);
    const paths = [0.25, 1].map((opacity) => block.colours.map((colour, i) => svg.append("path").attr("fill", "none").attr("stroke", colour).attr("stroke-opacity", opacity).attr("stroke-width", i ? 5 : 6).attr("stroke-linecap", i ? "square" : "round")));
    const words = el("p", { class: "panel" });
    const draw = (at) => {
      const frame = run.frames[Math.min(at, run.frames.length - 1)], step = run.steps[Math.min(at, run.steps.length - 1)];
      const clouds = frame.map((cloud) => { const all = coordinates(cloud.at); return Array.from({ length: all.length / 2 }, (_, i) => [place(all[2 * i]), -place(all[2 * i + 1]), cloud.front[i] === "1"]); });
      clouds.forEach((cloud, i) => [false, true].forEach((front, side) => paths[side][i].attr("d", cloud.filter((point) => point[2] === front).map(([x, y]) => `M${x.toFixed(1)},${y.toFixed(1)}h0`).join(""))));
      pairs.attr("d", clouds[0].map(([x, y], i) => `M${x.toFixed(1)},${y.toFixed(1)}L${clouds[1][i][0].toFixed(1)},${clouds[1][i][1].toFixed(1)}`).join(""));
      words.textContent = `batches of ${run.size}, step ${step.toLocaleString("en")}`;
      svg.attr("aria-label", `Both encoders' features on the sphere, ${words.textContent}`);
    };
    return { made: el("div", {}, words, svg.node()), draw, step: (at) => run.steps[Math.min(at, run.steps.length - 1)] };
  });
  const slider = el("input", { type: "range", min: 0, max: last, value: last, "aria-label": "point in training" });
  const show = (at) => { slider.value = at; slider.setAttribute("aria-valuetext", `step ${balls[0].step(at)}`); for (const ball of balls) ball.draw(at); };
  let timer = null;
  const play = matchMedia("(prefers-reduced-motion: reduce)").matches ? null : el("button", { type: "button" }, "Play");
  const stop = () => { clearInterval(timer); timer = null; if (play) play.textContent = "Play"; };
  play?.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (+slider.value === last) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => { if (!slider.isConnected || +slider.value >= last) stop(); else show(+slider.value + 1); }, 400);
  });
  slider.addEventListener("input", () => { stop(); show(+slider.value); });
  show(last);
  const legend = el("ul", { class: "legend" }, ...block.colours.map((colour, i) => el("li", {}, el("span", { style: `color:${colour}` }, i ? "■" : "●"), ` ${named[i]}`)));
  return el("figure", {}, legend, el("div", { class: "spheres" }, ...balls.map((ball) => ball.made)), el("div", { class: "turner" }, play, slider), el("figcaption", {}, block.caption));
}
function factsBlock(block) {
  return el("dl", { class: "facts" }, ...block.rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}
const KINDS = { table: tableBlock, lines: linesBlock, histograms: histogramsBlock, cloud: cloudBlock, sphere: sphereBlock, facts: factsBlock, text: (block) => el("p", {}, block.text) };
let loaded = null;
const drawnBlock = (block) => KINDS[block.kind](block, loaded);

// --- single queries: a cell's rankings, its dataset's items and the pictures are each unpacked when first asked for ---
const WHYS = [["helped", "most helped"], ["harmed", "most harmed"], ["random", "drawn at random"]];
const MANY = 3; // methods beside each other that nobody chose
async function queries() {
  const number = current, dataset = D.looked.cells[number], cell = D.cells[number];
  const [controls, shown] = [$("queries-controls"), $("queries-shown")];
  $("queries-cell").textContent = `${cell.backbone} on ${cell.dataset}:`;
  $("queries-said").textContent = D.looked.said.join(" ");
  if (dataset < 0) { controls.replaceChildren(); shown.replaceChildren(el("p", { class: "none" }, "This cell has no retrieval, or report.queries is 0: there is no query to look at.")); return; }
  const [view, items, places] = await Promise.all([lines("looked", D.looked.datasets + number), lines("looked", dataset), lines("pictures", 0)]);
  if (number !== current) return;
  const named = (held) => `${held.title}, by ${held.labelling}`;
  const held = view.find((one) => named(one) === state.get("qr")) ?? view[0], labels = new Map(held.of[0].map((item, i) => [item, held.labels[held.of[1][i]]]));
  const whys = WHYS.map(([name, words], i) => [name, words, held.queries.filter((query) => query[1] === i)]).filter(([, , found]) => found.length);
  const [why, , chosen] = whys.find(([name]) => name === state.get("qw")) ?? whys[0];
  const at = Math.min(Math.max(1, Math.trunc(+state.get("qn")) || 1), chosen.length), [query, , every] = chosen[at - 1];
  const asked = (state.get("qm") ?? "").split("|").filter((name) => held.methods.includes(name));
  const usual = unique([0, held.beside, held.best, ...held.methods.keys()].filter((i) => i >= 0)).slice(0, MANY).map((i) => held.methods[i]);
  const methods = asked.length ? asked : usual;
  const again = async (id, changes) => { for (const [name, value] of Object.entries(changes)) keep(name, value); await queries(); $(id)?.focus(); };
  const step = (id, label, by) => { const button = el("button", { type: "button", id }, label); button.disabled = at + by < 1 || at + by > chosen.length; button.addEventListener("click", () => again(id, { qn: at + by })); return button; };
  const boxes = el("fieldset", {}, el("legend", {}, "methods")), folded = $("queries-methods")?.open;
  for (const name of held.methods) {
    const box = el("input", { type: "checkbox", value: name });
    box.checked = methods.includes(name);
    box.addEventListener("change", async () => {
      await again("", { qm: [...boxes.querySelectorAll("input:checked")].map((one) => one.value).join("|") });
      [...controls.querySelectorAll("input")].find((other) => other.value === name)?.focus();
    });
    boxes.append(el("label", {}, box, ` ${name}`));
  }
  controls.replaceChildren(
    choose("qr", "retrieval", view.map((one) => [named(one), named(one)]), named(held), (value) => again("choose-qr", { qr: value, qw: "", qn: "" })),
    choose("qw", "queries", whys.map(([name, words, found]) => [name, `${words}${name !== "random" && held.beside >= 0 ? ` by ${held.methods[held.beside]}` : ""} (${found.length})`]), why, (value) => again("choose-qw", { qw: value, qn: "" })),
    el("span", { class: "steps" }, step("queries-before", "Previous query", -1), el("span", { role: "status" }, ` ${at} of ${chosen.length} `), step("queries-next", "Next query", 1)),
    el("details", { id: "queries-methods", open: folded ? "" : null }, el("summary", {}, `Methods (${methods.length} of ${held.methods.length})`), boxes));
  const seen = (item) => {
    const words = items.texts[item], place = places?.[dataset]?.[item] ?? -1;
    if (place >= 0) return el("img", { src: `data:image/webp;base64,${lineOf("pictures", place + 1)}`, alt: "" });
    return words ? el("p", { class: "words" }, words) : null;
  };
  const told = (item) => el("p", { class: "id" }, ...[labels.get(item), items.ids[item]].filter(Boolean).flatMap((text, i) => i ? [el("br"), text] : [text]));
  const base = every.find(([method]) => method === 0)?.[1];
  shown.replaceChildren(
    el("div", { class: "query" }, el("h3", {}, "The query"), seen(query), told(query)),
    ...methods.map((name) => {
      const way = every.find(([method]) => held.methods[method] === name);
      if (!way) return el("div", { class: "ranking" }, el("h4", {}, name), el("p", { class: "none" }, "not measured for this query"));
      const [method, ap, found, right, scores, ...bars] = way, apart = method && ap != null && base != null ? `, ${signed((ap - base) / 100)}` : "";
      return el("div", { class: "ranking" },
        el("h4", {}, name, el("span", { class: "none" }, ` average precision ${ap == null ? MISSING : `${fixed(ap / 100)} %`}${apart}`)),
        el("ol", { class: "results" }, ...found.map((item, i) => el("li", { class: right[i] === "1" ? "right" : "wrong" },
          el("p", { class: "mark" }, el("b", {}, right[i] === "1" ? "✓ right" : "✗ wrong"), ` ${fixed(scores[i] / 1000, 3)}`), seen(item), told(item)))),
        spread(name, bars));
    }));
}
function spread(name, [low, width, relevant, others, matching, other]) {
  if (!matching.length) return null;
  const wide = 340, tall = 56, x = d3.scaleLinear([low / 100, (low + width * matching.length) / 100], [14, wide - 14]), level = (sign) => tall - 2 - SIX[sign] / 63 * (tall - 8);
  const outline = (bars) => [...bars].reduce((path, sign, i) => `${path}V${level(sign).toFixed(1)}H${x((low + (i + 1) * width) / 100).toFixed(1)}`, `M${x(low / 100)},${tall - 2}`) + `V${tall - 2}`;
  const svg = d3.create("svg").attr("viewBox", [0, 0, wide, tall + 18]).attr("width", wide).attr("role", "img")
    .attr("aria-label", `Similarities by ${name}: ${relevant} relevant and ${others} other items of the gallery, from ${(low / 100).toFixed(2)} to ${((low + width * matching.length) / 100).toFixed(2)}`);
  svg.append("path").attr("d", outline(matching) + "Z").attr("fill", "var(--c2)").attr("fill-opacity", 0.5);
  svg.append("path").attr("d", outline(other)).attr("fill", "none").attr("stroke", "var(--c1)").attr("stroke-width", 1.5);
  svg.append("g").attr("transform", `translate(0,${tall})`).call(d3.axisBottom(x).ticks(6)).attr("font-size", 10).attr("font-family", "system-ui, sans-serif");
  return el("figure", { class: "spread" }, svg.node(), el("figcaption", {}, el("span", { style: "color:var(--c2)" }, "█"), ` ${relevant.toLocaleString("en")} relevant, `, el("span", { style: "color:var(--c1)" }, "━"), ` ${others.toLocaleString("en")} other`));
}

// --- chapters: drawn when they come near, or are printed -----------------------------------------------------------
const waiting = new Map();
const near = new IntersectionObserver((seen) => { for (const { target, isIntersecting } of seen) if (isIntersecting) now(target); }, { rootMargin: "400px" });
function later(element, draw) { waiting.set(element, draw); near.observe(element); }
function now(element) { const draw = waiting.get(element); waiting.delete(element); near.unobserve(element); draw?.(); }

// a block is in the document while it is near the part of the page that is seen, so that there are few nodes however
// much there is to see; what was opened in it is open when it comes back
let printing = false;
const units = new WeakMap();
const close = new IntersectionObserver((seen) => { for (const { target, isIntersecting } of seen) if (isIntersecting) filled(target); }, { rootMargin: "400px" });
const far = new IntersectionObserver((seen) => { for (const { target, isIntersecting } of seen) if (!isIntersecting) emptied(target); }, { rootMargin: "900px" });
function unit(draw) {
  const place = el("div", { class: "unit" });
  units.set(place, { draw, opened: [] });
  close.observe(place); far.observe(place);
  return place;
}
function filled(place) {
  const { draw, opened } = units.get(place);
  if (place.firstChild) return;
  place.append(draw());
  place.style.minHeight = "";
  [...place.querySelectorAll("details")].forEach((one, i) => { if (opened[i]) one.open = true; });
}
function emptied(place) {
  if (!place.isConnected) { close.unobserve(place); far.unobserve(place); dropped(place); return; }
  if (printing || !place.firstChild || place.contains(document.activeElement)) return;
  units.get(place).opened = [...place.querySelectorAll("details")].map((one) => one.open);
  place.style.minHeight = `${place.offsetHeight}px`;
  dropped(place);
  place.replaceChildren();
}
// on paper everything is drawn and open, and a table that scrolls shows its first rows
addEventListener("beforeprint", () => {
  if (printing) return;
  printing = true;
  [...waiting.keys()].forEach(now);
  onPaper();
  // what waits only for what is unpacked already comes before the print
  (async () => { for (let i = 0; i < 60; i++) { await null; onPaper(); } })();
});
function onPaper() {
  if (!printing) return;
  document.querySelectorAll(".unit").forEach(filled);
  for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; one.dataset.shut = ""; folds.get(one)?.(); }
  for (const [holder, { paper }] of grids) {
    if (!holder.isConnected || holder.nextElementSibling?.classList.contains("paper")) continue;
    const made = paper();
    if (made) holder.after(el("div", { class: "paper" }, made));
  }
}
addEventListener("afterprint", () => {
  printing = false;
  for (const one of document.querySelectorAll(".paper")) one.remove();
  for (const one of document.querySelectorAll("details[data-shut]")) { one.open = false; delete one.dataset.shut; }
  for (const place of document.querySelectorAll(".unit")) { far.unobserve(place); far.observe(place); }
});

let current = 0;
async function chapter(element) {
  const number = current, cell = D.cells[number];
  if (!cell) return;
  const [all, mine] = await Promise.all([parts(), lines("chapters", number)]);
  if (number !== current) return;
  const here = mine.filter((part) => part.chapter === element.dataset.chapter), left = all.left_out.filter(([chapter]) => chapter === element.dataset.chapter).map(([, title]) => title);
  element.replaceChildren(...here.flatMap((part, i) => [
    i ? null : el("p", { class: "none" }, `${cell.backbone} on ${cell.dataset}:`), el("h3", {}, part.title), $(`note-${part.note}`)?.content.cloneNode(true), ...part.blocks.map((block) => unit(() => drawnBlock(block)))]).filter(Boolean),
    ...(left.length ? [el("p", { class: "none" }, `Left out, since the page would be too large with them: ${left.join(", ")}. The tables of each cell in data/metrics have their numbers; a report on fewer backbones or datasets shows them.`)] : []));
  if (printing) onPaper();
}
function pick(number) {
  current = number;
  const select = $("cell");
  if (select) select.value = String(number);
  const cell = D.cells[number];
  keep("cell", number ? `${cell.backbone}/${cell.dataset}` : "");
  for (const element of document.querySelectorAll("[data-chapter]")) if (!waiting.has(element)) chapter(element);
  if ($("queries") && !waiting.has($("queries"))) queries();
}
function gapTable() {
  const place = $("gap-table"), { names: measures, rows: lines } = D.gap;
  if (!lines.length) { place.replaceChildren(el("p", { class: "none" }, "No cell has images and texts to measure a gap between.")); return; }
  const data = lines.map(([cell, features, ...values]) => ({ cell, backbone: D.cells[cell].backbone, dataset: D.cells[cell].dataset, features, ...Object.fromEntries(values.map((v, i) => ["g" + i, v])) }));
  const several = data.some((row) => row.features !== data[0].features);
  const table = new Tabulator(place, { data, layout: "fitDataStretch", ...(data.length > 12 ? { height: 420, renderVerticalBuffer: 120 } : {}),
    columns: [column("backbone", "backbone"), column("dataset", "dataset"), ...(several ? [column("features", "features")] : []),
      ...measures.map(([title, reading], i) => numeric(title, "g" + i, (v) => v == null ? MISSING : fixed(v, 3), { headerTooltip: reading || title, width: undefined, minWidth: 110 }))],
    rowFormatter: (row) => focusable(row, (chosen) => pick(chosen.getData().cell)) });
  table.on("rowClick", (_, row) => pick(row.getData().cell));
  table.on("tableBuilt", () => labelled(place, "Gap measures of all cells"));
  const native = data.filter((row) => row.features === data[0].features), shown = native.slice(0, 6);
  const caption = native.length > shown.length ? `Gap measures: the first ${shown.length} of ${native.length} cells` : "Gap measures";
  grids.set(place, { table: () => null, paper: () => firstRows(caption, ["measure", ...shown.map((row) => `${row.backbone} on ${row.dataset}`)],
    measures.map(([title], i) => [title, ...shown.map((row) => row["g" + i] == null ? MISSING : fixed(row["g" + i], 3))]), ["", ...shown.map(() => "n")]) });
}

async function start() {
  const select = $("cell");
  if (select) {
    D.cells.forEach((cell, i) => select.append(el("option", { value: i }, `${cell.backbone} · ${cell.dataset}`)));
    select.addEventListener("change", () => pick(+select.value));
    const asked = D.cells.findIndex((cell) => `${cell.backbone}/${cell.dataset}` === state.get("cell"));
    current = Math.max(0, asked);
    select.value = String(current);
    const redraw = await forest();
    let width = innerWidth;
    addEventListener("resize", () => { if (Math.abs(innerWidth - width) > 20) { width = innerWidth; redraw?.(); } });
    later($("table"), explore);
    later($("gap-table"), gapTable);
    if ($("queries")) later($("queries"), queries);
  }
  for (const element of document.querySelectorAll("[data-chapter]")) later(element, () => chapter(element));
  for (const element of document.querySelectorAll("[data-blocks]")) {
    later(element, async () => {
      const found = (await parts())[element.dataset.blocks], list = element.dataset.number ? found[+element.dataset.number].blocks : found;
      element.replaceChildren(...list.map((block) => unit(() => drawnBlock(block))));
      if (printing) onPaper();
    });
  }
  if (D.made.length) $("made-facts").replaceChildren(...D.made.flatMap(([name, value]) => [el("dt", {}, name),
    el("dd", {}, value.includes("\n") ? el("details", {}, el("summary", {}, `show ${name}`), el("pre", {}, value)) : value)]));
  if ($("here").textContent) later($("made-here"), async () => {
    const { facts, heads, stages } = await unpacked("here");
    $("made-here").replaceChildren(factsBlock({ rows: facts }), tableBlock({ caption: "Outputs as DVC's locks have them; seconds of the last run of each command here, – of what came from DVC's cache", heads, rows: stages }));
  });
  for (const link of document.querySelectorAll("#bar a")) {
    link.addEventListener("click", (event) => { event.preventDefault(); const target = $(link.hash.slice(1)); target.scrollIntoView(); target.tabIndex = -1; target.focus({ preventScroll: true }); });
  }
  document.documentElement.dataset.ready = "yes";
  // unpacked, they are drawn at once when the page is printed
  (window.requestIdleCallback ?? setTimeout)(() => { parts(); if (total <= 30000) reached(cellsWhere(() => true)); if (D.cells.length) lines("chapters", current); const dataset = D.looked.cells[current]; if (dataset >= 0) [["looked", D.looked.datasets + current], ["looked", dataset], ["pictures", 0]].forEach(([id, at]) => lines(id, at)); });
}
await start();
})();
