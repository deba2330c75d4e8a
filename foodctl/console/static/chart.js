// The chart of the last five minutes: pending events as an area on the right axis, rates as lines on the left one, and what
// happened as vertical lines. Lines differ by dashes as well as by colour.

import { list, make, text } from "./dom.js";
import { clock, compact, count, rate } from "./format.js";
import { drawMarks, markWords } from "./marks.js";

const span = 300; // seconds
const series = [
  { key: "pending", scale: "pending", format: count },
  { key: "written", scale: "rate", format: rate, dash: [] },
  { key: "published", scale: "rate", format: rate, dash: [7, 4] },
  { key: "applied", scale: "rate", format: rate, dash: [2, 3] },
];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const at = (time) => new Date(time).getTime() / 1000;
const zeroBased = (_, __, max) => [0, Math.max(10, (max ?? 0) * 1.4)]; // the room above is for the names of marks

/** The chart, or none if its library has not come. */
export function startChart(place) {
  if (window.uPlot) return new Chart(place);
  text(place, "The chart has not come: load the page again.");
  return null;
}

class Chart {
  #points = [];
  #place;
  #plot;

  constructor(place) {
    this.#place = place;
    this.#make();
    new ResizeObserver(() => this.#plot.setSize(this.#size())).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#make());
  }

  replace(points) {
    this.#points = points ?? [];
    this.#draw();
  }

  add(point) {
    const last = this.#points.at(-1);
    if (last && last.number >= point.number && at(last.at) >= at(point.at)) return; // the history has it
    this.#points.push(point);
    this.#draw();
  }

  #make() {
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(), this.#data(), this.#place);
  }

  #draw() {
    const from = at(this.#points.at(-1)?.at ?? 0) - span;
    this.#points = this.#points.filter((p) => at(p.at) >= from);
    this.#plot.setData(this.#data());
    this.#place.dataset.points = this.#points.length;
    this.#values(this.#plot.cursor.idx ?? -1);
    this.#listMarks();
  }

  #data() {
    return [this.#points.map((p) => at(p.at)), ...series.map((s) => this.#points.map((p) => p[s.key]))];
  }

  #marks() {
    return this.#points.flatMap((p) => p.marks ?? []);
  }

  #range() {
    const newest = at(this.#points.at(-1)?.at ?? Date.now());
    return [newest - span, newest];
  }

  #size() {
    return { width: this.#place.clientWidth, height: this.#place.clientHeight };
  }

  /** The key shows the values under the cursor, or the newest. */
  #values(index) {
    const point = this.#points[index] ?? this.#points.at(-1);
    for (const s of series) text(document.getElementById(`key-${s.key}`), point ? s.format(point[s.key]) : "–");
  }

  #listMarks() {
    const marks = this.#marks();
    this.#place.dataset.marks = marks.length;
    const key = (m) => m.at + m.kind + m.text;
    list(document.getElementById("marks"), marks.reverse(), key, () => make("li"), (node, m) => text(node, `${clock(m.at)} ${markWords(m)}`));
  }

  #options() {
    const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px sans-serif", gap: 4 };
    return {
      ...this.#size(),
      padding: [4, 0, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { range: () => this.#range() }, rate: { range: zeroBased }, pending: { range: zeroBased } },
      axes: [
        { ...axis, size: 24, gap: 7, space: 74, values: (_, ticks) => ticks.map((t) => clock(t * 1000)) },
        { ...axis, scale: "rate", size: 48, space: 34, values: (_, ticks) => ticks.map((t) => `${compact(t)}/s`) },
        { ...axis, scale: "pending", side: 1, size: 52, space: 34, grid: { show: false }, values: (_, ticks) => ticks.map(compact) },
      ],
      series: [{}, ...series.map(line)],
      hooks: {
        draw: [(plot) => drawMarks(plot, this.#marks(), colour)],
        setCursor: [(plot) => this.#values(plot.cursor.idx ?? -1)],
      },
    };
  }
}

function line({ key, scale, dash }) {
  const area = { stroke: colour("pending"), fill: colour("pending-fill"), width: 1 };
  const stroke = key === "pending" ? area : { stroke: colour(key), dash, width: 2 };
  return { scale, points: { show: false }, ...stroke };
}
