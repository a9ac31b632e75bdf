// The head, the filters and the matrix.

// ---- Building. ----
const byId = (id) => document.getElementById(id);

function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const mark = (kind, text = "") => el("i", { class: `mark ${kind}` }, OUTCOMES[kind].mark + text);
const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
const listOf = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

/** Text with its web addresses as links. */
function linked(text) {
  const parts = text.split(/(https?:\/\/[^\s<>"'()]*[^\s<>"'().,;:])/);
  return parts.map((part, index) => (index % 2 ? el("a", { href: part, rel: "noopener noreferrer" }, part) : part));
}

/** Text in which what can't be seen is shown: control characters, and those that turn the direction of writing. */
function visible(text) {
  const odd = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff])/;
  return text.split(odd).map((part, index) => {
    if (index % 2 === 0) return part;
    const code = part.codePointAt(0);
    const number = code.toString(16).padStart(2, "0");
    return el("i", { class: "odd", title: "a character that can't be seen" }, part === "\r" ? "\\r" : code < 0x100 ? `\\x${number}` : `\\u{${number}}`);
  });
}

function render() {
  const focus = document.activeElement?.dataset?.key;
  renderHead();
  renderControls();
  renderMatrix();
  renderLists();
  if (focus) focusOn(focus, false);
}

function renderHead() {
  const count = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  let failing = 0;
  for (const test of allCases) {
    let red = false;
    for (const target of targets.keys()) {
      const kind = outcomeOf(cellsOf(test, target));
      if (kind) count[kind] += 1;
      red ||= kind === "failed";
    }
    failing += red;
  }
  const ran = count.passed + count.failed + count["expected-difference"];
  const differ = count["expected-difference"];
  const all = `${count.passed.toLocaleString("en")} of ${plural(ran, "cell")} passed`;
  byId("verdict").replaceChildren(...(!ran ? ["Nothing was run."] : [
    mark(count.failed ? "failed" : "passed"), " ",
    count.failed ? `${plural(failing, "case fails", "cases fail")}, in ${plural(count.failed, "cell")}; ` : "Nothing fails: ",
    all, differ ? `, ${differ.toLocaleString("en")} ${differ === 1 ? "differs" : "differ"} for a known reason.` : ".",
  ]));
  const minutes = Math.max(1, Math.round(chosenRuns().reduce((sum, run) => sum + run.seconds, 0) / 60));
  const where = runs.length ? ` on containerd ${listOf(chosenRuns().map((run) => run.label))}` : "";
  byId("facts").replaceChildren(
    `multiwasm ${report.version}${where}; ` +
    `${plural(allCases.length, "case")} on ${plural(targets.size, "target")} in ${plural(minutes, "minute")}; ` +
    report.made.replace("T", " ").replace("Z", " UTC"));
}

function renderControls() {
  const choice = (label, run) => el("button", {
    type: "button", role: "radio", "aria-checked": String(state.run === run), tabindex: state.run === run ? 0 : -1,
    "data-key": `run:${run}`, onclick: () => go({ run }),
  }, label);
  const single = runs.length < 2;
  byId("runs").hidden = single;
  if (!single) byId("runs").replaceChildren(el("span", {}, "containerd"), choice("all", null), ...runs.map((run) => choice(run.label, run.index)));
  if (byId("text").value !== state.text) byId("text").value = state.text;
  byId("area").value = state.area;
  byId("target").value = state.target;

  const count = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  for (const test of allCases) {
    if (state.area && test.area !== state.area) continue;
    const seen = new Set(chosenTargets().flatMap((target) => cellsOf(test, target.name)).map((cell) => cell.outcome));
    for (const kind of seen) count[kind] += 1;
  }
  const chips = KINDS.map((kind) => el("button", {
    type: "button", class: kind, "aria-pressed": String(state.outcomes.has(kind)), "data-key": `outcome:${kind}`,
    title: `Only cases that have a cell: ${OUTCOMES[kind].word}`,
    onclick: () => {
      const outcomes = new Set(state.outcomes);
      if (!outcomes.delete(kind)) outcomes.add(kind);
      go({ outcomes });
    },
  }, `${OUTCOMES[kind].mark} ${OUTCOMES[kind].many}`, el("span", { class: "count" }, String(count[kind]))));
  byId("outcomes").replaceChildren(...chips);
}

function renderMatrix() {
  const columns = chosenTargets();
  const all = found();
  const shown = new Set(all);
  byId("shown").textContent = all.length === allCases.length ? plural(all.length, "case") : `${all.length} of ${plural(allCases.length, "case")}`;
  byId("clear").disabled = !(filtered() || state.target);
  byId("next").disabled = failures().length === 0;
  const groups = [...areas.values()].filter((area) => [...area.cases.values()].some((test) => shown.has(test)));
  byId("unfold").textContent = groups.length && groups.every(isOpen) ? "Close all" : "Open all";
  byId("unfold").disabled = groups.length === 0;

  const head = columns.map((target) => el("th", { scope: "col", title: target.runtime }, el("span", {}, target.name,
    el("small", {}, [...target.versions].join(", ")))));
  byId("matrix").tHead.replaceChildren(el("tr", {}, el("th", { scope: "col" }, "area"), head));
  const rows = [];
  for (const area of groups) {
    const tests = [...area.cases.values()].filter((test) => shown.has(test));
    rows.push(areaRow(area, tests, columns));
    if (!isOpen(area)) continue;
    for (const test of tests) {
      rows.push(caseRow(test, columns));
      if (state.open?.area === test.area && state.open.case === test.name) rows.push(detailRow(test, columns.length + 1));
    }
  }
  if (!rows.length) {
    rows.push(el("tr", { class: "none" }, el("td", { colspan: columns.length + 1 },
      allCases.length ? "No case has all of these. " : "This report has no cases. ",
      allCases.length ? el("button", { type: "button", class: "quiet", onclick: () => clear() }, "Clear filters") : "")));
  } else {
    const cells = columns.map((target) => el("td", {}, summary(all, target.name)));
    rows.push(el("tr", { class: "total" }, el("th", { scope: "row" }, "all"), cells));
  }
  byId("matrix").tBodies[0].replaceChildren(...rows);
  const first = byId("matrix").querySelector("[data-key][aria-expanded=true].cell, [data-key]");
  if (first) first.tabIndex = 0;
}

function areaRow(area, tests, columns) {
  const cells = columns.map((target) => {
    const worst = worstOf(tests, target.name);
    const red = worst && tests.find((test) => outcomeOf(cellsOf(test, target.name)) === worst);
    const class_ = worst === "failed" ? worst : null;
    if (worst !== "failed" && worst !== "expected-difference") return el("td", { class: class_ }, summary(tests, target.name));
    const key = `jump:${area.name}:${target.name}`;
    return el("td", { class: class_ }, el("button", {
      type: "button", class: "cell", "data-key": key, tabindex: -1, title: `Open the first: ${red.name}`,
      onclick: () => open(red, target.name),
    }, summary(tests, target.name)));
  });
  const button = el("button", {
    type: "button", "data-key": `area:${area.name}`, tabindex: -1, "aria-expanded": String(isOpen(area)),
    onclick: () => toggle(area),
  }, el("b", {}, area.name), el("span", { class: "about" }, area.about));
  return el("tr", { class: "area" }, el("th", { scope: "row" }, button), cells);
}

function worstOf(tests, target) {
  const kinds = new Set(tests.map((test) => outcomeOf(cellsOf(test, target))));
  return KINDS.find((kind) => kinds.has(kind));
}

/** `✓ 12`, or `11/12` with what else there was. */
function summary(tests, target) {
  const count = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  for (const test of tests) {
    const kind = outcomeOf(cellsOf(test, target));
    if (kind) count[kind] += 1;
  }
  const ran = count.passed + count.failed + count["expected-difference"];
  const rest = ["failed", "expected-difference", "not-run", "not-offered"].filter((kind) => count[kind])
    .map((kind) => mark(kind, kind === "not-offered" && !ran ? "" : String(count[kind])));
  if (!ran) return rest;
  const numbers = count.passed === ran ? [mark("passed", ""), ` ${ran} `] : [`${count.passed}/`, el("wbr"), `${ran} `];
  return [el("span", {}, numbers), rest];
}

function caseRow(test, columns) {
  const cells = columns.map((target) => {
    const runs = cellsOf(test, target.name);
    const kind = outcomeOf(runs);
    if (!kind) return el("td", {});
    const same = runs.filter((cell) => cell.outcome === kind).length;
    const part = same === runs.length ? "" : el("small", {}, ` ${same}/${runs.length}`);
    const opened = state.open?.area === test.area && state.open.case === test.name && state.open.target === target.name;
    const words = `${test.name} on ${target.name}: ${OUTCOMES[kind].word}${part ? ` on ${same} of ${runs.length} containerds` : ""}`;
    return el("td", { class: kind === "passed" ? null : kind }, el("a", {
      class: `cell ${kind}`, tabindex: -1, "data-key": `cell:${test.area}:${test.name}:${target.name}`,
      href: addressOf(test, target.name), "aria-expanded": String(opened), "aria-label": words,
      onclick: (event) => {
        // With a key held it is a link as others are: into another tab, say.
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        if (opened) close();
        else open(test, target.name);
      },
    }, mark(kind), part));
  });
  return el("tr", { class: "case" },
    el("th", { scope: "row" }, el("span", { class: "name" }, test.name), el("span", { class: "about" }, test.about)), cells);
}

function detailRow(test, width) {
  const row = el("tr", { class: "detail" }, el("td", { colspan: width }, panel(test, state.open.target, true)));
  row.id = "detail";
  return row;
}
