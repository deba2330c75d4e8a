// Who publishes, who stands by, and who has which partition.

import { attribute, cells, list, row } from "./dom.js";
import { count } from "./format.js";

function relay(line, r) {
  cells(line, [r.name, r.up ? r.role : `✕ ${r.role || "does not answer"}`, r.pid || ""]);
  attribute(line.children[1], "data-testid", `relay-role-${r.name}`);
  line.classList.toggle("down", !r.up);
  line.classList.toggle("active", r.up && r.role === "active");
}

function member(line, m) {
  cells(line, [`p${m.partition}`, m.owner || "nobody", m.next_offset, count(m.applied_events)]);
  attribute(line.children[1], "data-testid", `owner-p${m.partition}`);
  attribute(line.children[1], "title", `${m.owner}, epoch ${m.epoch}`);
  attribute(line.children[3], "data-testid", `applied-p${m.partition}`);
}

export function renderProcesses(snapshot) {
  list(document.getElementById("relays"), snapshot.relays ?? [], (r) => r.name, () => row("", "role", "num"), relay);
  list(document.getElementById("members"), snapshot.members ?? [], (m) => m.partition, () => row("", "mono owner", "num", "num"), member);
}
