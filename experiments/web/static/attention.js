const data = JSON.parse(byId("data").textContent);
const state = { sentence: 0, pair: 0, kind: "", layer: Infinity, head: 0, query: 0, piece: 0, showPieces: false };
// Arrays are base64 of little-endian float32; each is decoded at its first use.
const decodeBytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
const floats = (holder, name) => {
  if (typeof holder[name] === "string") holder[name] = new Float32Array(decodeBytes(holder[name]));
  return holder[name];
};

const currentPair = () => data.sentences[state.sentence].pairs[state.pair];
const kindsOf = (pair) => [...new Set(pair.attention.map((layer) => layer.kind))];
const layers = () => currentPair().attention.filter((layer) => layer.kind === state.kind);
const currentLayer = () => layers()[state.layer];
const currentTrace = () => (currentPair().traces || {})[currentLayer().name];
// The texts of the queries and of the keys.
const SIDES = { encoder: ["source", "source"], decoder: ["target", "decoder_input"], cross: ["target", "source"] };
const queryText = () => currentPair()[SIDES[state.kind][0]];
const keyText = () => currentPair()[SIDES[state.kind][1]];
const pieceUnits = (text) => text.pieces.map((piece, index) => ({ text: piece, first: index, end: index + 1 }));
const wordUnits = (text) => text.words.map(([first, end, word]) => ({ text: word, first, end }));
const units = (text) => (state.showPieces ? pieceUnits : wordUnits)(text);

// A head's weights from one unit to every other: the mean over the unit's rows, the sum over the other's columns.
const weight = (layer, head, row, column) =>
  floats(layer, "weights")[(head * layer.rows + row) * layer.columns + column];
const unitWeights = (layer, head, query, keys) => keys.map((key) => {
  let sum = 0;
  for (let row = query.first; row < query.end; row++)
    for (let column = key.first; column < key.end; column++) sum += weight(layer, head, row, column);
  return sum / (query.end - query.first);
});
const entropy = (weights) => weights.reduce((sum, w) => sum - (w > 0 ? w * Math.log(w) : 0), 0);
const softmax = (scores) => {
  const maximum = Math.max(...scores), powers = scores.map((score) => Math.exp(score - maximum));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
};

const fillSelect = (id, names, selected, isAlwaysShown = false) => {
  const select = byId(id);
  select.replaceChildren(...names.map((name, value) => element("option", { value }, name)));
  select.value = selected;
  select.closest("label").hidden = names.length < 2 && !isAlwaysShown;
};
const KINDS = { encoder: "encoder self-attention", decoder: "decoder self-attention", cross: "cross-attention" };

// Fills the selects; returns whether the model has attention.
function renderControls() {
  fillSelect("sentence", data.sentences.map((sentence) => sentence.text), state.sentence);
  fillSelect("pair", data.sentences[state.sentence].pairs.map((pair) => pair.title), state.pair);
  const kinds = kindsOf(currentPair());
  if (!kinds.includes(state.kind)) state.kind = kinds.includes("cross") ? "cross" : kinds[0] || "";
  for (const id of ["kind", "layer", "head", "pieces"]) byId(id).closest("label").hidden = !state.kind;
  if (!state.kind) return false;
  fillSelect("kind", kinds.map((kind) => KINDS[kind]), kinds.indexOf(state.kind), true);
  state.layer = Math.min(state.layer, layers().length - 1);
  fillSelect("layer", layers().map((_, index) => "layer " + (index + 1)), state.layer);
  const { heads } = currentLayer();
  state.head = Math.min(state.head, heads - 1);
  fillSelect("head", Array.from({ length: heads }, (_, index) => "head " + (index + 1)), state.head);
  state.query = Math.min(state.query, units(queryText()).length - 1);
  return true;
}

function renderQueries() {
  const row = byId("queries");
  row.replaceChildren(...units(queryText()).map((unit, index) => element("button", {
    class: "word", type: "button", tabindex: index === state.query ? 0 : -1, "aria-pressed": index === state.query,
    onmouseenter: () => selectQuery(index), onfocus: () => selectQuery(index), onclick: () => selectQuery(index),
    onkeydown: moveInRow,
  }, unit.text)));
}

function selectQuery(index) {
  state.query = index;
  state.piece = units(queryText())[index].end - 1;
  [...byId("queries").children].forEach((button, other) => {
    button.setAttribute("aria-pressed", other === index);
    button.tabIndex = other === index ? 0 : -1;
  });
  renderHeads(); markRow(); renderScores(); showAlternatives();
}

function renderHeads() {
  const keys = units(keyText()), query = units(queryText())[state.query], layer = currentLayer();
  byId("heads").replaceChildren(...Array.from({ length: layer.heads }, (_, head) => {
    const weights = unitWeights(layer, head, query, keys);
    const normalised = keys.length > 1 ? entropy(weights) / Math.log(keys.length) : 0;
    return element("div", { class: "card" },
      element("button", { class: "head", type: "button", "aria-pressed": head === state.head,
        onclick: () => { state.head = head; render(); byId("heads").children[head].firstChild.focus(); } },
        "head " + (head + 1)),
      element("small", {}, "normalised entropy " + formatNumber(normalised)), element("div", { dir: "auto" },
        ...keys.map((key, index) => element("span", { class: "hot", w: weights[index].toFixed(3),
          title: formatNumber(weights[index], 3) }, key.text))));
  }));
}

function renderMap() {
  const queries = units(queryText()), keys = units(keyText()), layer = currentLayer();
  const heading = element("tr", {}, element("th"), ...keys.map((key) => element("th", { scope: "col", dir: "auto" }, key.text)));
  const rows = queries.map((query, row) => element("tr", { onmouseenter: () => selectQuery(row) },
    element("th", { scope: "row", dir: "auto" }, query.text), ...unitWeights(layer, state.head, query, keys).map((w, column) =>
      element("td", { w: w.toFixed(3), title: query.text + " → " + keys[column].text + ": " + formatNumber(w, 3) }))));
  byId("map-heading").textContent = "Attention matrix of head " + (state.head + 1) + ": queries in rows, keys in columns";
  byId("map").replaceChildren(element("table", {}, element("thead", {}, heading), element("tbody", {}, ...rows)));
  markRow();
}
const markRow = () => byId("map").querySelectorAll("tbody tr").forEach((row, index) =>
  row.classList.toggle("now", index === state.query));

// A vector as a row of coloured cells. It is one gradient: a long sentence has thousands of entries.
const strip = (values, maximum) => {
  const cell = Math.max(2, Math.min(6, 128 / values.length)), colour = (value) => "color-mix(in srgb, var(--" +
    (value < 0 ? "other" : "heat") + ") " + Math.round(100 * Math.min(1, Math.abs(value) / maximum)) + "%, var(--band))";
  const stops = Array.from(values, (value, k) => colour(value) + " " + k * cell + "px " + (k + 1) * cell + "px");
  const created = element("span", { class: "strip", role: "img", "aria-label": values.length + " numbers",
    title: Array.from(values, (value) => formatNumber(value)).join(" ") });
  created.style.width = values.length * cell + "px";
  created.style.background = "linear-gradient(90deg, " + stops.join(", ") + ")";
  return created;
};
const headVector = (trace, name, position, head, size, heads) =>
  floats(trace, name).subarray((position * heads + head) * size, (position * heads + head + 1) * size);
const largest = (values) => values.reduce((maximum, value) => Math.max(maximum, Math.abs(value)), 1e-9);

// How the chosen query's scores become weights. A score is a raw score times a factor; some score functions have no
// factor. With a factor, the table also shows the weights with another factor: 1 or, if the factor is 1, 1/√d_k.
function renderScores() {
  const trace = currentTrace(), layer = currentLayer();
  byId("score-part").hidden = !trace;
  if (!trace) return;
  const { head, piece: row } = state, keys = pieceUnits(keyText()), hasFactor = trace.formula !== trace.raw_formula;
  const vectors = (name, size) => keys.map((_, s) => headVector(trace, name, s, head, size, layer.heads));
  const keyVectors = vectors("key", trace.k), values = vectors("value", trace.u);
  const query = headVector(trace, "query", row, head, trace.k, layer.heads);
  const isVisible = keys.map((_, s) => state.kind !== "decoder" || !trace.causal || s <= row);
  const masked = (scores) => scores.map((score, s) => isVisible[s] ? score : -Infinity);
  const raw = keys.map((_, s) => floats(trace, "raw")[(head * layer.rows + row) * layer.columns + s]);
  const factor = trace.factor[head], usual = 1 / Math.sqrt(trace.k);
  const otherFactor = Math.abs(factor - 1) < 1e-6 ? usual : 1;
  const withFactor = (number) => softmax(masked(raw.map((value) => value * number)));
  const weights = keys.map((_, s) => weight(layer, head, row, s)), otherWeights = withFactor(otherFactor);
  const output = new Float32Array(trace.u);
  values.forEach((value, s) => value.forEach((entry, u) => { output[u] += weights[s] * entry; }));

  byId("weights-formula").textContent = trace.softmax ? "weight = softmax(score)" :
    "weight = a function of the scores other than the softmax";
  byId("formula").textContent = trace.formula;
  byId("factor").textContent = hasFactor ? "Score function: " + trace.score + ". This head's factor is " +
    formatNumber(factor, 4) + "; 1/√d_k is " + formatNumber(usual, 4) + " with d_k = " + trace.k + "." :
    "Score function: " + trace.score + ". It has no scale factor.";
  byId("query-vector").replaceChildren("q of “", isolated(queryText().pieces[row]), "” ", strip(query, largest(query)));
  const scoreColumns = { heading: [trace.raw_formula, ...(hasFactor ? ["score: × " + formatNumber(factor, 3)] : [])],
    cells: (s) => [formatNumber(raw[s]), ...(hasFactor ? [isVisible[s] ? formatNumber(raw[s] * factor) : "masked"] : [])] };
  const comparison = hasFactor && trace.softmax;
  const headings = ["key", "k", ...scoreColumns.heading, trace.softmax ? "softmax: weight" : "weight", "",
    ...(comparison ? ["weight with × " + formatNumber(otherFactor, 3), ""] : []), "v", "weight · v"];
  const maxKey = largest(keyVectors.map(largest)), maxValue = largest(values.map(largest));
  const bar = (w, kind) => element("span", { class: kind, w: w.toFixed(3) });
  const cells = (s) => [strip(keyVectors[s], maxKey), ...scoreColumns.cells(s), formatNumber(weights[s], 3),
    bar(weights[s], "bar"), ...(comparison ? [formatNumber(otherWeights[s], 3), bar(otherWeights[s], "bar off")] : []),
    strip(values[s], maxValue), strip(values[s].map((entry) => entry * weights[s]), maxValue)];
  byId("scores").replaceChildren(
    element("thead", {}, element("tr", {}, ...headings.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...keys.map((key, s) => element("tr", isVisible[s] ? {} : { class: "hidden" },
      element("th", { scope: "row", dir: "auto" }, key.text), ...cells(s).map((cell) => element("td", {}, cell))))));
  byId("context").replaceChildren("head output, Σ weight · v ", strip(output, maxValue));
  // The largest difference between the page's softmax and the model's weights, for tests.
  byId("scores").dataset.difference = trace.softmax ?
    Math.max(...withFactor(factor).map((w, s) => Math.abs(w - weights[s]))) : 0;
  const describe = (list) => "largest weight " + formatNumber(Math.max(...list), 3) + ", entropy " +
    formatNumber(entropy(list), 3) + " nats";
  byId("saturation").textContent = describe(weights) + (comparison ? "; with × " + formatNumber(otherFactor, 3) +
    ": " + describe(otherWeights) : "");
}

function renderTranslation() {
  const { target, probability, hypotheses } = currentPair();
  byId("translation").replaceChildren(...target.pieces.map((piece, index) => element("button", {
    class: "word token", type: "button", w: probability[index].toFixed(3), onmouseenter: () => showAlternatives(index),
    onfocus: () => showAlternatives(index), onclick: () => showAlternatives(index),
  }, ...numbered(piece + " ", formatNumber(probability[index])))));
  const headings = ["translation", "log-probability", "score with length penalty"];
  byId("beam").replaceChildren(
    element("thead", {}, element("tr", {}, ...headings.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...hypotheses.map(({ text, score, rank }) => element("tr", {},
      ...[text, formatNumber(score), formatNumber(rank)].map((cell) => element("td", { dir: "auto" }, cell))))));
}

function showAlternatives(index = state.kind === "encoder" ? 0 : state.piece) {
  const { target, alternatives } = currentPair();
  if (index >= alternatives.length) return;
  byId("token").replaceChildren("Most probable tokens at “", isolated(target.pieces[index]), "”: ",
    ...alternatives[index].map(([piece, probability]) => element("span", { class: "hot", w: probability.toFixed(3) },
      isolated(piece), " " + formatNumber(probability, 3))));
}

// The tab "Why this word?".
const why = createWhy(byId("why-panel"));
function renderWhy() {
  if (byId("why-panel").hidden) return;
  const { source, target, probability, explanations } = currentPair();
  why.show({ source: source.pieces, target: target.pieces, probability, explain: (position) => {
    if (explanations.length) return explanations[position];
    throw new Error("Only pairs of at most " + data.explained_tokens + " tokens a side are explained.");
  } });
}
bindTabs(byId("tabs"), (tab) => {
  byId("attention-controls").hidden = tab === "why-tab";
  render();
});

function render() {
  const hasAttention = renderControls();
  byId("attention").hidden = !hasAttention;
  renderTranslation();
  renderWhy();
  if (!hasAttention) { showAlternatives(0); return; }
  renderQueries(); renderMap(); selectQuery(state.query);
}

const bind = (id, change) => byId(id).addEventListener("change", (event) => { change(event.target); render(); });
bind("sentence", (select) => { state.sentence = +select.value; state.pair = 0; state.query = 0; });
bind("pair", (select) => { state.pair = +select.value; state.query = 0; });
bind("kind", (select) => { state.kind = kindsOf(currentPair())[+select.value]; state.query = 0; });
bind("layer", (select) => { state.layer = +select.value; });
bind("head", (select) => { state.head = +select.value; });
bind("pieces", (checkbox) => { state.showPieces = checkbox.checked; state.query = 0; });
render();
