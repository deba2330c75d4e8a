// Who publishes, who stands by, and who has which partition.

import { attribute, cells, list, row } from "./dom.js";
import { brief } from "./format.js";

function relay(line, r) {
  cells(line, [r.name, r.up ? r.role : `✕ ${r.role || "does not answer"}`, r.pid || ""]);
  attribute(line.children[1], "data-testid", `relay-role-${r.name}`);
  line.classList.toggle("down", !r.up);
  line.classList.toggle("active", r.up && r.role === "active");
}

function member(line, m) {
  cells(line, [`p${m.partition}`, m.owner || "nobody", brief(m.next_offset), brief(m.applied_events)]);
  attribute(line.children[1], "data-testid", `owner-p${m.partition}`);
  attribute(line.children[1], "title", `${m.owner}, epoch ${m.epoch}, next offset ${m.next_offset}`);
  attribute(line.children[3], "data-testid", `applied-p${m.partition}`);
}

export function renderProcesses(snapshot) {
  list(document.getElementById("relays"), snapshot.relays ?? [], (r) => r.name, () => row("", "role", "num"), relay);
  list(document.getElementById("members"), snapshot.members ?? [], (m) => m.partition, () => row("", "mono owner", "num", "num"), member);
}
