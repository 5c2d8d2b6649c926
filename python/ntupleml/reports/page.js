"use strict";
// Copies a table as tab-separated text, numbers in full precision and uncertainties in columns of their own.
function tabSeparated(table) {
  const rows = [...table.rows].map(row => [...row.cells]);
  const uncertain = rows[0].map((_, column) => rows.some(row => row[column] && row[column].dataset.u));
  const fields = (cell, column, isHeader) => {
    const text = isHeader ? cell.textContent : (cell.dataset.v ?? cell.textContent);
    if (!uncertain[column]) return [text];
    return [text, isHeader ? `${text} uncertainty` : (cell.dataset.u ?? "")];
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
  const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent;
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
// What belongs together has the same number; its last letter says what it is: c a line, l an entry of a legend.
const numberOf = one => one.dataset.s.slice(0, -1);
// A click on an entry of a legend hides what belongs to it, and shows it again.
function toggle(entry) {
  const same = entry.ownerSVGElement.querySelectorAll(`[data-s^="${numberOf(entry)}"]`);
  const off = !entry.classList.contains("off");
  for (const one of same) if (numberOf(one) === numberOf(entry)) one.classList.toggle("off", off);
}
for (const entry of document.querySelectorAll('[data-s$="l"]')) {
  entry.addEventListener("click", () => toggle(entry));
}
// Values of all lines at the pointer. A panel: its ends in x and y, the values there, scales, and the name of x.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
const between = (share, from, to, log) => log ? from * (to / from) ** share : from + share * (to - from);
const shown = number => {
  const text = Math.abs(number) >= 1e5 || (number && Math.abs(number) < 1e-3) ? number.toExponential(2)
    : String(Number(number.toPrecision(4)));
  return text.replace("-", "−");
};
function heightAt(path, x) {
  const end = path.getTotalLength();
  let low = 0, high = end;
  if (!end || path.getPointAtLength(0).x > x || path.getPointAtLength(end).x < x) return null;
  for (let step = 0; step < 24; step++) {
    const middle = (low + high) / 2;
    if (path.getPointAtLength(middle).x < x) low = middle; else high = middle;
  }
  return path.getPointAtLength(high).y;
}
function valuesAt(svg, panel, x) {
  const [left, right, top, bottom, x0, x1, y1, y0, logX, logY, name] = panel;
  const rows = [];
  const names = new Map();
  for (const entry of svg.querySelectorAll('[data-s$="l"] text')) {
    const series = numberOf(entry.closest("[data-s]"));
    if (!names.has(series)) names.set(series, entry.textContent.split(/[:(]/)[0].trim());
  }
  for (const line of svg.querySelectorAll('[data-s$="c"]:not(.off)')) {
    const path = line.querySelector("path"), box = path && path.getBBox();
    if (!path || box.x + box.width < left || box.x > right || box.y > bottom + 1 || box.y + box.height < top - 1) continue;
    const y = heightAt(path, x);
    if (y === null || y < top - 1 || y > bottom + 1) continue;
    const value = between((bottom - y) / (bottom - top), y0, y1, logY);
    rows.push([getComputedStyle(path).stroke, names.get(numberOf(line)) ?? "", shown(value)]);
  }
  return rows.length ? [[null, name, shown(between((x - left) / (right - left), x0, x1, logX))], ...rows] : [];
}
function point(event, svg, panels) {
  const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const panel = panels.find(one => place.x >= one[0] && place.x <= one[1] && place.y >= one[2] && place.y <= one[3]);
  const rows = panel ? valuesAt(svg, panel, place.x) : [];
  tip.replaceChildren(...rows.map(([colour, name, value]) => {
    const row = document.createElement("div");
    if (colour) {
      const mark = document.createElement("i");
      mark.style.background = colour;
      row.append(mark);
    }
    row.append(`${name} ${colour ? "" : "= "}${value}`);
    return row;
  }));
  tip.hidden = !rows.length;
  const right = event.pageX + 16 + tip.offsetWidth > scrollX + document.documentElement.clientWidth;
  tip.style.left = `${Math.max(0, right ? event.pageX - tip.offsetWidth - 12 : event.pageX + 16)}px`;
  tip.style.top = `${event.pageY + 12}px`;
}
for (const svg of document.querySelectorAll("svg[data-panels]")) {
  const panels = JSON.parse(svg.dataset.panels);
  svg.addEventListener("pointermove", event => point(event, svg, panels));
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
}
