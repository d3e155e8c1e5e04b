// The view "Why this word?": what makes a model prefer a token of a translation to another token.
const METHOD_NOTES = { "attention rollout": "Attention rollout is a share of attention; it does not depend on the other token." };
const signedNumber = (value) => (value >= 0.005 ? "+" : "") + formatNumber(Math.abs(value) < 0.005 ? 0 : value);
const maximumOf = (values) => values.reduce((maximum, value) => Math.max(maximum, Math.abs(value)), 1e-6);
// Attributes of an element whose colour is a signed number: orange speaks for the token, blue for the other one.
const signed = (value, maximum) => ({ class: value < 0 ? "signed against" : "signed",
  w: Math.min(1, Math.abs(value) / maximum).toFixed(3) });
const quoted = (text) => element("span", {}, "“", isolated(text), "”");

// Builds the view in an element and returns {show, select}. A pair has the pieces `source` and `target`, their
// `probability`, and explain(position, other, signal), which returns an explanation or a promise of one. Optional:
// `alternatives`, the tokens at each position that the reader can compare with; changeSource(text, signal), which
// returns a promise of the probabilities after another source than `text`, and wordRange(piece), a word's place in it.
function createWhy(root) {
  const state = { pair: null, position: -1, other: undefined, method: "", request: null, timer: 0 };
  const tokens = element("p", { class: "why-tokens", role: "group", "aria-label": "tokens of the translation", dir: "auto" });
  const status = element("p", { class: "why-status", role: "status" }), result = element("div", { class: "why-result" });
  const change = element("div", { class: "why-change" });
  root.classList.add("why");
  root.replaceChildren(element("p", { class: "note" }, "Choose a token of the translation, also with the arrow keys. The ",
    "number is its probability."), tokens, status, result, change);

  function show(pair, position = 0) {
    Object.assign(state, { pair, position: -1 });
    tokens.replaceChildren(...pair.target.map((piece, index) => element("button", { type: "button", class: "why-token",
      "aria-pressed": false, tabindex: -1, onfocus: () => select(index), onclick: () => select(index), onkeydown: moveInRow,
    }, ...numbered(piece, formatNumber(pair.probability[index])))));
    showChange();
    return select(Math.min(position, pair.target.length - 1));
  }

  // Explains the token at a position; `other` is an index of its alternatives.
  async function select(position, other) {
    if (position === state.position && other === state.other) return;
    if (state.request) state.request.abort();
    const { pair } = state, request = new AbortController();
    Object.assign(state, { position, other, request });
    [...tokens.children].forEach((button, index) => {
      button.setAttribute("aria-pressed", index === position);
      button.tabIndex = index === position ? 0 : -1;
    });
    result.setAttribute("aria-busy", true);
    const timer = setTimeout(() => { status.textContent = "Computing …"; }, 150);
    try {
      const explanation = await pair.explain(position, other, request.signal);
      if (!request.signal.aborted) { status.textContent = ""; draw(explanation); }
    } catch (error) {
      if (!request.signal.aborted) { status.textContent = error.message; result.replaceChildren(); }
    } finally {
      clearTimeout(timer);
      if (!request.signal.aborted) result.removeAttribute("aria-busy");
    }
  }

  function draw(explanation) {
    const token = state.pair.target[explanation.position];
    const heading = element("p", { class: "why-question" }, "Why ", quoted(token), " rather than ", otherToken(explanation),
      "? Log-odds ", element("b", {}, signedNumber(explanation.score)), ". ", element("span", { class: "note" },
        element("span", signed(1, 1), "Orange"), " speaks for ", quoted(token), ", ",
        element("span", signed(-1, 1), "blue"), " for ", quoted(explanation.other), "."));
    result.replaceChildren(heading, attributionOf(explanation), lensOf(explanation), partsOf(explanation));
  }
  function otherToken(explanation) {
    const { alternatives, target } = state.pair, piece = target[explanation.position];
    const others = alternatives && alternatives[explanation.position].filter((other) => other.piece !== piece);
    if (!others || others.length < 2) return quoted(explanation.other);
    const choice = element("select", { "aria-label": "token to compare with", onchange: (event) =>
      select(explanation.position, others[event.target.value].token) },
      ...others.map((other, index) => element("option", { value: index }, other.piece)));
    choice.value = others.findIndex((other) => other.piece === explanation.other);
    return choice;
  }

  function attributionOf({ attribution, position }) {
    if (!attribution.some(({ method }) => method === state.method)) state.method = attribution[0].method;
    const rows = element("div"), fill = () => {
      const { source, prefix } = attribution.find(({ method }) => method === state.method);
      const maximum = maximumOf([...source, ...prefix]), before = [isolated("<s>"), ...state.pair.target.slice(0, position)];
      const row = (label, pieces, values, words) => element("p", { class: "why-row", dir: "auto" },
        element("span", { class: "note" }, isolated(label), " "), ...pieces.flatMap((piece, index) => [" ", word(words, index,
          signed(values[index], maximum), ...numbered(piece, signedNumber(values[index])))]));
      rows.replaceChildren(row("source", state.pair.source, source, state.pair.wordRange), row("prefix", before, prefix),
        element("p", { class: "note" }, METHOD_NOTES[state.method] || ""));
    };
    const choice = element("select", { onchange: (event) => { state.method = event.target.value; fill(); } },
      ...attribution.map(({ method }) => element("option", { value: method }, method)));
    choice.value = state.method;
    fill();
    return section("What each token contributes", element("p", {}, element("label", {}, "method ", choice)), rows);
  }
  // A source word that can be changed is a button, which selects the word in the field below.
  function word(range, index, attributes, ...children) {
    const place = range && range(index);
    if (!place) return element("span", attributes, ...children);
    return element("button", { ...attributes, type: "button", title: "change this word", onclick: () => {
      const field = change.querySelector("input");
      field.focus();
      field.setSelectionRange(...place);
    } }, ...children);
  }

  function lensOf({ lens, position }) {
    if (!lens.length) return "";
    const rows = lens.map(({ name, probability, top }) => element("tr", {}, element("th", { scope: "row" }, name),
      element("td", {}, formatNumber(probability)), element("td", { dir: "auto" }, ...top.flatMap((guess) => [" ",
        element("span", { class: "guess", w: guess.probability.toFixed(3) },
          ...numbered(guess.piece, formatNumber(guess.probability)))]))));
    return section("What each layer would predict", table(["after", quoted(state.pair.target[position]),
      "most probable tokens"], rows));
  }

  function partsOf({ parts }) {
    if (!parts.length) return "";
    const heads = Math.max(...parts.map(({ effects }) => effects.length)), all = parts.flatMap(({ name, effects }) =>
      effects.map((value, head) => ({ name: name + (effects.length > 1 ? ", head " + (head + 1) : ""), value })));
    const maximum = maximumOf(all.map(({ value }) => value));
    const largest = all.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, 3);
    const rows = parts.map(({ name, effects }) => element("tr", {}, element("th", { scope: "row" }, name),
      ...effects.map((value) => element("td", { ...signed(value, maximum), colspan: effects.length > 1 ? 1 : heads },
        signedNumber(value)))));
    const columns = Array.from({ length: heads }, (_, head) => "head " + (head + 1));
    return section("Which part writes it", element("p", { class: "note" }, "Direct contributions, whose sum is the log-odds. Largest: ",
      largest.map(({ name, value }) => name + " " + signedNumber(value)).join("; ") + "."), table(["part", ...columns], rows));
  }

  const section = (title, ...children) => element("section", {}, element("h3", {}, title), ...children);
  const table = (headings, rows) => element("div", { class: "table", tabindex: 0, role: "region", "aria-label": "table" },
    element("table", {}, element("thead", {}, element("tr", {}, ...headings.map((name) =>
      element("th", { scope: "col" }, name)))), element("tbody", {}, ...rows)));

  // A field with the source; when it changes, the probabilities of the same target tokens are computed again.
  function showChange() {
    const { pair } = state;
    change.hidden = !pair.changeSource;
    if (change.hidden) return;
    let request = new AbortController();
    const moved = element("p", { class: "why-moved", dir: "auto", role: "status" });
    const update = async (text) => {
      request.abort();
      request = new AbortController();
      const { signal } = request;
      try {
        const after = text.trim() === pair.text.trim() ? pair.probability : await pair.changeSource(text, signal);
        if (!signal.aborted) moved.replaceChildren(...pair.target.flatMap((piece, index) => { const difference =
          after[index] - pair.probability[index]; return [" ", element("span", signed(difference, 1),
            ...numbered(piece, formatNumber(pair.probability[index]) + " → " + formatNumber(after[index])))]; }));
      } catch (error) {
        if (!signal.aborted) moved.textContent = error.message;
      }
    };
    const field = element("input", { type: "text", dir: "auto", oninput: () => {
      clearTimeout(state.timer);
      state.timer = setTimeout(() => update(field.value), 300);
    } });
    field.value = pair.text;
    change.replaceChildren(element("h3", {}, "If the source were another"), element("label", {},
      "Change a source word; the probabilities of the same translation move.", field), moved);
    update(pair.text);
  }
  return { show, select };
}
