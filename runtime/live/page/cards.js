// Examples as cards, and weights as pictures.

export function drawCards(list, examples, details) {
  const held = new Map([...list.querySelectorAll("img")].map((each) => [each.dataset.from, each]));
  list.replaceChildren(...examples.map((each) => card(each, details, held)));
}

function card({ example, place, wanted, guess, confidence }, details, held) {
  const item = document.createElement("li");
  item.classList.toggle("wrong", wanted !== guess);
  if (details.pictures) {
    const text = `example ${example}: ${wanted}, taken for ${guess}`;
    const image = held.get(`/examples/${example}.png`) || picture(`/examples/${example}.png`, text);
    image.alt = text;
    item.append(image); // one that was loaded is not asked for again
  }
  const said = item.appendChild(document.createElement("span"));
  said.className = "guess";
  said.textContent = wanted === guess ? wanted : `${wanted} → ${guess}`;
  const more = item.appendChild(document.createElement("small"));
  const which = details.pictures ? "" : `no. ${example}${place === null ? "" : `, ${place}`}: `;
  more.textContent = `${which}${confidence === null ? "–" : (100 * confidence).toFixed(1) + " %"}`;
  return item;
}

export function drawLearnt({ learnt, revision }) {
  document.getElementById("learnt-section").hidden = !learnt.length;
  const cards = learnt.map((label, index) => {
    const item = document.createElement("li");
    item.append(picture(`/learnt/${index}.png?${revision}`, `training example: ${label}`));
    item.append(label);
    return item;
  });
  document.getElementById("learnt").replaceChildren(...cards);
}

export function drawKernels({ kernels, revision }) {
  document.getElementById("kernels-section").hidden = !kernels.length;
  const figures = kernels.map(([name, ...shape], index) => {
    const figure = document.createElement("figure");
    figure.appendChild(document.createElement("figcaption")).textContent =
      `${name}, ${shape.join("×")}`;
    figure.append(picture(`/kernels/${index}.png?${revision}`, `weights of ${name}`));
    return figure;
  });
  document.getElementById("kernels").replaceChildren(...figures);
}

function picture(source, text) {
  const image = document.createElement("img");
  image.src = source;
  image.dataset.from = source;
  image.alt = text;
  return image;
}
