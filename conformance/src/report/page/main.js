// What the reader does: opening, stepping, copying, keys, theme, print; and the beginning.

// ---- Doing. ----
function open(test, target) {
  go({ open: { area: test.area, case: test.name, target } }, true);
  reveal();
}

function close() {
  if (!state.open) return;
  const { area, case: name, target } = state.open;
  go({ open: null });
  focusOn(`cell:${area}:${name}:${target}`);
}

function toggle(area) {
  if (!toggled.delete(area.name)) toggled.add(area.name);
  if (state.open?.area === area.name) go({ open: null });
  else render();
}

function clear() {
  go({ text: "", area: "", target: "", outcomes: new Set() });
  byId("text").focus();
}

/** Brings the opened cell, with its row, into view. */
function reveal() {
  const row = byId("detail");
  if (!row) return;
  const { area, case: name, target } = state.open;
  focusOn(`cell:${area}:${name}:${target}`, false);
  const head = byId("matrix").tHead.getBoundingClientRect().height;
  const top = row.previousElementSibling.getBoundingClientRect().top - head;
  const bottom = row.getBoundingClientRect().bottom;
  if (top < 0 || bottom > innerHeight) scrollBy({ top });
}

function focusOn(key, scroll = true) {
  const element = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  element?.focus({ preventScroll: !scroll });
}

/** The red cells that the filters leave, in the order of the matrix. */
function failures() {
  return found().flatMap((test) => chosenTargets().filter((target) => outcomeOf(cellsOf(test, target.name)) === "failed").map((target) => [test, target.name]));
}

function step(by) {
  const all = failures();
  if (!all.length) return;
  const order = [...targets.keys()];
  const place = (test, target) => allCases.indexOf(test) * order.length + order.indexOf(target);
  const here = state.open ? place(areas.get(state.open.area).cases.get(state.open.case), state.open.target) : by > 0 ? -1 : Infinity;
  const ahead = by > 0 ? all.find(([test, target]) => place(test, target) > here) : all.findLast(([test, target]) => place(test, target) < here);
  open(...(ahead ?? all.at(by > 0 ? 0 : -1)));
}

function copier(label, text) {
  const button = el("button", { type: "button", class: "quiet" }, label);
  button.addEventListener("click", async () => {
    let done = true;
    try { await navigator.clipboard.writeText(text()); } catch { done = copyBySelection(text()); }
    button.textContent = done ? "Copied" : "Copy failed";
    setTimeout(() => { button.textContent = label; }, 1500);
  });
  return button;
}

/** For pages that may not use the clipboard's interface, as those opened from a disk. */
function copyBySelection(text) {
  const area = el("textarea", { readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

// ---- The theme: as the system has it, or the reader's choice. ----
const THEMES = ["auto", "light", "dark"];
function theme(choice) {
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  byId("theme").textContent = `Theme: ${choice}`;
  byId("theme").onclick = () => {
    const next = THEMES[(THEMES.indexOf(choice) + 1) % THEMES.length];
    try { localStorage.setItem("theme", next); } catch { /* Kept for this visit only. */ }
    theme(next);
  };
}

// ---- Keys. ----
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (event.target === byId("text") && state.text) go({ text: "" });
    else close();
  } else if (typing) return;
  else if (event.key === "/") byId("text").focus();
  else if (event.key === "n") step(1);
  else if (event.key === "p") step(-1);
  else if (event.key.startsWith("Arrow")) move(event);
  else return;
  event.preventDefault();
});

function move(event) {
  const from = event.target.closest("[data-key]");
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (from?.closest("#runs")) {
    const all = [...byId("runs").querySelectorAll("button")];
    const by = sideways ?? (event.key === "ArrowUp" ? -1 : 1);
    const next = all[(all.indexOf(from) + by + all.length) % all.length];
    const { key } = next.dataset;
    next.click();
    return focusOn(key);
  }
  if (!from?.closest("#matrix") || from.closest(".detail")) {
    return scrollBy({ top: { ArrowUp: -60, ArrowDown: 60 }[event.key] ?? 0 });
  }
  const row = from.closest("tr");
  const inRow = (row) => [...row.querySelectorAll("[data-key]")];
  let next;
  if (sideways) next = inRow(row)[inRow(row).indexOf(from) + sideways];
  else {
    const column = from.closest("td, th").cellIndex;
    const forth = event.key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
    let other = row[forth];
    while (other && (other.matches(".detail") || !inRow(other).length)) other = other[forth];
    if (other) next = inRow(other).toSorted((a, b) => Math.abs(a.closest("td, th").cellIndex - column) - Math.abs(b.closest("td, th").cellIndex - column))[0];
  }
  if (!next) return;
  for (const old of byId("matrix").querySelectorAll('[tabindex="0"][data-key]')) old.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

// ---- Printing: the matrix as it stands, the lists opened, and each red cell in full. ----
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("main > section > details")].filter((details) => !details.open);
  for (const details of folded) details.open = true;
  const red = failures();
  byId("print").replaceChildren(...(red.length ? [el("h2", {}, "Failures"), ...red.map(([test, target]) => panel(test, target, false))] : []));
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
  byId("print").replaceChildren();
});

// ---- Begin. ----
const option = (value, text) => el("option", { value }, text);
byId("area").append(option("", "All areas"), ...[...areas.keys()].map((name) => option(name, name)));
byId("target").append(option("", "All targets"), ...[...targets.keys()].map((name) => option(name, name)));
byId("text").addEventListener("input", (event) => go({ text: event.target.value.trimStart() }));
byId("area").addEventListener("change", (event) => go({ area: event.target.value }));
byId("target").addEventListener("change", (event) => go({ target: event.target.value }));
byId("clear").addEventListener("click", clear);
byId("next").addEventListener("click", () => step(1));
byId("unfold").addEventListener("click", () => {
  const close = byId("unfold").textContent === "Close all";
  toggled = close === unfolded() ? new Set(areas.keys()) : new Set();
  if (close && state.open) go({ open: null });
  else render();
});
byId("home").addEventListener("click", (event) => { event.preventDefault(); go({}, true); });
byId("legend").append(...KINDS.map((kind) => el("span", {}, mark(kind), ` ${OUTCOMES[kind].word}`)));
addEventListener("popstate", () => { readAddress(); render(); reveal(); });
let kept = "auto";
try { kept = localStorage.getItem("theme") ?? kept; } catch { /* No storage: the system's theme. */ }
theme(THEMES.includes(kept) ? kept : "auto");
readAddress();
render();
reveal();
