"use strict";
// Copies a table as tab-separated text, numbers in full precision and uncertainties in columns of their own.
function tabSeparated(table) {
  const rows = [...table.rows].map(row => [...row.cells]);
  const uncertain = rows[0].map((_, column) => rows.some(row => row[column] && row[column].dataset.uncertainty));
  const fields = (cell, column, isHeader) => {
    const text = isHeader ? cell.textContent : (cell.dataset.value ?? cell.textContent);
    if (!uncertain[column]) return [text];
    return [text, isHeader ? `${text} uncertainty` : (cell.dataset.uncertainty ?? "")];
  };
  return rows.map((row, index) =>
    row.flatMap((cell, column) => fields(cell, column, index === 0)).join("\t")).join("\n");
}
async function copy(button) {
  const source = button.parentElement.querySelector("table, pre");
  const text = source.tagName === "TABLE" ? tabSeparated(source) : source.textContent;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}
function sortBy(header) {
  const table = header.closest("table"), body = table.tBodies[0], column = header.cellIndex;
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => (isNaN(a) || isNaN(b)) ? a.localeCompare(b) : a - b;
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  body.append(...[...body.rows].sort((a, b) => (ascending ? 1 : -1) * compare(key(a), key(b))));
}
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
for (const header of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sort";
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => sortBy(header));
}
// A link into something folded up unfolds it, and paper shows everything.
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
}
addEventListener("hashchange", unfold);
unfold();
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
