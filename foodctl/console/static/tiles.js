// Backlog, log, latency, what readers do not see, and the audit's zeros.

import { find, text } from "./dom.js";
import { bytes, count, duration, millis, minute } from "./format.js";

const zeros = ["duplicates", "missing", "holes", "foreign", "mismatched", "not_applied"];
const soon = 900; // s until a slot is lost: time to look after it

function slotLeft(slot) {
  if (!slot.exists) return "no slot: a relay makes it when it starts";
  if (slot.lost) return "✕ slot lost: run relay recover";
  const held = slot.active ? "slot" : "idle slot";
  if (slot.lost_seconds != null) return `${held} lost in ${duration(slot.lost_seconds)}`;
  if (slot.safe_bytes != null) return `${held} lost after ${bytes(slot.safe_bytes)} more`;
  return `${held}, without limit`;
}

function renderAudit(audit) {
  for (const name of zeros) {
    const id = name.replace("_", "-");
    const n = audit[name];
    text(id, n === 0 ? "0" : `✕ ${count(n)}`);
    find(id).parentElement.classList.toggle("bad", n !== 0);
  }
  find("audit").classList.toggle("bad", zeros.some((name) => audit[name] !== 0));
  text("audit-events", count(audit.events)); // the whole topic
  text("audit-compared", count(audit.compared));
  text("audit-since", minute(audit.since));
  text("audit-left", audit.left > 0 ? `${count(audit.left)} left to foodctl verify` : "all: foodctl verify");
}

export function renderTiles(snapshot) {
  const { pending, slot, latency, kafka } = snapshot;
  text("pending", count(pending.events));
  text("unpublished", count(pending.unpublished));
  text("pending-seconds", pending.unpublished > 0 ? `, ${duration(pending.seconds)} old` : "");
  text("latency-p50", latency.p50_ms > 0 ? millis(latency.p50_ms) : "–");
  text("latency-p99", latency.p99_ms > 0 ? millis(latency.p99_ms) : "–");
  text("wal-held", bytes(slot.held_bytes));
  text("slot-left", slotLeft(slot));
  find("tile-slot").classList.toggle("warn", slot.lost || (slot.lost_seconds ?? Infinity) < soon);
  text("aborted", count(kafka.aborted_transactions));
  text("reread", count(kafka.source_transactions_dropped));
  renderAudit(snapshot.audit);
}
