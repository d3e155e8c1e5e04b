"""What the translator's page does in a browser; it needs no library."""

SCRIPT = r"""
const WAIT = 500;  // milliseconds without a key after which what is typed is translated
const state = { parts: [], part: 0, best: 0, looks: null, running: null, timer: 0, side: "target", word: 0 };

function tell(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}
const value = (id) => Number(at(id).value);
function given() {
  const asked = { text: at("text").value, method: at("method").value };
  if (asked.method === "beam") {
    Object.assign(asked, { beam_size: value("beam_size"), n_best: Math.min(value("n_best"), value("beam_size")) });
  } else Object.assign(asked, { temperature: value("temperature"), top_p: value("top_p"), seed: value("seed") });
  return asked;
}
async function ask(path, body, signal) {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body), signal,
    headers: { "content-type": "application/json" } });
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}
async function* lines(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const { value, done } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) yield JSON.parse(line);
  }
}

async function translate() {
  clearTimeout(state.timer);
  if (state.running) state.running.abort();
  const mine = state.running = new AbortController(), out = at("out"), shown = [];
  at("looks").hidden = true;
  at("best").replaceChildren();
  if (!at("text").value.trim()) { out.textContent = ""; out.classList.remove("going"); tell(""); return; }
  const begun = performance.now();
  tell("");
  out.classList.add("going");
  try {
    for await (const event of lines(await ask("translate/stream", given(), mine.signal))) {
      if (event.error) throw new Error(event.error);
      if (event.end) finish(event.end, begun);
      else {
        shown[event.part] = event.done ? event.done.translations[0].text : event.text;
        out.textContent = shown.join(" ");
        out.dispatchEvent(new Event("changed"));
      }
    }
  } catch (error) {
    if (mine.signal.aborted) return;
    tell(error.message, true);
  }
  if (mine === state.running) out.classList.remove("going");
}

function finish(found, begun) {
  at("out").textContent = found.text;
  at("out").classList.remove("going");
  tell([((performance.now() - begun) / 1000).toFixed(2) + " s", ...found.warnings].join("; "));
  state.parts = found.parts.filter((part) => part.translations[0].tokens.length);
  state.part = state.best = 0;
  const single = state.parts.length === 1;
  at("best").replaceChildren(...(found.translations.length > 1 ? found.translations : []).map((each, place) =>
    make("li", {}, make("button", { class: "word", type: "button", onclick: () => {
      if (single) { state.best = place; look(); }
    } }, each.text), make("small", { title: "natural logarithm of its probability" }, " " + number(each.score)))));
  at("part").replaceChildren(...state.parts.map((part, place) => make("option", { value: place }, part.source)));
  at("part").closest("label").hidden = single;
  if (state.parts.length) look();
}

async function look() {
  const part = state.parts[state.part], tokens = part.translations[state.best].tokens, running = state.running;
  try {
    const looks = await (await ask("attention", { text: part.source, tokens }, running.signal)).json();
    if (running !== state.running) return;
    state.looks = looks;
  } catch (error) {
    if (!running.signal.aborted) tell(error.message, true);
    return;
  }
  state.side = "target"; state.word = 0;
  const cross = crosses(), chosen = at("layer").selectedIndex;
  document.querySelectorAll(".cross").forEach((label) => { label.hidden = !cross.length; });
  const fill = (id, names, place) => { at(id).replaceChildren(...names.map((name, value) =>
    make("option", { value }, name))); at(id).selectedIndex = place; };
  fill("layer", cross.map((each) => each.name.split("/").length > 2 ? each.name : "" + (+each.name.split("/")[1] + 1)),
    chosen < 0 || chosen >= cross.length ? cross.length - 1 : chosen);
  heads();
  at("looks").hidden = false;
  words();
}
const crosses = () => state.looks.attention.filter((each) => each.name.split("/").includes("cross"));
function heads() {
  const layer = crosses()[at("layer").selectedIndex], chosen = Math.max(0, at("head").selectedIndex);
  const names = ["mean", ...(layer ? layer.weights.map((_, head) => "" + (head + 1)) : [])];
  at("head").replaceChildren(...names.map((name, value) => make("option", { value }, name)));
  at("head").selectedIndex = chosen < names.length ? chosen : 0;
}

// Weight from a target word to a source word: rows in the mean, columns together, heads as chosen.
function weight([first, end], [left, right]) {
  const layer = crosses()[at("layer").selectedIndex], head = at("head").selectedIndex;
  if (!layer) return 0;
  const chosen = head > 0 ? [layer.weights[head - 1]] : layer.weights;
  let sum = 0;
  for (const rows of chosen) for (let row = first; row < end; row++)
    for (let column = left; column < right; column++) sum += rows[row][column];
  return sum / chosen.length / (end - first);
}

function words() {
  const { source, target } = state.looks;
  const line = (side, id, spans) => at(id).replaceChildren(...spans.flatMap(([, , text], place) => [make("button", {
    class: "word", type: "button", onmouseenter: () => mark(side, place), onfocus: () => mark(side, place),
    onclick: () => mark(side, place) }, text), " "]));
  line("source", "source-words", source.words);
  line("target", "target-words", target.words);
  mark(state.side, Math.min(state.word, target.words.length - 1));
}

function mark(side, word) {
  Object.assign(state, { side, word });
  const { source, target, probability, alternatives } = state.looks;
  const paint = (id, own, weights) => [...at(id).children].forEach((button, place) => {
    button.setAttribute("aria-pressed", own && place === word);
    button.style.setProperty("--w", own ? 0 : weights[place].toFixed(3));
    button.title = own ? "" : number(weights[place], 3);
  });
  const to = (each) => source.words.map((other) => weight(each, other));
  const from = (each) => target.words.map((other) => weight(other, each));
  paint("source-words", side === "source", side === "target" ? to(target.words[word]) : []);
  paint("target-words", side === "target", side === "source" ? from(source.words[word]) : []);
  if (side === "source") { at("instead").replaceChildren(); return; }
  const [first, end] = target.words[word];
  at("instead").replaceChildren(...target.pieces.slice(first, end).flatMap((piece, place) => [
    "“" + piece + "” " + number(probability[first + place], 3) + ", else: ",
    ...alternatives[first + place].filter((each) => each.piece !== piece).map((each) =>
      make("span", { class: "hot", w: each.probability.toFixed(3) }, each.piece + " " + number(each.probability, 3))),
    make("br")]));
}

function fields() {
  for (const label of document.querySelectorAll("[data-of]")) label.hidden = label.dataset.of !== at("method").value;
}
at("text").addEventListener("input", () => { clearTimeout(state.timer); state.timer = setTimeout(translate, WAIT); });
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); translate(); }
});
at("go").addEventListener("click", translate);
for (const id of ["method", "beam_size", "n_best", "temperature", "top_p", "seed"])
  at(id).addEventListener("change", () => { fields(); translate(); });
at("part").addEventListener("change", () => { state.part = at("part").selectedIndex; state.best = 0; look(); });
at("layer").addEventListener("change", () => { heads(); words(); });
at("head").addEventListener("change", words);
fields();
if (location.hash) { at("text").value = decodeURIComponent(location.hash.slice(1)); translate(); }  // a link to a text
"""
