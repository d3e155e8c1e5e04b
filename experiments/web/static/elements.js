// Returns the element with an id.
const byId = (id) => document.getElementById(id);
// Creates an element. The attribute "w" sets the CSS variable --w; an attribute "onNAME" adds an event listener.
const element = (tag, attributes = {}, ...children) => {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "w") created.style.setProperty("--w", value);
    else if (name.startsWith("on")) created.addEventListener(name.slice(2), value);
    else created.setAttribute(name, value);
  }
  created.append(...children);
  return created;
};
// Text of its own direction, as of Arabic or Hebrew, in a line of another one.
const isolated = (text) => element("bdi", {}, text);
// A token with a number. The token is not isolated: a row with dir="auto" has the direction of its first such text.
const numbered = (token, number) => [token, element("small", {}, isolated(number))];
const formatNumber = (value, digits = 2) =>
  Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : value > 0 ? "∞" : "−∞";
// Moves the focus in a row of buttons by arrow keys, Home and End.
const moveInRow = (event) => {
  const button = event.currentTarget, row = button.parentNode, buttons = [...row.querySelectorAll("button")];
  const right = getComputedStyle(row).direction === "rtl" ? -1 : 1;
  const step = { ArrowRight: right, ArrowDown: 1, ArrowLeft: -right, ArrowUp: -1 }[event.key];
  const next = step ? buttons[buttons.indexOf(button) + step] : { Home: buttons[0], End: buttons.at(-1) }[event.key];
  if (next) { event.preventDefault(); next.focus(); }
};
// Makes the buttons of a tab list choose the panel that each controls; calls `onSelect` with the id of a chosen tab.
const bindTabs = (list, onSelect) => {
  const tabs = [...list.children], select = (tab) => {
    if (tab.getAttribute("aria-selected") === "true") return;
    for (const other of tabs) {
      other.setAttribute("aria-selected", other === tab);
      other.tabIndex = other === tab ? 0 : -1;
      byId(other.getAttribute("aria-controls")).hidden = other !== tab;
    }
    onSelect(tab.id);
  };
  for (const tab of tabs) {
    for (const event of ["click", "focus"]) tab.addEventListener(event, () => select(tab));
    tab.addEventListener("keydown", moveInRow);
  }
};
