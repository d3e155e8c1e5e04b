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
const formatNumber = (value, digits = 2) =>
  Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : value > 0 ? "∞" : "−∞";
