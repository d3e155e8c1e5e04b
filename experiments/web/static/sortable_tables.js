// A click on a column's heading sorts the table's rows by that column. Numbers sort by size; "1.5 ± 0.2" sorts as 1.5.
const cellValue = (row, column) => {
  const text = row.cells[column].textContent.replaceAll(",", "").replace("<", "").trim();
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
};
for (const heading of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener("click", () => {
    const table = heading.closest("table"), column = heading.cellIndex;
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].sort((left, right) => {
      const a = cellValue(left, column), b = cellValue(right, column);
      const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
      return descending ? -order : order;
    });
    table.tBodies[0].append(...rows);
  });
}
