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
    text("order-message", answer.problem ?? trouble(answer.order));
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

/** What could not be looked at, so that nothing is known of it. */
const trouble = (order) => (order.trouble ?? []).map((t) => `Not known: ${t}.`).join(" ");

function render(order) {
  const facts = [
    ["Customer", order.customer_id], ["Fulfilment", order.fulfilment], ["Payment", order.payment],
    ["Version", order.version || "none: the orders table does not have it"],
    ["Blocked", order.blocked ? `yes (${order.blocked}): an event is parked, see projector letters` : "no"],
  ];
  list(document.getElementById("order-facts"), facts, ([name]) => name, fact, (node, [, value]) => text(node.lastElementChild, value));
  list(document.getElementById("order-events"), order.events ?? [], (e) => e.version, eventRow, (node, e) => fill(node, e, order));
}

const fact = ([name]) => make("div", {}, make("dt", {}, name), make("dd", {}));

function eventRow() {
  const made = row("num", "", "num", "num", "mono", "num mono", "num", "");
  const more = make("details", {}, make("summary", {}, "ids, payload"), make("p", { class: "mono" }), make("pre", { tabindex: "0" }));
  made.lastElementChild.append(more);
  return made;
}

function fill(node, e, order) {
  const missing = passed(e, order) ? "–" : "waits";
  cells(node, [
    e.version, typeName(e.type), clock(e.at), e.committed ? delta(e.at, e.committed) : missing,
    e.commit_lsn ? `${e.commit_lsn} #${e.tx_index}${e.tx_last ? " (last)" : ""}` : missing,
    e.offset < 0 ? missing : `p${e.partition} ${e.offset}${e.record_found ? "" : "?"}`,
    applied(e, order), null,
  ]);
  const [, ids, payload] = node.lastElementChild.firstElementChild.children;
  text(ids, `event ${e.event_id}, seq ${e.seq}${e.trace_id ? `, trace ${e.trace_id}` : ""}`);
  text(payload, JSON.stringify(e.payload, null, 2) ?? "");
  show(payload, e.payload != null);
}

const asked = (order) => (order.trouble ?? []).length === 0;

/** Whether what is not known of an event's record is not to come either, or nobody can tell. */
const passed = (e, order) => e.applied || e.record_found || Boolean(e.read_model_event_id) || !asked(order);

/** What the read model has of an event. */
function applied(e, order) {
  if (e.read_model_event_id) return "✕ another event";
  if (e.applied) return e.seq > 0 ? "yes" : "✕ not in the outbox";
  if (order.blocked && e.offset >= 0) return "parked";
  return asked(order) || order.read_model_version > 0 ? "waits" : "–";
}
