// The strip: what all of it comes to, the findings of the audit, and what could not be read.

import { attribute, find, list, make, show, text } from "./dom.js";
import { clock, count, duration } from "./format.js";

const names = {
  mismatch: "Mismatch", blind: "Blind", relay_down: "Relay down", took_over: "Taken over",
  came_back: "Relay is back", draining: "Draining", in_sync: "In sync", starting: "Starting",
};
const shown = 3; // findings; foodctl verify names them all

const label = (kind) => kind.replaceAll("_", " ");

function announce(verdict) {
  const strip = find("verdict");
  if (strip.dataset.announced === verdict.state) return;
  strip.dataset.announced = verdict.state;
  text(document.getElementById("announce"), `${names[verdict.state] ?? verdict.state}: ${verdict.text}`);
}

function finding(f) {
  const where = f.partition == null ? "" : ` p${f.partition} offset ${f.offset}`;
  return `${label(f.kind)}:${where} ${f.detail}${f.order_id ? ` (order ${f.order_id})` : ""}`;
}

function notices(id, lines) {
  show(id, lines.length > 0);
  list(find(id), lines.map((line, i) => ({ line, i })), (n) => n.i, () => make("li"), (node, n) => text(node, n.line));
}

export function renderVerdict(snapshot, now) {
  const { verdict, audit } = snapshot;
  attribute("verdict", "data-state", verdict.state);
  attribute(document.getElementById("verdict-icon"), "href", `#icon-${verdict.state}`);
  text("verdict-state", names[verdict.state] ?? verdict.state);
  text("verdict-text", verdict.text);
  text("verdict-since", `${clock(verdict.since)} (${duration(Math.floor((now - new Date(verdict.since)) / 1000))})`);
  attribute("verdict-since", "datetime", verdict.since);
  announce(verdict);
  const findings = audit.findings ?? [];
  const more = findings.length > shown ? `and ${count(findings.length - shown)} more; ` : "";
  const all = verdict.state === "mismatch" ? [`${more}foodctl verify names them all`] : [];
  notices("findings", [...findings.slice(0, shown).map(finding), ...all]);
  notices("trouble", snapshot.trouble ?? []);
  const title = `${verdict.state === "mismatch" ? "✕ " : ""}${names[verdict.state] ?? verdict.state} · Food pipeline`;
  if (document.title !== title) document.title = title;
}

/** Says so when nothing has been heard for a while. */
export function renderSilence(ms) {
  const stale = ms > 4000;
  document.body.classList.toggle("is-stale", stale);
  text("stale", stale ? `no news for ${duration(Math.floor(ms / 1000))}, reconnecting` : "");
}
