// Drives the translator page as a person would and returns what it shows.
const outputs = [], requests = [], alerts = [], originalFetch = window.fetch;
window.fetch = (path, options) => { requests.push({ path, options }); return originalFetch(path, options); };
window.alert = (text) => alerts.push(text);
const until = async (condition, what) => {
  const end = performance.now() + 60000;
  while (!condition()) {
    if (performance.now() > end) throw new Error("waited in vain for " + what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
byId("out").addEventListener("changed", () => outputs.push(byId("out").textContent));
const isDone = () => !byId("out").classList.contains("busy") && !byId("analysis").hidden && state.analysis;
const searches = () => requests.filter(({ path }) => path === "translate/stream");
const weightsOf = (side) => words(side).map((word) => +word.style.getPropertyValue("--w"));
const press = (target, key, options = {}) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...options }));
const type = (text) => { byId("text").value = text; byId("text").dispatchEvent(new Event("input")); };
const change = (id, value) => {
  byId(id).value = value;
  for (const name of ["input", "change"]) byId(id).dispatchEvent(new Event(name));
};

async function tour() {
  const found = {};
  // Typing: one request after the last key press.
  for (const text of ["U", "Un deux", "Un deux trois."]) type(text);
  await until(isDone, "the typed text");
  Object.assign(found, { beam: outputs.at(-1), outputs: new Set(outputs).size, searches: searches().length,
    hypotheses: byId("best").children.length, heading: byId("hypotheses-label").checkVisibility() });

  // Hovering and focus show attention and alternatives.
  words("target")[1].dispatchEvent(new MouseEvent("mouseenter"));
  found.second = weightsOf("source");
  found.alternatives = byId("alternatives").textContent;
  words("target")[0].focus();
  found.first = weightsOf("source");
  words("source")[0].click();
  found.fromSource = weightsOf("target").some((weight) => weight > 0);

  // Keys: right to the next word, up to the other side, one tab stop on each side.
  words("target")[0].focus();
  press(document.activeElement, "ArrowRight");
  found.right = words("target").indexOf(document.activeElement);
  press(document.activeElement, "ArrowUp");
  found.up = words("source").indexOf(document.activeElement);
  found.tabStops = ["source", "target"].map((side) => words(side).filter((word) => word.tabIndex === 0).length);

  // The tab "Why this word?" explains a token, and shows its probability after another source.
  byId("why-tab").click();
  const why = (query) => byId("why-panel").querySelector(query);
  await until(() => why(".why-question"), "an explanation");
  const first = why(".why-question").textContent, [, second] = byId("why-panel").querySelectorAll(".why-token");
  second.click();
  await until(() => why(".why-question").textContent !== first && !why("[aria-busy]"), "another token");
  found.why = [second.firstChild.textContent, why(".why-question").textContent, why(".why-row .signed").textContent];
  why(".why-row button").click();
  const field = why(".why-change input");
  found.word = field.value.slice(field.selectionStart, field.selectionEnd);
  field.setRangeText("Sept");
  field.dispatchEvent(new Event("input"));
  const moved = () => [...byId("why-panel").querySelectorAll(".why-moved small")].map((number) => number.textContent);
  await until(() => moved().some((text) => new Set(text.split(" → ")).size > 1), "other probabilities");
  found.moved = moved().length === state.analysis.target.pieces.length;
  byId("words-tab").click();

  // An example translates and shows its reference; Ctrl+Enter translates at once.
  const [example] = document.querySelectorAll("#examples button");
  example.click();
  await until(isDone, "the example");
  Object.assign(found, { example: example.textContent, text: byId("text").value,
    reference: byId("reference").textContent });
  byId("text").value = "Sept.";
  press(byId("text"), "Enter", { ctrlKey: true });
  await until(isDone, "Ctrl+Enter");
  found.enter = outputs.at(-1);

  // A newer text cancels the running request.
  const before = searches().length;
  setText("Deux deux six.");
  setText("Un deux trois.");
  await until(isDone, "the newer text");
  found.cancelled = searches().slice(before).map(({ options }) => options.signal.aborted);
  found.newest = outputs.at(-1);

  // Several lines: a click chooses the line whose words are shown.
  setText("Sept.\nUn deux trois.");
  await until(isDone, "two lines");
  const sources = [byId("source-words").textContent];
  document.querySelector(".part").click();
  await until(isDone, "the second line");
  found.sources = [...sources, byId("source-words").textContent];

  // Sampling has its own settings.
  setText("Un deux trois.");
  await until(isDone, "the text before sampling");
  change("method", "sample");
  await until(isDone, "a sample");
  found.sample = outputs.at(-1);
  found.fields = ["beam_size", "temperature"].map((id) => byId(id).closest("label").hidden);
  change("method", "beam");
  await until(isDone, "beam search");

  // Errors appear next to their inputs, and nowhere else.
  const errors = () => ["error", "settings-error"].map((id) => byId(id).hidden ? "" : byId(id).textContent);
  type("a".repeat(2001));
  await until(() => !byId("error").hidden, "an error");
  found.tooLong = errors();
  found.invalid = byId("text").getAttribute("aria-invalid");
  found.nextToText = byId("text").nextElementSibling === byId("error");
  type("a\n".repeat(40));
  await until(() => /lines/.test(byId("error").textContent), "the server's error");
  found.tooManyLines = errors();
  change("beam_size", "40");
  await until(() => !byId("settings-error").hidden, "an error of a setting");
  found.beamSize = errors();
  found.open = byId("settings").open;
  change("beam_size", "2");
  type("Sept.");
  await until(isDone, "a valid text");
  found.cleared = errors();
  found.alerts = alerts.length;

  // The window is a phone's.
  const page = document.documentElement;
  found.overflow = page.scrollWidth - page.clientWidth;
  found.fontSizes = ["text", "beam_size", "method"].map((id) => parseFloat(getComputedStyle(byId(id)).fontSize));
  return found;
}

tour().catch((error) => "error: " + error.stack).then((found) => originalFetch("report", { method: "POST",
  body: JSON.stringify(found), headers: { "content-type": "application/json" } }));
