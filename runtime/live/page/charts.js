// The curves, drawn by uPlot in the page's colours.

const { uPlot } = window;
const COLOURS = ["#3b82f6", "#f59e0b", "#10b981", "#e05297", "#8b5cf6", "#64748b"];
const HEIGHT = 230;
const WHOLE = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5].map((e) => n * 10 ** e)).sort((a, b) => a - b);
const charts = new Map(); // element id: {chart, key}

export function drawLoss(curve, details) {
  const history = details ? details.history : { epoch: [], loss: [], metrics: {}, terms: {} };
  const tables = [
    [curve[0], curve[1]],
    [history.epoch, history.loss],
  ];
  const names = ["batches", "training"];
  if (history.metrics.loss) {
    tables.push([history.epoch, history.metrics.loss]);
    names.push("validation");
  }
  for (const [name, values] of Object.entries(history.terms)) {
    tables.push([history.epoch, values]);
    names.push(name);
  }
  draw("loss", names, tables);
}

export function drawMeasures({ history }) {
  const names = Object.keys(history.metrics).filter((name) => name !== "loss");
  document.getElementById("measures-section").hidden = !names.length;
  if (!names.length) return;
  const words = names.length === 1 ? names[0] : "measures";
  document.getElementById("measures-title").textContent = words[0].toUpperCase() + words.slice(1);
  draw("measures", names, names.map((name) => [history.epoch, history.metrics[name]]));
}

function draw(id, names, tables) {
  const element = document.getElementById(id);
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--soft", "--line"].map((name) => style.getPropertyValue(name).trim());
  const key = [...names, ink].join("|"); // what a chart cannot change later
  const data = uPlot.join(tables);
  const held = charts.get(id);
  describe(element, names, tables);
  if (held && held.key === key) {
    held.chart.setData(data);
    tellLatest(held.chart);
    return;
  }
  if (held) held.chart.destroy();
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  const series = names.map((name, i) => ({
    label: name,
    stroke: COLOURS[i % COLOURS.length],
    width: name === "batches" ? 1 : 2,
    points: name === "batches" ? { show: false } : { size: 5 }, // none where they are dense
    spanGaps: true,
    value: (_, value) => (value === null || value === undefined ? "–" : value.toPrecision(4)),
  }));
  const settings = {
    width: element.clientWidth,
    height: HEIGHT,
    scales: { x: { time: false } },
    axes: [id === "measures" ? { ...axis, incrs: WHOLE } : axis, { ...axis, size: 60 }],
    hooks: { setCursor: [tellLatest] },
    series: [{ label: "epoch", value: (_, value) => (value ?? "–").toString() }, ...series],
  };
  const chart = new uPlot(settings, data, element);
  tellLatest(chart);
  charts.set(id, { chart, key });
}

// What the legend says while nothing is pointed at: for a phone that is always.
function tellLatest(chart) {
  if (chart.cursor.left >= 0) return;
  const last = (column) => column.findLastIndex((value) => value !== null && value !== undefined);
  chart.setLegend({ idxs: chart.data.map(last) }, false);
}

function describe(element, names, tables) {
  const last = names.map((name, i) => {
    const value = tables[i][1].at(-1);
    return value === undefined || value === null ? "" : `${name} ${value.toPrecision(4)}`;
  });
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `Latest: ${last.filter(Boolean).join(", ") || "nothing yet"}`);
}

new ResizeObserver((changes) => {
  for (const { target } of changes) {
    const held = charts.get(target.id);
    if (held && target.clientWidth) held.chart.setSize({ width: target.clientWidth, height: HEIGHT });
  }
}).observe(document.getElementById("loss"));
new ResizeObserver(() => {
  const element = document.getElementById("measures");
  const held = charts.get("measures");
  if (held && element.clientWidth) held.chart.setSize({ width: element.clientWidth, height: HEIGHT });
}).observe(document.getElementById("measures"));
