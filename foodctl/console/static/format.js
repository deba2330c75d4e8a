// How numbers, times and names are written. Times are the browser's zone.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en-US", { notation: "compact" });
const seconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

export const count = (n) => whole.format(n);
export const compact = (n) => (Math.abs(n) < 10_000 ? count(n) : short.format(n));
export const brief = (n) => (n < 10_000_000 ? count(n) : `${tenths.format(n / 1e6)} M`);
export const rate = (x) => (x > 0 && x < 99.95 ? tenths.format(x) : whole.format(x));
export const clock = (time) => seconds.format(new Date(time));
export const minute = (time) => minutes.format(new Date(time));

/** 1234567 as "1.2 MB". */
export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; Math.abs(n) >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${i === 0 ? whole.format(n) : tenths.format(n)} ${units[i]}`;
}

/** 3725 as "1 h 2 min": two units are enough. */
export function duration(s) {
  if (s < 1 && s > 0) return `${whole.format(s * 1000)} ms`;
  if (s < 10 && !Number.isInteger(s)) return `${tenths.format(s)} s`;
  if (s < 60) return `${whole.format(Math.floor(s))} s`;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([size]) => s >= size);
  const pair = units.slice(first, first + 2).map(([size, name]) => {
    const n = Math.floor(s / size);
    s -= n * size;
    return n > 0 ? `${n} ${name}` : "";
  });
  return pair.filter(Boolean).join(" ");
}

/** 41.3 as "41 ms", 1234 as "1.2 s". */
export function millis(ms) {
  if (ms < 1000) return `${ms > 0 && ms < 10 ? tenths.format(ms) : whole.format(ms)} ms`;
  return duration(ms / 1000);
}

/** The time from one moment to another as "+41 ms". */
export const delta = (from, to) => `+${millis(Math.max(0, new Date(to) - new Date(from)))}`;

/** How long ago a moment was, at a time in milliseconds; "" if there was none. Snapshots are a second apart. */
export function age(time, now) {
  if (!time) return "";
  const s = (now - new Date(time)) / 1000;
  return s < 1 ? "now" : `${duration(s)} ago`;
}

/** "order.accepted.v1" as "accepted". */
export const typeName = (type) => type.replace(/^order\./, "").replace(/\.v\d+$/, "").replaceAll("_", " ");

/** The end of a UUID: the beginning of a version 7 is the time, and the same for all that are new. */
export const shortID = (id) => `…${id.slice(-8)}`;

/** Minor units, such as cents, as money, without them. */
export function money(minor, currency) {
  if (!currency) return whole.format(minor);
  const { maximumFractionDigits } = new Intl.NumberFormat("en-GB", { style: "currency", currency }).resolvedOptions();
  return new Intl.NumberFormat("en-GB", { style: "currency", currency, maximumFractionDigits: 0 }).format(minor / 10 ** maximumFractionDigits);
}
