// Marks on the chart: a vertical line with a name at its top, in lanes so that names do not lie on each other.

const names = {
  relay_down: "relay down", relay_up: "relay up", takeover: "takeover", fenced: "transaction aborted", rebalance: "rebalance",
  broker_down: "Kafka down", broker_up: "Kafka up",
};
const bad = new Set(["relay_down", "broker_down"]);
const lanes = 4;
const height = 15; // of a lane

/** What a mark is called on the chart. What somebody broke says it itself. */
const markName = (mark) => names[mark.kind] ?? mark.text;

/** All that is known of a mark. */
export const markWords = (mark) => (names[mark.kind] && mark.text ? `${names[mark.kind]}: ${mark.text}` : markName(mark));

/** The first lane in which a name has room, or none. ends has where the last name of each lane ends. */
function lane(ends, from, to) {
  const free = ends.findIndex((end) => end <= from);
  if (free >= 0) ends[free] = to;
  return free;
}

/** Draws all lines first, so that none goes through a name. */
export function drawMarks(plot, marks, colour) {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  const place = (mark) => Math.round(plot.valToPos(new Date(mark.at).getTime() / 1000, "x", true));
  const seen = marks.map((mark) => ({ mark, x: place(mark) })).filter(({ x }) => x >= bbox.left && x <= bbox.left + bbox.width);
  const ends = Array(lanes).fill(-Infinity);
  ctx.save();
  ctx.font = `${12 * scale}px sans-serif`;
  ctx.textBaseline = "top";
  for (const { mark, x } of seen) {
    ctx.fillStyle = ink(mark, colour);
    ctx.fillRect(x - scale / 2, bbox.top, scale, bbox.height);
  }
  for (const { mark, x } of seen) drawName(ctx, bbox, { mark, x, scale, ends, colour });
  ctx.restore();
}

const ink = (mark, colour) => colour(bad.has(mark.kind) ? "bad" : "text");

function drawName(ctx, bbox, { mark, x, scale, ends, colour }) {
  const words = markName(mark);
  const width = ctx.measureText(words).width + 8 * scale;
  const left = Math.min(x, bbox.left + bbox.width - width);
  const free = lane(ends, left, left + width);
  if (free < 0) return;
  const top = bbox.top + free * height * scale;
  ctx.fillStyle = colour("panel");
  ctx.fillRect(left + scale, top, width - scale, height * scale);
  ctx.fillStyle = ink(mark, colour);
  ctx.fillText(words, left + 4 * scale, top + 2 * scale);
}
