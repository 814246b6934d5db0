// The table of layers, and the plane of an embedding.

const NUMBERS = ["mean", "deviation", "largest", "gradient"];

export function drawLayers({ layers }) {
  const rows = layers.flatMap((layer) => {
    const head = [layer.name, layer.frozen ? `${layer.kind} (frozen)` : layer.kind, layer.output];
    if (!layer.parameters.length) return [row([...head, "", "", "", "", "", ""])];
    return layer.parameters.map((each, i) => {
      const numbers = NUMBERS.map((name) => short(each[name]));
      return row([...(i ? ["", "", ""] : head), each.name, each.shape, ...numbers]);
    });
  });
  document.getElementById("layers").tBodies[0].replaceChildren(...rows);
}

function row(texts) {
  const line = document.createElement("tr");
  texts.forEach((text, i) => {
    const cell = line.insertCell();
    cell.textContent = text;
    if (i > 4) cell.className = "number";
  });
  return line;
}

function short(value) {
  if (value === undefined || value === null) return "–";
  const size = Math.abs(value);
  return size && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : value.toFixed(4);
}

let plane = null; // what is drawn there: sizes and colours may change

export function drawProjection({ embedding }, projection) {
  const { points, classes, labels } = projection;
  plane = projection;
  document.getElementById("projection-hint").textContent =
    `The first ${points.length} validation examples at ${embedding}, by two principal components.`;
  document.getElementById("projection").ariaLabel = `Projection of ${points.length} examples`;
  drawPlane();
  const known = classes.length && labels.length <= 30 ? labels : [];
  const items = known.map((label, i) => {
    const item = document.createElement("li");
    const mark = item.appendChild(document.createElement("i"));
    mark.style.background = colour(i, labels.length);
    item.append(label);
    return item;
  });
  document.getElementById("legend").replaceChildren(...items);
}

function drawPlane() {
  const { points, classes, labels } = plane;
  const canvas = document.getElementById("projection");
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * scale, height * scale];
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  points.forEach(([x, y], i) => {
    pen.fillStyle = colour(classes[i] ?? 0, labels.length);
    pen.beginPath();
    pen.arc(8 + ((x + 1) / 2) * (width - 16), 8 + ((1 - y) / 2) * (height - 16), 3, 0, 7);
    pen.fill();
  });
}

function colour(index, count) {
  const light = index % 2 ? 46 : 62; // neighbours differ in more than hue
  return `hsl(${Math.round((360 * index) / Math.max(1, count))} 75% ${light}%)`;
}

new ResizeObserver(() => plane && drawPlane()).observe(document.getElementById("projection"));
