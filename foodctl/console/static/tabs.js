// Tabs by the usual keys: arrows, Home and End move, and what has the focus is shown.

function select(tabs, chosen) {
  for (const tab of tabs) {
    const yes = tab === chosen;
    tab.setAttribute("aria-selected", yes);
    tab.tabIndex = yes ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !yes;
  }
}

function next(tabs, from, key) {
  switch (key) {
    case "ArrowRight":
      return tabs[(from + 1) % tabs.length];
    case "ArrowLeft":
      return tabs[(from + tabs.length - 1) % tabs.length];
    case "Home":
      return tabs[0];
    case "End":
      return tabs.at(-1);
    default:
      return null;
  }
}

export function startTabs() {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => select(tabs, tab));
    tab.addEventListener("keydown", (event) => {
      const to = next(tabs, i, event.key);
      if (!to) return;
      event.preventDefault();
      select(tabs, to);
      to.focus();
    });
  });
}
