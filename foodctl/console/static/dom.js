// What writes to the page: only what has changed, and data only as text.

const found = new Map();

/** The element with a data-testid. */
export function find(id) {
  if (!found.get(id)?.isConnected) found.set(id, document.querySelector(`[data-testid="${CSS.escape(id)}"]`));
  return found.get(id);
}

/** Sets the text of an element, or of the element with a data-testid. */
export function text(where, value) {
  const node = typeof where === "string" ? find(where) : where;
  const words = String(value ?? "");
  if (node.textContent !== words) node.textContent = words;
}

/** Sets an attribute; null or false removes it. */
export function attribute(where, name, value) {
  const node = typeof where === "string" ? find(where) : where;
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Shows or hides an element. */
export function show(where, yes) {
  const node = typeof where === "string" ? find(where) : where;
  if (node.hidden === yes) node.hidden = !yes;
}

/** Makes an element: make("td", { class: "num" }, "12", child). */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/**
 * Makes the children of a list those of the items, in their order. A child stays the same element as long as its item's
 * key stays, so what has the focus, or is open, keeps it.
 */
export function list(parent, items, key, create, update) {
  const wanted = new Set(items.map((item) => String(key(item))));
  const old = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(child.dataset.key)) old.set(child.dataset.key, child);
    else child.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = String(key(item));
    const child = old.get(id) ?? create(item);
    child.dataset.key = id;
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
}

/** Fills the cells of a row; a cell that is null keeps what it has. */
export function cells(row, values) {
  values.forEach((value, i) => value !== null && text(row.children[i], value));
}

/** Makes an empty row: its first cell is its header, and "num" or another class is given for each cell. */
export function row(...classes) {
  return make("tr", {}, ...classes.map((name, i) => make(i === 0 ? "th" : "td", i === 0 ? { scope: "row", class: name } : { class: name })));
}
