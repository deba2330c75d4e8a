// The way of an event: a node for each place, an edge that moves while events do.

import { attribute, cells, find, list, row, text } from "./dom.js";
import { age, brief, count, rate } from "./format.js";

const stations = [
  ["api", "orders"], ["outbox", "written"], ["relay", "published"], ["projectors", "projected"], ["read_model", "applied"],
];

function node(id, up, moves) {
  find(`node-${id}`).classList.toggle("down", !up);
  text(`state-${id}`, up ? "" : "✕ down");
  if (id !== "api") find(`edge-${id}`).classList.toggle("moving", moves);
}

function station(id, name, stage, now) {
  node(id, stage.up, stage.rate > 0);
  text(`count-${id}`, count(stage.count));
  text(`rate-${name}`, rate(stage.rate));
  text(`age-${id}`, age(stage.last, now));
  text(`note-${id}`, stage.note);
  attribute(`note-${id}`, "title", stage.note ?? null);
}

/** "1 h 2 min ago" as "1 h". */
const coarse = (words) => words.split(" ").slice(0, 2).join(" ");

function partition(line, [number, stage], now) {
  cells(line, [`p${number}`, brief(stage.count), `${rate(stage.rate)}/s`, coarse(age(stage.last, now))]);
  line.classList.toggle("down", !stage.up);
  attribute(line.children[1], "data-testid", `count-p${number}`);
  attribute(line.children[2], "data-testid", `rate-p${number}`);
}

export function renderPipe(snapshot, now) {
  const { pipe } = snapshot;
  for (const [id, name] of stations) station(id, name, pipe[id], now);
  const partitions = pipe.partitions ?? [];
  node("topic", partitions.every((p) => p.up), partitions.some((p) => p.rate > 0));
  const body = document.getElementById("partitions");
  list(body, [...partitions.entries()], ([number]) => number, () => row("", "num", "num", "num"), (line, p) => partition(line, p, now));
}
