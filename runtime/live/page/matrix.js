// The confusion matrix: cells are buttons that show the examples behind them.

import { drawCards } from "./cards.js";

const STEP = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
let place = [0, 0]; // of the cell that Tab leads to
let shown = "";

export function drawMatrix(details, json) {
  const { matrix } = details;
  document.getElementById("matrix-section").hidden = !matrix;
  if (!matrix) return;
  const share = percent(matrix.right, matrix.all);
  document.getElementById("right").textContent =
    `${matrix.right.toLocaleString("en")} of ${matrix.all.toLocaleString("en")} right: ${share} %`;
  drawMistakes(matrix, (...cell) => show(details, json, ...cell));
  const box = document.getElementById("matrix");
  if (!matrix.counts) {
    box.textContent = `${matrix.labels.length} classes are too many for a table; ` +
      "these mistakes are the most frequent:";
    return;
  }
  const labels = matrix.labels.join("\n");
  if (shown !== labels) build(box, matrix.labels);
  shown = labels;
  fill(box, matrix, (...cell) => show(details, json, ...cell));
}

function build(box, labels) {
  const table = document.createElement("table");
  table.className = "matrix";
  const head = table.createTHead().insertRow();
  heading(head, "");
  labels.forEach((label) => heading(head, label, "col"));
  heading(head, "recall %", "col");
  const body = table.createTBody();
  labels.forEach((label, row) => {
    const line = body.insertRow();
    heading(line, label, "row");
    labels.forEach((_, column) => {
      const button = line.insertCell().appendChild(document.createElement("button"));
      button.tabIndex = row === 0 && column === 0 ? 0 : -1;
      button.dataset.cell = `${row},${column}`;
    });
    line.insertCell().className = "part";
  });
  const last = table.createTFoot().insertRow();
  heading(last, "precision %", "row");
  labels.forEach(() => (last.insertCell().className = "part"));
  table.addEventListener("keydown", (event) => move(event, table, labels.length));
  box.replaceChildren(table);
  place = [0, 0];
}

function heading(row, text, scope) {
  const cell = row.appendChild(document.createElement("th"));
  cell.textContent = text;
  if (scope) cell.scope = scope;
}

function fill(box, { labels, counts }, open) {
  const table = box.querySelector("table");
  const rows = counts.map((row) => row.reduce((a, b) => a + b, 0));
  const columns = labels.map((_, i) => counts.reduce((sum, row) => sum + row[i], 0));
  for (const button of table.querySelectorAll("button")) {
    const [row, column] = button.dataset.cell.split(",").map(Number);
    const count = counts[row][column];
    const part = rows[row] ? count / rows[row] : 0;
    button.textContent = count || "·";
    button.ariaLabel = row === column
      ? `${labels[row]}, right: ${count}`
      : `${labels[row]} taken for ${labels[column]}: ${count}`;
    button.style.setProperty("--tone", row === column ? "var(--right)" : "var(--wrong)");
    const tone = row === column ? part : Math.min(1, part * 4); // mistakes are rare
    button.style.setProperty("--share", count ? (0.1 + 0.9 * tone).toFixed(2) : "0");
    button.classList.toggle("full-tone", count > 0 && tone > 0.55);
    button.onclick = () => open(row, column, count);
  }
  [...table.tBodies[0].rows].forEach((row, i) => {
    row.lastElementChild.textContent = percent(counts[i][i], rows[i]);
  });
  labels.forEach((_, i) => {
    table.tFoot.rows[0].cells[i + 1].textContent = percent(counts[i][i], columns[i]);
  });
}

function move(event, table, size) {
  const step = STEP[event.key];
  if (!step || !event.target.dataset.cell) return;
  event.preventDefault();
  const from = event.target.dataset.cell.split(",").map(Number);
  place = from.map((n, axis) => Math.min(size - 1, Math.max(0, n + step[axis])));
  event.target.tabIndex = -1;
  const next = table.querySelector(`[data-cell="${place.join(",")}"]`);
  next.tabIndex = 0;
  next.focus();
}

function drawMistakes({ labels, mistakes }, open) {
  const buttons = mistakes.map(([row, column, count]) => {
    const button = document.createElement("button");
    button.textContent = `${labels[row]} taken for ${labels[column]}: ${count}`;
    button.onclick = () => open(row, column, count);
    return button;
  });
  const box = document.getElementById("mistakes");
  const focused = [...box.children].indexOf(document.activeElement);
  box.replaceChildren(...buttons);
  if (focused >= 0) (box.children[focused] || box.lastElementChild)?.focus();
}

async function show(details, json, row, column, count) {
  const { labels } = details.matrix;
  const dialog = document.getElementById("cell");
  const what = row === column ? `${labels[row]}, right` : `${labels[row]} taken for ${labels[column]}`;
  const title = document.getElementById("cell-title");
  const list = dialog.querySelector("ul");
  title.textContent = `${what}: ${count}`;
  list.replaceChildren();
  dialog.showModal();
  try {
    const examples = await json(`/cells/${row}/${column}`);
    if (examples.length < count) title.textContent += `, the surest ${examples.length}`;
    drawCards(list, examples, details);
  } catch {
    title.textContent = "The training is over: its examples are gone.";
  }
}

function percent(part, whole) {
  return whole ? ((100 * part) / whole).toFixed(1) : "–";
}
