const DELAY = 300;  // milliseconds after the last key press before the text is translated
const LOW_PROBABILITY = 0.5;  // words below it are underlined
const SETTINGS = { beam: ["beam_size", "n_best", "length_penalty"], sample: ["temperature", "top_p", "seed"] };
const data = JSON.parse(byId("data").textContent);
// parts: lines of the text, or parts of long lines; part, hypothesis: what is analysed; analysis: its response from
// /attention; request: the AbortController of the running translation.
const state = { parts: [], part: 0, hypothesis: 0, analysis: null, request: null, timer: 0 };

// Errors: next to the input that causes them.
function clearErrors() {
  for (const id of ["error", "settings-error"]) { byId(id).hidden = true; byId(id).textContent = ""; }
  for (const input of document.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}
function showError(message, field = "text") {
  const isSetting = field !== "text", place = byId(isSetting ? "settings-error" : "error");
  if (isSetting) byId("settings").open = true;
  byId(field).setAttribute("aria-invalid", "true");
  place.textContent = message;
  place.hidden = false;
}
function labelOf(id) {
  const label = byId(id).closest("label").firstChild.textContent.trim();
  return label[0].toUpperCase() + label.slice(1);
}
// The server's messages begin with the name of a field: "beam_size: Input should be ...".
function showServerError(message) {
  const [, field, reason] = /^(\w+): (.*)$/s.exec(message) || [];
  const isSetting = SETTINGS.beam.concat(SETTINGS.sample, "method").includes(field);
  if (isSetting) showError(labelOf(field) + ": " + reason, field);
  else showError(field === "text" ? reason : message);
}
function inputError() {
  const length = [...byId("text").value].length, count = (value) => value.toLocaleString("en");
  if (length > data.maxCharacters)
    return ["The text has " + count(length) + " characters; at most " + count(data.maxCharacters) + " are possible."];
  for (const id of SETTINGS[byId("method").value]) {
    const input = byId(id), { validity } = input;
    if (!validity.valid) {
      const kind = input.step === "any" ? "a number" : "a whole number";
      return [labelOf(id) + " must be " + kind + " from " + input.min + " to " + input.max + ".", id];
    }
  }
  return null;
}

// Requests.
function requestBody() {
  const method = byId("method").value, body = { text: byId("text").value, method };
  for (const id of SETTINGS[method]) body[id] = Number(byId(id).value);
  if (method === "beam") body.n_best = Math.min(body.n_best, body.beam_size);
  return body;
}
async function post(path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body: JSON.stringify(body), signal,
      headers: { "content-type": "application/json" } });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Error("The server does not answer. Check that it is running, then try again.");
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.error || "The server answers with status " + answer.status + ".");
  }
  return answer;
}
async function* jsonLines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

// The space between two parts of a text: none after a Chinese or Japanese character.
const spaceAfter = (text) => /[\u2e80-\u312f\u31a0-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f]$/.test(text) ? "" : " ";
const joined = (texts) => texts.reduce((text, part) => text + (text && spaceAfter(text)) + part, "");
// Shows a text without words to hover, for example while the search runs.
function showText(text) {
  byId("out").textContent = text;
  byId("out").dispatchEvent(new Event("changed"));
}
function reset() {
  clearTimeout(state.timer);
  if (state.request) state.request.abort();
  Object.assign(state, { parts: [], part: 0, hypothesis: 0, analysis: null, request: null });
  for (const id of ["analysis", "hypotheses", "source-words", "reference", "copy"]) byId(id).hidden = true;
  for (const id of ["status", "warnings"]) byId(id).textContent = "";
  byId("out").classList.remove("busy");
  clearErrors();
}

async function translate() {
  reset();
  const error = inputError(), empty = !byId("text").value.trim();
  if (error || empty) {
    showText("");
    if (error) showError(...error);
    return;
  }
  const request = state.request = new AbortController(), partTexts = [], start = performance.now();
  byId("out").classList.add("busy");
  try {
    let isComplete = false;
    for await (const event of jsonLines(await post("translate/stream", requestBody(), request.signal))) {
      if (event.error) throw new Error(event.error);
      if (event.end) { isComplete = true; finish(event.end, performance.now() - start); }
      else {
        partTexts[event.part] = event.done ? event.done.translations[0].text : event.text;
        showText(joined(partTexts));
      }
    }
    if (!isComplete) throw new Error("The server stopped before the translation was complete. Try again.");
  } catch (error) {
    if (request.signal.aborted) return;
    showText("");
    byId("out").classList.remove("busy");
    showServerError(error instanceof TypeError ? "The connection to the server was lost. Try again." : error.message);
  }
}
function schedule() {
  clearTimeout(state.timer);
  state.timer = setTimeout(translate, DELAY);
}

function finish(result, milliseconds) {
  byId("out").classList.remove("busy");
  state.parts = result.parts;
  state.part = Math.max(0, state.parts.findIndex((part) => part.translations[0].tokens.length));
  showText(result.text);
  byId("status").textContent = (milliseconds / 1000).toFixed(2) + " s";
  byId("warnings").textContent = result.warnings.join("; ");
  const example = data.examples.find(({ source }) => source === byId("text").value);
  byId("reference").hidden = !example;
  byId("reference").replaceChildren(...example ? ["Reference: ", isolated(example.target)] : []);
  byId("copy").hidden = !navigator.clipboard;
  showHypotheses(result.translations);
  if (state.parts[state.part].translations[0].tokens.length) analyse();
}
function showHypotheses(translations) {
  const selectable = state.parts.length === 1;
  byId("hypotheses").hidden = translations.length < 2;
  byId("hypotheses-label").textContent = "Beam hypotheses and their log-probabilities";
  byId("best").replaceChildren(...translations.map(({ text, score }, index) => element("li", {}, selectable ?
    element("button", { type: "button", "aria-pressed": index === 0, onclick: () => {
      state.hypothesis = index;
      [...byId("best").querySelectorAll("button")].forEach((button, other) =>
        button.setAttribute("aria-pressed", other === index));
      analyse();
    } }, isolated(text)) : isolated(text), element("small", {}, formatNumber(score)))));
}

// Words: the analysed part's words in the output, and its source words under the text field.
async function analyse() {
  const part = state.parts[state.part], { request } = state;
  const { tokens } = part.translations[state.hypothesis];
  const chosen = [state.part, state.hypothesis].join();
  state.analysis = null;
  renderOutput();
  if (!tokens.length) return;
  let analysis;
  try {
    analysis = await (await post("attention", { text: part.source, tokens }, request.signal)).json();
  } catch (error) {
    if (!request.signal.aborted) showServerError(error.message);
    return;
  }
  if (request !== state.request || chosen !== [state.part, state.hypothesis].join()) return;
  state.analysis = analysis;
  const hasAttention = crossAttention().length > 0;
  document.querySelectorAll(".cross").forEach((part) => { part.hidden = !hasAttention; });
  if (hasAttention) {
    fillLayers();
    fillHeads();
  }
  byId("source-words").replaceChildren(...wordElements("source", part.source));
  byId("source-words").hidden = byId("analysis").hidden = false;
  renderOutput();
  mark("target", 0);
  showWhy();
}
// The tab "Why this word?" of the analysed part; it starts with the marked word.
const why = createWhy(byId("why-panel"));
function showWhy() {
  if (byId("why-panel").hidden || !state.analysis) return;
  const { source, target, probability, alternatives } = state.analysis, { part, hypothesis } = state;
  const { source: text, translations } = state.parts[part], { tokens } = translations[hypothesis];
  const ask = async (path, body, signal) => (await post(path, { tokens, ...body }, signal)).json();
  why.show({
    source: source.pieces, target: target.pieces, probability, alternatives, text,
    wordRange: (piece) => wordRange(text, source.words, piece),
    explain: (position, other, signal) => ask("explain", { text, position, other }, signal),
    changeSource: async (changed, signal) => (await ask("attention", { text: changed }, signal)).probability,
  }, state.side === "target" ? target.words[state.index][0] : 0);
}
// The place in a text of the word that holds a piece.
function wordRange(text, words, piece) {
  for (let from = 0, index = 0; index < words.length; index++) {
    const [, end, word] = words[index], start = text.indexOf(word, from);
    if (piece < end) return start < 0 ? null : [start, start + word.length];
    if (start >= 0) from = start + word.length;
  }
}
// What is between a part and the one before it.
function separator(index) {
  const before = state.parts[index - 1];
  return state.parts[index].line === before.line ? spaceAfter(before.translations[0].text) : "\n";
}
function renderOutput() {
  const children = [];
  state.parts.forEach((part, index) => {
    if (index) children.push(separator(index));
    const isChosen = index === state.part, { text, tokens } = part.translations[isChosen ? state.hypothesis : 0];
    const choose = () => { state.part = index; state.hypothesis = 0; analyse(); };
    if (isChosen && state.analysis) children.push(element("span", { id: "target-words", role: "group",
      "aria-label": "words of the translation" }, ...wordElements("target", text)));
    else if (isChosen || !tokens.length) children.push(text);
    else children.push(element("span", { class: "part", role: "button", tabindex: 0, onclick: choose,
      title: "show the words of this sentence",
      onkeydown: (event) => { if (["Enter", " "].includes(event.key)) { event.preventDefault(); choose(); } } }, text));
  });
  byId("out").replaceChildren(...children);
}
const wordProbability = ([first, end]) =>
  state.analysis.probability.slice(first, end).reduce((product, probability) => product * probability, 1);
// One element for each word. The spaces between words are those of the text: there is none before a full stop.
function wordElements(side, text) {
  let rest = text.trimStart();
  return state.analysis[side].words.flatMap((span, index) => {
    const start = rest.indexOf(span[2]), space = index && start !== 0 ? " " : "";
    if (start >= 0) rest = rest.slice(start + span[2].length);
    const isDoubtful = side === "target" && wordProbability(span) < LOW_PROBABILITY, isEnd = span[2] === "</s>";
    const select = () => mark(side, index);
    const click = () => { select(); if (side === "target" && !byId("why-panel").hidden) why.select(span[0]); };
    return [space, element("span", { role: "button", tabindex: index ? -1 : 0,
      class: "word" + (isDoubtful ? " doubtful" : "") + (isEnd ? " end" : ""), "aria-pressed": false,
      onmouseenter: select, onfocus: select, onclick: click, onkeydown: (event) => moveFocus(event, side, index),
    }, span[2])];
  });
}
const words = (side) => [...byId(side + "-words").querySelectorAll(".word")];
// Left and right: the next word. Up and down: from a word to the one of the other side with the largest weight.
function moveFocus(event, side, index) {
  const row = words(side), isReversed = getComputedStyle(event.target.parentNode).direction === "rtl";
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key] * (isReversed ? -1 : 1);
  let next;
  if (step) next = row[index + step];
  else if (event.key === "Home") next = row[0];
  else if (event.key === "End") next = row.at(-1);
  else if (["ArrowUp", "ArrowDown"].includes(event.key)) {
    const weights = otherWeights(side, index);
    next = words(side === "source" ? "target" : "source")[weights.indexOf(Math.max(...weights))];
  } else return;
  event.preventDefault();
  if (next) next.focus();
}

const crossAttention = () => state.analysis.attention.filter(({ name }) => name.split("/").includes("cross"));
const fill = (id, names, index) => {
  byId(id).replaceChildren(...names.map((name, value) => element("option", { value }, name)));
  byId(id).selectedIndex = index;
};
function fillLayers() {
  const layers = crossAttention(), current = byId("layer").selectedIndex;
  // An ensemble's names have its member's number in front: "0/cross/1".
  const names = layers.map(({ name }) => name.split("/").length > 2 ? name : "" + (+name.split("/")[1] + 1));
  fill("layer", names, current < 0 || current >= layers.length ? layers.length - 1 : current);
}
function fillHeads() {
  const { weights } = crossAttention()[byId("layer").selectedIndex], current = Math.max(0, byId("head").selectedIndex);
  fill("head", ["mean", ...weights.map((_, head) => "" + (head + 1))], current <= weights.length ? current : 0);
}
// The weight from a target word to a source word: the mean over its rows, heads as chosen; the sum over columns.
function wordWeight([firstRow, endRow], [firstColumn, endColumn]) {
  const layer = crossAttention()[byId("layer").selectedIndex], head = byId("head").selectedIndex;
  if (!layer) return 0;
  const heads = head > 0 ? [layer.weights[head - 1]] : layer.weights;
  let sum = 0;
  for (const rows of heads) for (let row = firstRow; row < endRow; row++)
    for (let column = firstColumn; column < endColumn; column++) sum += rows[row][column];
  return sum / heads.length / (endRow - firstRow);
}
function otherWeights(side, index) {
  const { source, target } = state.analysis;
  return side === "target" ? source.words.map((word) => wordWeight(target.words[index], word)) :
    target.words.map((word) => wordWeight(word, source.words[index]));
}

function mark(side, index) {
  if (!state.analysis) return;
  Object.assign(state, { side, index });
  const weights = otherWeights(side, index);
  for (const other of ["source", "target"]) words(other).forEach((word, place) => {
    const isMarked = other === side && place === index;
    word.setAttribute("aria-pressed", isMarked);
    if (other === side) word.tabIndex = isMarked ? 0 : -1;
    word.style.setProperty("--w", other === side ? 0 : weights[place].toFixed(3));
    const probability = other === "target" ? "probability " + formatNumber(wordProbability(
      state.analysis.target.words[place]), 3) : "";
    word.title = other === side ? probability : "weight " + formatNumber(weights[place], 3);
  });
  showAlternatives(side, index);
}
function showAlternatives(side, index) {
  if (side === "source") { byId("alternatives").replaceChildren(); return; }
  const { target, probability, alternatives } = state.analysis, [first, end] = target.words[index];
  byId("alternatives").replaceChildren(...target.pieces.slice(first, end).map((piece, offset) => {
    const others = alternatives[first + offset].filter((other) => other.piece !== piece);
    return element("div", { class: "piece" },
      element("span", {}, "“", isolated(piece), "” ", element("b", {}, formatNumber(probability[first + offset], 3))),
      element("span", { class: "note" }, " instead of "), ...others.flatMap((other) => [" ", element("span",
        { class: "alternative", w: other.probability.toFixed(3) },
        isolated(other.piece), " " + formatNumber(other.probability, 3))]));
  }));
}

// The text field and its buttons.
function textChanged() {
  const field = byId("text"), length = [...field.value].length;
  byId("clear").hidden = !length;
  document.body.classList.toggle("has-text", length > 0);
  byId("count").textContent = length > data.maxCharacters / 2 ? length + " / " + data.maxCharacters : "";
  field.style.height = "auto";
  field.style.height = field.scrollHeight + 2 + "px";
}
function setText(text) {
  byId("text").value = text;
  textChanged();
  translate();
}
function showFields() {
  for (const label of document.querySelectorAll("[data-method]"))
    label.hidden = label.dataset.method !== byId("method").value;
}
async function pollHealth() {
  const health = await fetch("health").then((answer) => answer.json()).catch(() => ({}));
  byId("preparing").hidden = health.status !== "preparing";
  if (health.status === "preparing") setTimeout(pollHealth, 2000);
}
byId("text").addEventListener("input", (event) => {
  textChanged();
  if (!event.isComposing) schedule();
});
byId("text").addEventListener("compositionend", schedule);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); translate(); }
});
byId("go").addEventListener("click", translate);
byId("clear").addEventListener("click", () => { setText(""); byId("text").focus(); });
byId("copy").addEventListener("click", async () => {
  const text = state.parts.map((part, index) => (index ? separator(index) : "") +
    part.translations[index === state.part ? state.hypothesis : 0].text).join("");
  byId("status").textContent = await navigator.clipboard.writeText(text).then(() => "copied", () => "copying failed");
});
for (const button of document.querySelectorAll("#examples button"))
  button.addEventListener("click", () => setText(button.textContent));
byId("method").addEventListener("change", () => { showFields(); translate(); });
for (const id of [...SETTINGS.beam, ...SETTINGS.sample]) byId(id).addEventListener("input", schedule);
byId("layer").addEventListener("change", () => { fillHeads(); mark(state.side, state.index); });
byId("head").addEventListener("change", () => mark(state.side, state.index));
bindTabs(byId("tabs"), showWhy);
showFields();
textChanged();
pollHealth();
if (location.hash) setText(decodeURIComponent(location.hash.slice(1)));  // a link to a text
else if (matchMedia("(hover: hover)").matches) byId("text").focus();  // not on a phone: its keyboard hides the page
