// The console's page: takes a snapshot a second and shows it. Nothing here decides anything; the server does.

import { startChart } from "./chart.js";
import { OrderDialog } from "./dialog.js";
import { Feed } from "./feed.js";
import { Orders } from "./orders.js";
import { renderAnalytics } from "./analytics.js";
import { renderPipe } from "./pipe.js";
import { renderProcesses } from "./processes.js";
import { renderTiles } from "./tiles.js";
import { renderSilence, renderVerdict } from "./verdict.js";
import { startChaos } from "./chaos.js";
import { startTabs } from "./tabs.js";

const chart = startChart(document.getElementById("chart"));
const dialog = new OrderDialog();
const orders = new Orders((id) => dialog.open(id));

let latest = null;
let taken = 0; // when latest came, by performance.now

/** The server's time now: ages must not depend on this machine's clock. */
const serverNow = () => new Date(latest.at).getTime() + performance.now() - taken;

function renderTimes() {
  renderVerdict(latest, serverNow());
  renderPipe(latest, serverNow());
}

function render(snapshot) {
  latest = snapshot;
  taken = performance.now();
  renderTimes();
  renderTiles(snapshot);
  renderProcesses(snapshot);
  renderAnalytics(snapshot);
  orders.render(snapshot.orders ?? []);
  dialog.follow(snapshot.orders ?? []);
  chart?.add(point(snapshot));
}

/** What the chart has of a snapshot, as the server's history has it. */
function point(s) {
  return {
    number: s.number, at: s.at, pending: s.pending.events, marks: s.marks ?? [],
    written: s.pipe.outbox.rate, published: s.pipe.relay.rate, applied: s.pipe.read_model.rate,
  };
}

renderSilence(0);
startTabs();
startChaos();
render(JSON.parse(document.getElementById("first").textContent));

const feed = new Feed({ history: (points) => chart?.replace(points), snapshot: render });
setInterval(() => {
  renderSilence(feed.silence());
  if (feed.silence() > 1500) renderTimes(); // between snapshots they have just been
  feed.tend();
}, 1000);
