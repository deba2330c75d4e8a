// What came in by minute, what is popular, and where the kitchen is.

import { attribute, cells, list, row, text } from "./dom.js";
import { count, minute, money } from "./format.js";

const svg = "http://www.w3.org/2000/svg";
const room = 30; // minutes

function bar(node, { value, i, title }, most) {
  const height = most > 0 ? Math.max(value > 0 ? 2 : 0, (value / most) * 100) : 0;
  for (const [name, at] of Object.entries({ x: i * 10 + 1, y: 100 - height, width: 8, height })) attribute(node, name, at);
  text(node.firstElementChild, title);
}

function emptyBar() {
  const rect = document.createElementNS(svg, "rect");
  rect.append(document.createElementNS(svg, "title"));
  return rect;
}

function bars(id, values) {
  const chart = document.getElementById(id);
  attribute(chart, "viewBox", `0 0 ${room * 10} 100`);
  const most = Math.max(0, ...values.map((v) => v.value));
  const shift = room - values.length;
  list(chart, values.map((v, i) => ({ ...v, i: i + shift })), (v) => v.i, emptyBar, (node, v) => bar(node, v, most));
}

/** The last minute is not over, so the one before it is what a minute brings. */
const lastWhole = (minutes) => minutes.at(-2) ?? minutes.at(-1);

export function renderAnalytics({ analytics }) {
  const { currency } = analytics;
  const minutes = (analytics.minutes ?? []).slice(-room);
  bars("bars-orders", minutes.map((m) => ({ value: m.orders, title: `${minute(m.at)}: ${count(m.orders)}` })));
  bars("bars-revenue", minutes.map((m) => ({ value: m.gross_minor, title: `${minute(m.at)}: ${money(m.gross_minor, currency)}` })));
  const last = lastWhole(minutes);
  text("orders-minute", last ? count(last.orders) : "–");
  text("revenue-minute", last ? money(last.gross_minor, currency) : "–");
  const line = () => row("", "num");
  list(document.getElementById("items"), analytics.items ?? [], (i) => i.item_id, line, (tr, i) => cells(tr, [i.name, count(i.quantity)]));
  list(document.getElementById("kitchen"), analytics.kitchen ?? [], (k) => k.state, line, (tr, k) => cells(tr, [k.state.replaceAll("_", " "), count(k.orders)]));
}
