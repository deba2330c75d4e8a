// The newest orders, each at its newest event. While somebody points at the list or is in it, its lines stay where they are.

import { attribute, cells, find, list, make, row, show, text } from "./dom.js";
import { clock, delta, shortID, typeName } from "./format.js";

const most = 20;

export class Orders {
  #body = find("orders");
  #held = [];

  /** open is called with the id of an order that somebody wants to see. */
  constructor(open) {
    this.#body.addEventListener("click", (event) => {
      const line = event.target.closest("tr");
      if (line) open(line.dataset.key);
    });
  }

  render(orders) {
    const holding = this.#body.matches(":hover, :focus-within");
    show("orders-held", holding);
    this.#held = holding ? this.#sameLines(orders) : orders.slice(0, most);
    list(this.#body, this.#held, (o) => o.id, line, fill);
  }

  /** The lines there are, with what is newer of them. */
  #sameLines(orders) {
    const fresh = new Map(orders.map((o) => [o.id, o]));
    return this.#held.map((o) => fresh.get(o.id) ?? o);
  }
}

function line() {
  const made = row("", "", "num", "num", "num", "num wide");
  made.children[0].append(make("button", { type: "button", class: "link mono" }));
  return made;
}

function fill(node, order) {
  const button = node.firstElementChild.firstElementChild;
  text(button, shortID(order.id));
  attribute(button, "title", order.id);
  cells(node, [
    null, typeName(order.type), clock(order.written),
    stage(order, order.published, order.done), stage(order, order.applied, order.done),
    order.offset < 0 ? "" : `p${order.partition} ${order.offset}`,
  ]);
  node.children[3].classList.toggle("waits", !order.published && !order.done);
  node.children[4].classList.toggle("waits", !order.applied && !order.done);
}

/** When an event came to a place; if nobody looked then, that it is there. */
const stage = (order, at, there) => {
  if (at) return delta(order.written, at);
  return there ? "✓" : "waits";
};
