"""What the attention page does in a browser: its CSS and its JavaScript, which need no library."""

STYLE = """
:root { --heat: #f0a020; --other: #5b9bd5; }
@media (prefers-color-scheme: dark) { :root { --heat: #a65f00; --other: #2f6ca8; } }

.controls { display: flex; flex-wrap: wrap; gap: .5rem 1rem; position: sticky; top: 0; z-index: 2;
  background: var(--paper); padding: .5rem 0; border-bottom: 1px solid var(--faint); }
.controls label { font-size: .875rem; }
select, .controls input { font: inherit; color: inherit; background: var(--band); border: 1px solid var(--faint);
  border-radius: 4px; padding: .2rem .3rem; max-width: 100%; }
button.word, button.head { font: inherit; color: inherit; background: none; border: 1px solid transparent;
  border-radius: 4px; padding: .1rem .25rem; cursor: pointer; }
button.word { border-color: var(--faint); margin: .1rem; }
button[aria-pressed=true] { outline: 2px solid var(--link); }
button:focus-visible, select:focus-visible { outline: 3px solid var(--link); outline-offset: 1px; }
.hot { background: color-mix(in srgb, var(--heat) calc(var(--w) * 100%), transparent); border-radius: 3px;
  padding: .05rem .2rem; margin: .05rem; display: inline-block; }
.heads { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .6rem; }
.card { border: 1px solid var(--faint); border-radius: 6px; padding: .4rem .6rem; }
.card small, .note { color: color-mix(in srgb, var(--ink) 70%, var(--paper)); font-size: .8rem; }
.card button.head { font-weight: 600; padding-left: 0; margin-right: .4rem; }
.map { overflow-x: auto; }
.map table { font-size: .75rem; }
.map td { padding: 0; min-width: 1.5rem; height: 1.4rem; border: 1px solid var(--faint); text-align: center;
  background: color-mix(in srgb, var(--heat) calc(var(--w) * 100%), transparent); position: static; }
.map td:first-child { background: color-mix(in srgb, var(--heat) calc(var(--w) * 100%), transparent); }
.map th { padding: .1rem .3rem; font-weight: 400; border: 0; }
.map thead th { writing-mode: vertical-rl; transform: rotate(180deg); background: none; text-align: left; }
.map tr.now th { font-weight: 700; text-decoration: underline; }
.bar { display: inline-block; height: .7rem; width: calc(var(--w) * 6rem + 1px); background: var(--heat); }
.bar.off { background: var(--other); }
.strip { display: inline-block; vertical-align: middle; height: 14px; }
#scores td, #beam td { min-width: 0; white-space: nowrap; }
.scores td, .scores th { padding: .15rem .5rem; }
.scores .hidden td { opacity: .45; }
button.token { border-bottom: 4px solid color-mix(in srgb, var(--heat) calc(var(--w) * 100%), var(--faint)); }
@media (max-width: 40rem) { .controls { position: static; } }
@media print { .controls { position: static; } }
"""

# An element by its id, an element made, and a number as text.
ELEMENTS = r"""
const at = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "w") element.style.setProperty("--w", value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};
const number = (value, digits = 2) => Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "−∞";
"""

SCRIPT = (
    ELEMENTS
    + r"""
const data = JSON.parse(document.getElementById("data").textContent);
const state = { sentence: 0, reading: 0, kind: "", layer: Infinity, head: 0, query: 0, piece: 0, pieces: false };
const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0)).buffer;
const floats = (holder, name) => {
  if (typeof holder[name] === "string") holder[name] = new Float32Array(bytes(holder[name]));
  return holder[name];
};

const reading = () => data.sentences[state.sentence].readings[state.reading];
const layers = () => reading().attention.filter((each) => each.kind === state.kind);
const attention = () => layers()[state.layer];
const inside = () => (reading().inside || {})[attention().name];
const SIDES = { encoder: ["source", "source"], decoder: ["target", "read"], cross: ["target", "source"] };
const side = (which) => reading()[SIDES[state.kind][which]];
const pieceUnits = (text) => text.pieces.map((piece, place) => ({ text: piece, first: place, end: place + 1 }));
const wordUnits = (text) => text.words.map(([first, end, shown]) => ({ text: shown, first, end }));
const units = (text) => (state.pieces ? pieceUnits : wordUnits)(text);

// Weights of a head from one unit to every other: rows of a word in the mean, columns of a word together.
const weight = (each, head, row, column) => floats(each, "weights")[(head * each.rows + row) * each.columns + column];
const looks = (each, head, query, columns) => columns.map((column) => {
  let sum = 0;
  for (let row = query.first; row < query.end; row++)
    for (let place = column.first; place < column.end; place++) sum += weight(each, head, row, place);
  return sum / (query.end - query.first);
});
const entropy = (weights) => weights.reduce((sum, w) => sum - (w > 0 ? w * Math.log(w) : 0), 0);
const softmax = (scores) => {
  const most = Math.max(...scores), powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
};

const options = (id, names, chosen, label) => {
  const select = at(id);
  select.replaceChildren(...names.map((name, place) => make("option", { value: place }, name)));
  select.value = chosen;
  select.closest("label").hidden = names.length < 2 && label !== "always";
};
const KINDS = { encoder: "encoder (source looks at source)", decoder: "decoder (target looks at what is read)",
  cross: "cross (target looks at source)" };

function controls() {
  options("sentence", data.sentences.map((each) => each.text), state.sentence);
  options("reading", data.sentences[state.sentence].readings.map((each) => each.title), state.reading);
  const kinds = [...new Set(reading().attention.map((each) => each.kind))];
  if (!kinds.includes(state.kind)) state.kind = kinds.includes("cross") ? "cross" : kinds[0] || "";
  for (const id of ["kind", "layer", "head", "pieces"]) at(id).closest("label").hidden = !state.kind;
  if (!state.kind) return false;
  options("kind", kinds.map((kind) => KINDS[kind]), kinds.indexOf(state.kind), "always");
  state.layer = Math.min(state.layer, layers().length - 1);
  options("layer", layers().map((_, place) => "layer " + (place + 1)), state.layer);
  state.head = Math.min(state.head, attention().heads - 1);
  options("head", Array.from({ length: attention().heads }, (_, place) => "head " + (place + 1)), state.head);
  state.query = Math.min(state.query, units(side(0)).length - 1);
  return true;
}

function queries() {
  const line = at("queries");
  line.replaceChildren(...units(side(0)).map((unit, place) => make("button", {
    class: "word", type: "button", tabindex: place === state.query ? 0 : -1, "aria-pressed": place === state.query,
    onmouseenter: () => look(place), onfocus: () => look(place), onclick: () => look(place),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const next = step && line.children[place + step];
      if (next) { event.preventDefault(); next.focus(); }
    },
  }, unit.text)));
}

function look(place) {
  state.query = place;
  const unit = units(side(0))[place];
  state.piece = unit.end - 1;
  [...at("queries").children].forEach((button, number) => {
    button.setAttribute("aria-pressed", number === place);
    button.tabIndex = number === place ? 0 : -1;
  });
  heads(); marked(); scores(); token();
}

function heads() {
  const columns = units(side(1)), query = units(side(0))[state.query], each = attention();
  at("heads").replaceChildren(...Array.from({ length: each.heads }, (_, head) => {
    const weights = looks(each, head, query, columns);
    const share = columns.length > 1 ? entropy(weights) / Math.log(columns.length) : 0;
    return make("div", { class: "card" },
      make("button", { class: "head", type: "button", "aria-pressed": head === state.head,
        onclick: () => { state.head = head; render(); at("heads").children[head].firstChild.focus(); } },
        "head " + (head + 1)),
      make("small", {}, "entropy " + number(share) + " of the most there is"), make("div", {},
        ...columns.map((column, place) => make("span", { class: "hot", w: weights[place].toFixed(3),
          title: number(weights[place], 3) }, column.text))));
  }));
}

function map() {
  const rows = units(side(0)), columns = units(side(1)), each = attention();
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("th"), ...columns.map((column) =>
    make("th", { scope: "col" }, column.text)))));
  table.append(make("tbody", {}, ...rows.map((row, place) => make("tr", { onmouseenter: () => look(place) },
    make("th", { scope: "row" }, row.text), ...looks(each, state.head, row, columns).map((w, column) =>
      make("td", { w: w.toFixed(3), title: row.text + " → " + columns[column].text + ": " + number(w, 3) }))))));
  at("map").replaceChildren(table);
  marked();
}
const marked = () => at("map").querySelectorAll("tbody tr").forEach((row, place) =>
  row.classList.toggle("now", place === state.query));

// A vector as a row of coloured cells: one gradient, because a long sentence has thousands of numbers.
const strip = (values, most) => {
  const cell = Math.max(2, Math.min(6, 160 / values.length)), colour = (value) => "color-mix(in srgb, var(--" +
    (value < 0 ? "other" : "heat") + ") " + Math.round(100 * Math.min(1, Math.abs(value) / most)) + "%, var(--band))";
  const stops = Array.from(values, (value, k) => colour(value) + " " + k * cell + "px " + (k + 1) * cell + "px");
  const element = make("span", { class: "strip", role: "img", "aria-label": values.length + " numbers",
    title: Array.from(values, (value) => number(value)).join(" ") });
  element.style.width = values.length * cell + "px";
  element.style.background = "linear-gradient(90deg, " + stops.join(", ") + ")";
  return element;
};
const slice = (held, name, place, head, size, heads) =>
  floats(held, name).subarray((place * heads + head) * size, (place * heads + head + 1) * size);
const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);

function scores() {
  const held = inside(), each = attention(), place = at("scores");
  at("score-part").hidden = !held;
  if (!held) return;
  const H = each.heads, K = held.k, U = held.u, head = state.head, row = state.piece;
  const query = slice(held, "query", row, head, K, H), columns = pieceUnits(side(1));
  const visible = columns.map((_, s) => state.kind !== "decoder" || !held.causal || s <= row);
  const keys = columns.map((_, s) => slice(held, "key", s, head, K, H));
  const values = columns.map((_, s) => slice(held, "value", s, head, U, H));
  const dot = held.kind === "dot", scale = held.scale[head];
  const raw = keys.map((key) => key.reduce((sum, value, k) => sum + (dot ? query[k] * value :
    floats(held, "vector")[head * K + k] * Math.tanh(query[k] + value)), 0));
  const seen = (list) => list.map((value, s) => visible[s] ? value : -Infinity);
  const usual = 1 / Math.sqrt(K), asTrained = softmax(seen(raw.map((value) => value * scale)));
  const model = columns.map((_, s) => weight(each, head, row, s));
  const otherScale = Math.abs(scale - 1) < 1e-6 ? usual : 1;
  const other = softmax(seen(raw.map((value) => value * otherScale)));
  const context = new Float32Array(U);
  values.forEach((value, s) => value.forEach((v, u) => { context[u] += model[s] * v; }));
  const mostK = largest([...keys.map(largest), largest(query)]), mostU = largest(values.map(largest));
  const scaled = "× " + number(scale, 3), heading = [
    "key", "its vector", dot ? "query · key" : "vᵀ tanh(query + key)", ...(dot ? ["score: " + scaled] : []),
    held.softmax ? "softmax: weight" : "weight", "",
    ...(dot ? ["softmax with × " + number(otherScale, 3) + " instead", ""] : []), "value", "weight × value"];
  at("formula").textContent = (dot ? "softmax(query · key × " + number(scale, 4) + ") · value; 1/√d_k is " +
    number(usual, 4) + " here, d_k being " + K : "softmax(vᵀ tanh(query + key)) · value") + (held.softmax ? "" :
    "; this model makes weights of scores in another way than by a softmax");
  const text = side(0).pieces[row];
  at("query-vector").replaceChildren("query of “" + text + "” ", strip(query, mostK));
  place.replaceChildren(make("thead", {}, make("tr", {}, ...heading.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...columns.map((column, s) => make("tr", visible[s] ? {} : { class: "hidden" },
      make("th", { scope: "row" }, column.text), make("td", {}, strip(keys[s], mostK)), make("td", {}, number(raw[s])),
      ...(dot ? [make("td", {}, visible[s] ? number(raw[s] * scale) : "masked")] : []),
      make("td", {}, number(model[s], 3)), make("td", {}, make("span", { class: "bar", w: model[s].toFixed(3) })),
      ...(dot ? [make("td", {}, number(other[s], 3)),
        make("td", {}, make("span", { class: "bar off", w: other[s].toFixed(3) }))] : []),
      make("td", {}, strip(values[s], mostU)),
      make("td", {}, strip(values[s].map((v) => v * model[s]), mostU))))));
  at("context").replaceChildren("what the head passes on: the sum ", strip(context, mostU));
  const most = (list) => number(Math.max(...list), 3), drift = held.softmax ?
    Math.max(...model.map((w, s) => Math.abs(w - asTrained[s]))) : 0;
  place.dataset.drift = drift;
  at("saturation").textContent = "largest weight " + most(model) + ", entropy " + number(entropy(model), 3) + " nats" +
    (dot ? "; with × " + number(otherScale, 3) + " instead: largest " + most(other) + ", entropy " +
    number(entropy(other), 3) + " nats" : "");
}

function translation() {
  const read = reading();
  at("translation").replaceChildren(...read.target.pieces.map((piece, place) => make("button", {
    class: "word token", type: "button", w: read.probability[place].toFixed(3),
    onmouseenter: () => token(place), onfocus: () => token(place), onclick: () => token(place),
  }, piece, make("small", {}, " " + number(read.probability[place])))));
  const beam = read.beam;
  const heading = ["translation", "log-probability", "rank score"];
  at("beam").replaceChildren(make("thead", {}, make("tr", {}, ...heading.map((name) =>
    make("th", { scope: "col" }, name)))), make("tbody", {}, ...beam.map((each) => make("tr", {},
    make("td", {}, each.text), make("td", {}, number(each.score)), make("td", {}, number(each.rank))))));
}

function token(place) {
  const read = reading();
  if (place === undefined) place = state.kind === "encoder" ? 0 : state.piece;
  if (place >= read.likely.length) return;
  const likely = read.likely[place];
  at("token").replaceChildren("instead of “" + read.target.pieces[place] + "”: ", ...likely.map(([piece, p]) =>
    make("span", { class: "hot", w: p.toFixed(3) }, piece + " " + number(p, 3))));
}

function render() {
  const any = controls();
  at("looks").hidden = !any;
  translation();
  if (!any) { token(0); return; }
  queries(); map(); look(state.query);
}

const bind = (id, change) => at(id).addEventListener("change", (event) => { change(event.target); render(); });
bind("sentence", (it) => { state.sentence = +it.value; state.reading = 0; state.query = 0; });
bind("reading", (it) => { state.reading = +it.value; state.query = 0; });
bind("kind", (it) => {
  state.kind = [...new Set(reading().attention.map((each) => each.kind))][+it.value]; state.query = 0;
});
bind("layer", (it) => { state.layer = +it.value; });
bind("head", (it) => { state.head = +it.value; });
bind("pieces", (it) => { state.pieces = it.checked; state.query = 0; });
render();
"""
)
