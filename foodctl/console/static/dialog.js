// The whole life of an order, asked for when somebody wants to see it, and again while it goes on.

import { cells, list, make, row, show, text } from "./dom.js";
import { clock, delta, typeName } from "./format.js";

export class OrderDialog {
  #dialog = document.getElementById("order");
  #id = null;
  #seen = "";

  constructor() {
    document.getElementById("order-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => (this.#id = null));
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  open(id) {
    this.#id = id;
    this.#seen = "";
    text(document.getElementById("order-title"), `Order ${id}`);
    document.getElementById("order-events").replaceChildren();
    document.getElementById("order-facts").replaceChildren();
    text("order-message", "Reading it…");
    this.#dialog.showModal();
    this.#load(id);
  }

  /** Asks again if the order has got further. */
  follow(orders) {
    const order = this.#id && orders.find((o) => o.id === this.#id);
    if (!order) return;
    const seen = `${order.version} ${order.published} ${order.applied}`;
    if (this.#seen && this.#seen !== seen) this.#load(this.#id);
    this.#seen = seen;
  }

  async #load(id) {
    const answer = await ask(id);
    if (this.#id !== id) return; // closed, or another order, meanwhile
    text("order-message", answer.problem ?? "");
    if (answer.order) render(answer.order);
  }
}

async function ask(id) {
  try {
    const url = `api/orders/${id}`;
    const response = await fetch(url).catch(() => fetch(url)); // a connection may break once
    const body = await response.json();
    return response.ok ? { order: body } : { problem: `${body.detail ?? response.statusText} Close this and try again.` };
  } catch (error) {
    return { problem: `The console does not answer (${error.message}). Is it still running? Close this and try again.` };
  }
}

function render(order) {
  const facts = [
    ["Customer", order.customer_id], ["Fulfilment", order.fulfilment], ["Payment", order.payment],
    ["Version", order.version], ["Blocked", order.blocked ? "yes: an event is parked, see projector letters" : "no"],
  ];
  list(document.getElementById("order-facts"), facts, ([name]) => name, fact, (node, [, value]) => text(node.lastElementChild, value));
  list(document.getElementById("order-events"), order.events ?? [], (e) => e.version, eventRow, fill);
}

const fact = ([name]) => make("div", {}, make("dt", {}, name), make("dd", {}));

function eventRow() {
  const made = row("num", "", "num", "num", "mono", "num mono", "num", "");
  const more = make("details", {}, make("summary", {}, "ids, payload"), make("p", { class: "mono" }), make("pre", { tabindex: "0" }));
  made.lastElementChild.append(more);
  return made;
}

function fill(node, e) {
  cells(node, [
    e.version, typeName(e.type), clock(e.at), since(e.at, e.committed),
    e.commit_lsn ? `${e.commit_lsn} #${e.tx_index}${e.tx_last ? " (last)" : ""}` : "waits",
    e.offset == null || e.offset < 0 ? "waits" : `p${e.partition} ${e.offset}`,
    since(e.at, e.applied), null,
  ]);
  const [, ids, payload] = node.lastElementChild.firstElementChild.children;
  text(ids, `event ${e.event_id}, seq ${e.seq}${e.trace_id ? `, trace ${e.trace_id}` : ""}`);
  text(payload, JSON.stringify(e.payload, null, 2) ?? "");
  show(payload, e.payload !== undefined);
}

/** A stage may be known by its time, or only as passed. */
function since(from, to) {
  if (!to) return "waits";
  return to === true ? "yes" : delta(from, to);
}
