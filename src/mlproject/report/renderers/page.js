// The script of a report: draws figures when they come into sight, switches what they show, downloads tables,
// and lets images be sorted, filtered and compared. No storage, no network, nothing evaluated.
"use strict";
(() => {
const root = document.documentElement;
root.classList.add("scripted");
const read = name => JSON.parse(document.getElementById(name + "-data").textContent);
const WIDE = 640, PAGE = 24;

// Figures -------------------------------------------------------------------------------------------------
const drawn = new Map();  // name -> promise of the root model
function draw(name) {
  if (!drawn.has(name)) {
    const place = document.querySelector(`.plot[data-figure="${CSS.escape(name)}"]`);
    drawn.set(name, window.Bokeh.embed.embed_item(read("figure-" + name), place).then(views => {
      const plot = [...views.roots ? views.roots : [views]][0].model;
      fit(name, plot, place.clientWidth);
      new ResizeObserver(() => fit(name, plot, place.clientWidth)).observe(place);
      place.dataset.drawn = "true";
      return plot;
    }));
  }
  return drawn.get(name);
}
const parts = plot => [...plot.renderers, ...plot.center, ...plot.left, ...plot.right, ...plot.above, ...plot.below];
function fit(name, plot, width) {
  const wide = width >= WIDE;
  for (const part of parts(plot)) {
    if ((part.tags || []).includes("legend")) part.ncols = wide ? Math.min(part.items.length, 4) : 1;
  }
  plot.tags = [wide ? "wide" : "narrow"];
  apply(name, plot);
}
function chosen(name) {
  const inputs = document.querySelectorAll(`fieldset[data-figure="${CSS.escape(name)}"] input:checked`);
  return Object.fromEntries([...inputs].map(input => [input.closest("fieldset").dataset.what, input.value]));
}
function apply(name, plot) {
  const options = chosen(name), narrow = plot.tags.includes("narrow");
  for (const part of parts(plot)) {
    const tags = part.tags || [];
    const conditions = tags.filter(tag => tag !== null && typeof tag === "object");
    if (!conditions.length && !tags.includes("wide")) continue;
    const holds = conditions.every(tag => Object.entries(tag instanceof Map ? Object.fromEntries(tag) : tag)
      .every(([what, option]) => [option].flat().includes(options[what])));
    part.visible = holds && !(narrow && tags.includes("wide"));
  }
  for (const tag of plot.x_range.tags || []) {  // room for the labels of wide screens
    const ends = tag instanceof Map ? Object.fromEntries(tag) : tag;
    plot.x_range.end = ends[plot.tags[0]];
    plot.x_range.reset_end = ends[plot.tags[0]];
  }
  for (const tag of plot.y_range.tags || []) {  // mean and median may lie far apart
    const range = tag instanceof Map ? Object.fromEntries(tag) : tag;
    if (range.loss !== options.loss) continue;
    Object.assign(plot.y_range, {start: range.start, end: range.end, reset_start: range.start, reset_end: range.end});
  }
}
document.addEventListener("change", event => {
  const set = event.target.closest("fieldset[data-figure]");
  if (set) draw(set.dataset.figure).then(plot => apply(set.dataset.figure, plot));
});
const places = [...document.querySelectorAll(".plot[data-figure]")];
if (window.Bokeh) {
  const sight = new IntersectionObserver(entries => {
    for (const entry of entries.filter(e => e.isIntersecting)) {
      sight.unobserve(entry.target);
      draw(entry.target.dataset.figure);
    }
  }, {rootMargin: "400px"});
  places.forEach(place => sight.observe(place));
}

// Downloads -----------------------------------------------------------------------------------------------
// A sandboxed frame (such as MLflow's viewer) has no origin and may not download: the text is shown to copy.
const sandboxed = window.self !== window.top && window.origin === "null";
function give(name, text, button) {
  if (sandboxed) { show(name, text, button); return; }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: name.endsWith(".json") ? "application/json" : "text/csv;charset=utf-8"}));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
function show(name, text, button) {
  const next = button.nextElementSibling;
  if (next && next.classList.contains("copy")) { next.remove(); return; }
  const box = document.createElement("span"), area = document.createElement("textarea"), copy = document.createElement("button");
  box.className = "copy";
  box.append(`This viewer blocks downloads. ${name}:`);
  area.value = text; area.readOnly = true; area.setAttribute("aria-label", name);
  copy.type = "button"; copy.textContent = "copy";
  copy.addEventListener("click", () => {
    area.select();
    copy.textContent = document.execCommand("copy") ? "copied" : "press Ctrl+C";
  });
  box.append(area, copy);
  button.after(box);
  area.select();
}
const files = read("files");
document.addEventListener("click", event => {
  const button = event.target.closest("button[data-file]");
  if (button) give(button.dataset.file, files[button.dataset.file], button);
});
document.querySelectorAll(".get button[data-file]").forEach(button => {
  if (!(button.dataset.file in files)) button.remove();
});
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open]):not(.long)")];
  opened.forEach(fold => { fold.open = true; });
});
window.addEventListener("afterprint", () => opened.forEach(fold => { fold.open = false; }));

// Images --------------------------------------------------------------------------------------------------
function unpack(text, type) {
  const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
  return new type(bytes.buffer);
}
const digits = value => value === null || value === undefined || Number.isNaN(value) ? "–"
  : value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(1)
  : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
const percent = share => `${share < 0.01 || share > 0.99 ? (100 * share).toFixed(1) : Math.round(100 * share)}\u00a0%`;
const CHANCES = [[0, 0.1], [0.1, 0.5], [0.5, 0.9], [0.9, 1]];
function cell(text) {  // as a spreadsheet may read it: nothing is a formula
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? "'" + text : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
function option(value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}

class Images {
  constructor(box) {
    this.box = box;
    this.name = box.dataset.gallery;
    this.data = read("gallery-" + this.name);
    this.n = this.data.ids.length;
    this.shown = PAGE;
    this.selected = new Set();
    this.picked = null;
    for (const series of this.data.series) {
      series.loss = unpack(series.losses, Float32Array);
      series.guess = series.predicted === null ? null : unpack(series.predicted, Int16Array);
    }
    this.fill();
    box.addEventListener("change", event => { if (event.target.dataset.control) this.changed(event.target.dataset.control); });
    box.addEventListener("click", event => this.clicked(event));
    this.list();
    const scatter = box.querySelector(".plot");
    const sight = new IntersectionObserver(entries => {
      if (entries.some(entry => entry.isIntersecting)) { sight.disconnect(); this.link(); }
    }, {rootMargin: "400px"});
    sight.observe(scatter);
  }
  part(name) { return this.box.querySelector(`[data-part="${name}"]`); }
  control(name) { return this.box.querySelector(`[data-control="${name}"]`); }
  value(name) { return this.control(name).value; }
  fill() {
    const {series, classes, labels, disagreement} = this.data;
    const sorts = [["last", "loss at the largest size"]];
    if (series.some(s => s.exponent)) sorts.push(["exponent", "exponent, lowest first"], ["q", "q-value, lowest first"]);
    if (disagreement) sorts.push(["disagreement", "disagreement of models"]);
    const {outcomes} = this.data, forecast = series.some(s => s.chance);
    if (outcomes.length) sorts.push(["learned", "learned last, or never"]);
    if (forecast) sorts.push(["chance", "forecast chance, lowest first"]);
    sorts.push(["id", "name"]);
    this.control("sort").append(...sorts.map(([value, text]) => option(value, text)));
    series.forEach((s, i) => this.control("series").append(option(i, s.name)));
    const shows = [["all", "all images"], ["selected", "selected images"]];
    if (series.some(s => s.exponent)) shows.push(["rises", "worse by its power law"]);
    if (series.some(s => s.worse)) shows.push(["worse", "worse beyond what seeds differ by"]);
    if (labels && series.some(s => s.guess)) shows.push(["wrong", "predicted wrongly"]);
    this.control("show").append(...shows.map(([value, text]) => option(value, text)));
    if (labels) this.control("class").append(option(-1, "all classes"), ...classes.map((name, i) => option(i, name)));
    else this.part("classes").remove();
    if (outcomes.length) this.control("learned").append(option(-1, "any size"), ...outcomes.map((words, i) => option(i, words)));
    else this.part("learned").remove();
    if (forecast) this.control("chance").append(option("0,1", "any"), ...CHANCES.map(([low, high]) => option(`${low},${high}`, `${100 * low} to ${100 * high} %`)));
    else this.part("chances").remove();
    for (const axis of ["x", "y"]) {
      series.forEach((s, i) => s.sizes.forEach((size, j) =>
        this.control(axis).append(option(`${i},${j}`, `${s.name} · ${digits(size)} images · seed ${s.seeds[j]}`))));
    }
    const first = series[0], last = series[series.length > 1 ? 1 : 0];
    this.control("x").value = `0,${series.length > 1 ? first.sizes.length - 1 : 0}`;
    this.control("y").value = `${series.length > 1 ? 1 : 0},${last.sizes.length - 1}`;
  }
  loss(series, run, image) { return this.data.series[series].loss[run * this.n + image]; }
  guess(series, run, image) {
    const values = this.data.series[series].guess;
    return values === null ? -1 : values[run * this.n + image];
  }
  majority(series, image) {  // the class predicted by most seeds at the largest size
    const {sizes, guess} = this.data.series[series];
    if (guess === null) return -1;
    const counts = new Map();
    sizes.forEach((size, run) => {
      if (size === sizes[sizes.length - 1]) {
        const name = this.guess(series, run, image);
        counts.set(name, (counts.get(name) || 0) + 1);
      }
    });
    return [...counts].reduce((best, next) => next[1] > best[1] ? next : best)[0];
  }
  order() {
    const sort = this.value("sort"), series = Number(this.value("series")), show = this.value("show");
    const {labels, ids, disagreement} = this.data, s = this.data.series[series];
    const wanted = labels ? Number(this.value("class")) : -1, rises = new Set(s.rises);
    const worse = new Set(s.worse || []), outcome = this.data.outcomes.length ? Number(this.value("learned")) : -1;
    const [low, high] = this.control("chance") ? this.value("chance").split(",").map(Number) : [0, 1];
    const likely = i => (low === 0 && high === 1) || (s.chance && s.chance[i] !== null && s.chance[i] >= low && (s.chance[i] < high || high === 1));
    const kept = [...ids.keys()].filter(i => (wanted < 0 || labels[i] === wanted)
      && (outcome < 0 || (s.outcome && s.outcome[i] === outcome)) && likely(i) && (show !== "worse" || worse.has(i))
      && (show !== "selected" || this.selected.has(i)) && (show !== "rises" || rises.has(i))
      && (show !== "wrong" || this.majority(series, i) !== labels[i]));
    const last = value => value === null || value === undefined ? Infinity : value;
    const keys = {
      last: i => last(s.last[i] === null ? null : -s.last[i]), exponent: i => last(s.exponent && s.exponent[i]),
      q: i => last(s.q && s.q[i]), disagreement: i => last(disagreement && disagreement[i] !== null ? -disagreement[i] : null), id: i => i,
      learned: i => last(s.outcome && s.outcome[i] >= 0 ? -s.outcome[i] : null), chance: i => last(s.chance && s.chance[i]),
    };
    const key = new Map(kept.map(i => [i, keys[sort](i)]));
    kept.sort((a, b) => key.get(a) === key.get(b) ? a - b : key.get(a) < key.get(b) ? -1 : 1);
    return this.control("reverse").getAttribute("aria-pressed") === "true" ? kept.reverse() : kept;
  }
  list() {
    const order = this.order(), series = Number(this.value("series"));
    const cards = order.slice(0, this.shown).map(i => this.card(i, series));
    this.box.querySelector(".cards").replaceChildren(...cards);
    this.control("more").hidden = order.length <= this.shown;
    this.part("count").textContent = order.length ? `${Math.min(this.shown, order.length)} of ${order.length} images`
      + (this.selected.size ? `, ${this.selected.size} selected` : "") : "No image is like this.";
  }
  thumb(element, i) {
    const file = this.data.pictures[i];
    element.style.backgroundImage = file ? `url("data:image/webp;base64,${file}")` : "none";
    element.hidden = !file;
  }
  texts(i, series) {
    const {labels, classes, disagreement} = this.data, s = this.data.series[series], rows = [];
    if (labels && labels[i] >= 0) {
      const guess = this.majority(series, i);
      rows.push([guess < 0 ? classes[labels[i]] : guess === labels[i] ? `${classes[labels[i]]}, predicted so` : `${classes[labels[i]]}, predicted ${classes[guess]}`,
        guess < 0 ? "" : guess === labels[i] ? "right-class" : "wrong"]);
    }
    rows.push([`loss ${digits(s.last[i])}` + (s.exponent && s.exponent[i] !== null ? ` · exponent ${digits(s.exponent[i])} ± ${digits(s.half[i])} (95 %), q ${digits(s.q[i])}` : ""), ""]);
    if (s.outcome && s.outcome[i] >= 0) rows.push([this.data.outcomes[s.outcome[i]] + (s.worse && s.worse.includes(i) ? ", worse beyond seeds" : "")
      + (s.chance && s.chance[i] !== null ? ` · chance at the next size ${percent(s.chance[i])}` : ""), ""]);
    if (disagreement && disagreement[i] !== null) rows.push([`disagreement ${digits(disagreement[i])} points`, ""]);
    return rows;
  }
  card(i, series) {
    const item = document.createElement("li"), button = document.createElement("button");
    const thumb = document.createElement("span"), text = document.createElement("div"), name = document.createElement("strong");
    thumb.className = "thumb";
    this.thumb(thumb, i);
    name.textContent = this.data.ids[i];
    text.append(name);
    for (const [line, kind] of this.texts(i, series)) {
      const row = document.createElement("span");
      row.textContent = line;
      row.className = kind;
      text.append(document.createElement("br"), row);
    }
    button.type = "button";
    button.dataset.image = i;
    button.setAttribute("aria-pressed", this.selected.has(i));
    button.append(thumb, text);
    item.append(button);
    return item;
  }
  clicked(event) {
    const card = event.target.closest("button[data-image]"), control = event.target.closest("button[data-control]");
    if (card) this.select([Number(card.dataset.image)]);
    if (!control) return;
    const name = control.dataset.control;
    if (name === "reverse") control.setAttribute("aria-pressed", control.getAttribute("aria-pressed") !== "true");
    if (name === "clear") this.select([]);
    if (name === "csv") give(`${this.name}.csv`, this.csv(), control);
    if (name === "more") this.shown += PAGE; else if (name === "reverse") this.shown = PAGE;
    if (name === "more" || name === "reverse") this.list();
  }
  changed(name) {
    if (name === "x" || name === "y") { this.scatter(); return; }
    this.shown = PAGE;
    this.list();
    if (name === "series" && this.picked !== null) this.pick(this.picked);
  }
  select(images) {
    this.selected = new Set(images);
    if (this.source) this.source.selected.indices = images.map(i => this.rows.indexOf(i)).filter(row => row >= 0);
    this.mark();
    if (images.length) this.pick(images[0]);
  }
  mark() {
    if (this.value("show") === "selected") { this.list(); return; }
    this.box.querySelectorAll("button[data-image]").forEach(button =>
      button.setAttribute("aria-pressed", this.selected.has(Number(button.dataset.image))));
    const text = this.part("count").textContent.replace(/, \d+ selected$/, "");
    this.part("count").textContent = text + (this.selected.size ? `, ${this.selected.size} selected` : "");
  }
  async link() {
    if (!window.Bokeh) return;
    const plot = await draw(this.name + "-scatter");
    this.plot = plot;
    this.source = plot.document.get_model_by_name("scatter");
    this.scatter();
    this.source.selected.properties.indices.change.connect(() => {
      const images = this.source.selected.indices.map(row => this.rows[row]);
      if (images.length === this.selected.size && images.every(i => this.selected.has(i))) return;
      this.selected = new Set(images);
      this.mark();
      if (images.length) this.pick(images[0]);
    });
    await draw(this.name + "-trend");
    this.pick(this.picked === null ? this.order()[0] : this.picked);
  }
  scatter() {
    if (!this.source) return;
    const [a, b] = ["x", "y"].map(axis => this.value(axis).split(",").map(Number));
    const {labels, classes, ids} = this.data;
    const known = [...ids.keys()].filter(i => this.loss(...a, i) > 0 && this.loss(...b, i) > 0);
    const x = known.map(i => this.loss(...a, i)), y = known.map(i => this.loss(...b, i));
    this.rows = known;
    const right = i => labels && this.guess(...b, i) >= 0 ? this.guess(...b, i) === labels[i] : true;
    this.source.data = {x, y, id: known.map(i => ids[i]), label: known.map(i => labels && labels[i] >= 0 ? classes[labels[i]] : "–"),
      fill: known.map(i => right(i) ? "#0072b2" : "#d55e00"), marker: known.map(i => right(i) ? "circle" : "triangle")};
    this.part("wrong").hidden = known.every(right);
    this.source.selected.indices = [...this.selected].map(i => known.indexOf(i)).filter(row => row >= 0);
    const ends = known.length ? [Math.min(...x, ...y), Math.max(...x, ...y)] : [];
    this.plot.document.get_model_by_name("equal").data = {x: ends, y: ends};
    const title = axis => this.control(axis).selectedOptions[0].textContent;
    this.plot.below[0].axis_label = title("x");
    this.plot.left[0].axis_label = title("y");
  }
  async pick(i) {
    if (i === undefined) return;
    this.picked = i;
    const {ids, classes} = this.data, series = Number(this.value("series"));
    this.part("picked").textContent = ids[i];
    this.part("picked-text").textContent = this.texts(i, series).map(row => row[0]).join(" · ");
    this.thumb(this.box.querySelector(".picked .thumb"), i);
    if (!drawn.has(this.name + "-trend")) return;
    const plot = await draw(this.name + "-trend");
    const points = {x: [], y: [], color: [], fill: [], marker: [], series: [], seed: [], predicted: []};
    const lines = {xs: [], ys: [], color: []};
    this.data.series.forEach((s, k) => {
      const means = new Map();
      s.sizes.forEach((size, run) => {
        const loss = this.loss(k, run, i), guess = this.guess(k, run, i);
        if (!(loss > 0)) return;
        points.x.push(size); points.y.push(loss); points.color.push(s.color); points.marker.push(s.marker);
        points.fill.push(s.hollow ? "#ffffff" : s.color); points.series.push(s.name); points.seed.push(String(s.seeds[run]));
        points.predicted.push(guess < 0 ? "–" : classes[guess]);
        means.set(size, [...means.get(size) || [], loss]);
      });
      lines.xs.push([...means.keys()]);
      lines.ys.push([...means.values()].map(values => values.reduce((a, b) => a + b) / values.length));
      lines.color.push(s.color);
    });
    plot.document.get_model_by_name("points").data = points;
    plot.document.get_model_by_name("lines").data = lines;
  }
  csv() {
    const {labels, classes, ids, disagreement} = this.data, series = Number(this.value("series")), s = this.data.series[series];
    const rows = [["image", "class", "predicted", "model", "loss", "exponent", "q_value", "disagreement", "learned", "worse", "chance"]];
    for (const i of this.order()) {
      const guess = this.majority(series, i);
      const number = values => values && values[i] !== null ? String(values[i]) : "";
      rows.push([ids[i], labels && labels[i] >= 0 ? classes[labels[i]] : "", guess < 0 ? "" : classes[guess], s.name,
        number(s.last), number(s.exponent), number(s.q), number(disagreement), s.outcome && s.outcome[i] >= 0 ? this.data.outcomes[s.outcome[i]] : "",
        s.worse ? String(s.worse.includes(i)) : "", number(s.chance)]);
    }
    return rows.map(row => row.map(cell).join(",") + "\r\n").join("");
  }
}
document.querySelectorAll("[data-gallery]").forEach(box => new Images(box));
})();
