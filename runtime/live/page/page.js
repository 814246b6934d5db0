// Follows the news of the training, and asks for the rest whenever an epoch has changed it.

import { drawLoss, drawMeasures } from "./charts.js";
import { drawCards, drawKernels, drawLearnt } from "./cards.js";
import { drawLayers, drawProjection } from "./layers.js";
import { drawMatrix } from "./matrix.js";

const at = (id) => document.getElementById(id);
const STATUS = {
  training: "training",
  done: "done",
  stopped: "stopped",
  failed: "cut off: see the terminal",
};
let news = null;
let details = null;
let asked = 0;
let askedAt = -Infinity;
const PAUSE = 1000; // milliseconds between details, while epochs are shorter than that

const stream = new EventSource("/news");
stream.addEventListener("message", (event) => {
  news = JSON.parse(event.data);
  drawNews();
  if (news.status !== "training") stream.close();
  const due = news.status !== "training" || performance.now() - askedAt > PAUSE;
  if (news.revision > asked && due) ask(news.revision);
});
stream.addEventListener("error", () => {
  if (news && news.status !== "training") return;
  say("no connection to the training", true);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

async function ask(revision) {
  asked = revision;
  askedAt = performance.now();
  try {
    details = await json("/details");
    draw();
    if (details.embedding) drawProjection(details, await json("/projection"));
  } catch {
    asked = 0; // it is asked again with the next news
  }
}

async function json(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function say(text, bad) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

function drawNews() {
  const said = STATUS[news.status];
  if (at("status").textContent !== said) say(said, news.status === "failed"); // read aloud once
  at("progress").hidden = !news.epochs;
  if (news.epochs) at("progress").value = news.done / news.epochs;
  const of = news.epochs ? ` of ${news.epochs}` : "";
  figures({
    epoch: news.epoch + of,
    batch: `${news.step} of ${news.steps}`,
    loss: number(news.loss),
    "learning rate": number(news.rate),
    "examples/s": Math.round(news.pace).toLocaleString("en"),
    elapsed: time(news.seconds),
    left: news.status === "training" ? time(news.left) : "–",
  });
  drawLoss(news.curve, details);
}

function figures(said) {
  const list = at("figures");
  for (const [name, text] of Object.entries(said)) {
    let value = list.querySelector(`[data-name="${name}"]`);
    if (!value) {
      const group = list.appendChild(document.createElement("div"));
      group.appendChild(document.createElement("dt")).textContent = name;
      value = group.appendChild(document.createElement("dd"));
      value.dataset.name = name;
    }
    value.textContent = text;
  }
}

function draw() {
  if (!details) return;
  document.title = details.name ? `${details.name} – training` : "Training";
  at("name").textContent = details.name || "Training";
  if (news) drawLoss(news.curve, details);
  drawMeasures(details);
  drawMatrix(details, json);
  drawCards(at("samples"), details.samples, details);
  at("samples-section").hidden = !details.samples.length;
  drawLearnt(details);
  drawKernels(details);
  drawLayers(details);
  at("projection-section").hidden = !details.embedding;
}

function number(value) {
  return value === null || value === undefined ? "–" : Number(value.toPrecision(4)).toString();
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
