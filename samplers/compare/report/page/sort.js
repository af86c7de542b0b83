"use strict";
// A click on a heading sorts the lines within each target; lines without a value stay at the end.
for (const table of document.querySelectorAll(".panel table")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (button) button.addEventListener("click", () => sort(table, headings, column));
  });
}

function sort(table, headings, column) {
  const heading = headings[column];
  const before = heading.getAttribute("aria-sort");
  const first = "high" in heading.dataset ? "descending" : "ascending";
  const second = first === "descending" ? "ascending" : "descending";
  const order = before === first ? second : first;
  headings.forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  for (const body of table.tBodies) {
    const lines = [...body.rows].slice(1);
    const keys = new Map(lines.map((line) => [line, key(line, column)]));
    lines.sort((a, b) => compare(keys.get(a), keys.get(b), sign));
    body.append(...lines);
  }
}

function key(line, column) {
  const cell = line.cells[column];
  const text = cell && cell.dataset.order;
  if (text === undefined || (column > 0 && line.classList.contains("failed"))) return null;
  const number = Number(text);
  return column === 0 || Number.isNaN(number) ? text : number;
}

function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
}
