// The controls: each asks the server to break something, and says what it answered.

import { find, make, show } from "./dom.js";
import { clock } from "./format.js";

const seconds = 10; // of a pause, and of being cut off
const kept = 20; // answers
const place = "chaos-token"; // in the session's storage

/** Takes the token out of the address, which ends up in bookmarks and screenshots. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(place, given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return sessionStorage.getItem(place);
}

function request({ verb, target }) {
  switch (verb) {
    case "kill":
      return { target };
    case "rate":
      return { orders_per_second: Number(document.getElementById("chaos-rate").value) };
    default:
      return { target, seconds };
  }
}

async function send(data, token) {
  const response = await fetch(`api/chaos/${data.verb}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(request(data)),
  });
  const body = await response.json();
  if (response.ok) return body.text;
  if (response.status === 401 || response.status === 403) forgetToken();
  throw new Error(body.detail ?? response.statusText);
}

function forgetToken() {
  sessionStorage.removeItem(place);
  allow(false);
}

function allow(yes) {
  show("chaos-needs", !yes);
  for (const button of find("chaos").querySelectorAll("[data-verb]")) button.disabled = !yes;
}

function log(words, bad) {
  const lines = find("chaos-log");
  lines.prepend(make("li", { class: bad ? "bad" : "" }, `${clock(Date.now())} ${bad ? "✕ " : ""}${words}`));
  while (lines.children.length > kept) lines.lastElementChild.remove();
}

async function press(button) {
  button.disabled = true;
  try {
    log(await send(button.dataset, sessionStorage.getItem(place)), false);
  } catch (error) {
    log(error.message, true);
  }
  if (sessionStorage.getItem(place)) button.disabled = false;
}

export function startChaos() {
  if (!find("chaos")) return;
  allow(Boolean(takeToken()));
  addEventListener("hashchange", () => allow(Boolean(takeToken())));
  find("chaos").addEventListener("click", (event) => {
    const button = event.target.closest("[data-verb]");
    if (button) press(button);
  });
}
