
"use strict";
// The report is data: whatever is in it reaches the page as text nodes and attributes, never as markup.
const report = JSON.parse(document.getElementById("report").textContent);

// ---- What is known of an outcome; a cell of several runs shows the first of these that one of them had. ----
const OUTCOMES = {
  "failed": { mark: "✗", word: "failed", many: "failed" },
  "expected-difference": { mark: "≠", word: "does otherwise, as expected", many: "known differences" },
  "not-run": { mark: "○", word: "not run", many: "not run" },
  "passed": { mark: "✓", word: "passed", many: "passed" },
  "not-offered": { mark: "–", word: "not offered", many: "not offered" },
};
const KINDS = Object.keys(OUTCOMES);

// ---- The report, turned: areas → cases → targets → one cell for each run. ----
const runs = report.runs.map((run, index) => ({ ...run, index, label: labelOf(run, index) }));
const targets = new Map();
const areas = new Map();
for (const run of runs) {
  for (const target of run.targets) {
    const known = targets.get(target.name) ?? { ...target, versions: new Set() };
    const engine = run.engines.find((engine) => engine.name === target.engine);
    if (engine) known.versions.add(engine.version);
    targets.set(target.name, known);
  }
  for (const area of run.areas) {
    if (!areas.has(area.name)) areas.set(area.name, { name: area.name, about: area.about, cases: new Map() });
  }
  for (const cell of run.cells) {
    if (!areas.has(cell.area)) areas.set(cell.area, { name: cell.area, about: "", cases: new Map() });
    if (!targets.has(cell.target)) targets.set(cell.target, { name: cell.target, runtime: "", versions: new Set() });
    const { cases } = areas.get(cell.area);
    if (!cases.has(cell.case)) {
      const words = `${cell.area}/${cell.case} ${cell.about}`.toLowerCase();
      cases.set(cell.case, { area: cell.area, name: cell.case, about: cell.about, source: cell.source, words, cells: new Map() });
    }
    const { cells } = cases.get(cell.case);
    if (!cells.has(cell.target)) cells.set(cell.target, new Array(runs.length));
    cells.get(cell.target)[run.index] = cell;
  }
}
const allCases = [...areas.values()].flatMap((area) => [...area.cases.values()]);

/** A run's name: its containerd, and what tells it from others with the same one. */
function labelOf(run, index) {
  const same = report.runs.filter((other) => other.containerd.version === run.containerd.version);
  if (same.length === 1) return run.containerd.version;
  const full = (run) => `${run.containerd.version} ${run.architecture} cgroup v${run.cgroup}`;
  return same.filter((other) => full(other) === full(run)).length === 1 ? full(run) : `${full(run)} #${index + 1}`;
}

// ---- What is shown; its address is the page's fragment. ----
const fresh = () => ({ run: null, text: "", area: "", target: "", outcomes: new Set(), open: null });
let state = fresh();
let toggled = new Set();

const filtered = () => state.text !== "" || state.outcomes.size > 0 || state.area !== "";
const isOpen = (area) => filtered() !== toggled.has(area.name);
const chosenRuns = () => (state.run === null ? runs : [runs[state.run]]);
const chosenTargets = () => [...targets.values()].filter((target) => !state.target || target.name === state.target);

/** The cells of a case on a target in the runs that are shown. */
const cellsOf = (test, target) => chosenRuns().map((run) => test.cells.get(target)?.[run.index]).filter(Boolean);
const outcomeOf = (cells) => KINDS.find((kind) => cells.some((cell) => cell.outcome === kind));

function matches(test) {
  if (state.area && test.area !== state.area) return false;
  if (state.text && !state.text.toLowerCase().split(/\s+/).every((word) => test.words.includes(word))) return false;
  const shown = chosenTargets();
  if (state.outcomes.size === 0) return !state.target || shown.some((target) => cellsOf(test, target.name).length > 0);
  return shown.some((target) => cellsOf(test, target.name).some((cell) => state.outcomes.has(cell.outcome)));
}

/** The fragment of a state. */
function address(of) {
  const path = of.open ? [of.open.area, of.open.case, of.open.target].map(encodeURIComponent).join("/") : "";
  const query = new URLSearchParams();
  if (of.run !== null) query.set("containerd", runs[of.run].label);
  for (const key of ["text", "area", "target"]) if (of[key]) query.set(key, of[key]);
  if (of.outcomes.size) query.set("outcome", [...of.outcomes].join(","));
  return `#${path}${query.size ? `?${query}` : ""}`;
}

const addressOf = (test, target) => address({ ...fresh(), run: state.run, open: { area: test.area, case: test.name, target } });

/** Reads the page's fragment into the state; says what it names and the report lacks. */
function readAddress() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const wanted = new URLSearchParams(query);
  const missing = [];
  state = fresh();
  toggled = new Set();
  if (wanted.has("containerd")) {
    const index = runs.findIndex((run) => run.label === wanted.get("containerd"));
    if (index < 0) missing.push(`run of containerd ${wanted.get("containerd")}`);
    else state.run = index;
  }
  state.text = wanted.get("text") ?? "";
  for (const [key, known] of [["area", areas], ["target", targets]]) {
    const value = wanted.get(key) ?? "";
    if (value && !known.has(value)) missing.push(`${key} ${value}`);
    else state[key] = value;
  }
  state.outcomes = new Set((wanted.get("outcome") ?? "").split(",").filter((kind) => KINDS.includes(kind)));
  const names = path.split("/").filter(Boolean).map(decoded);
  if (names.length) find(names, missing);
  say(missing);
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** Opens what `area`, `area/case` or `area/case/target` names. */
function find([areaName, caseName, targetName], missing) {
  const area = areas.get(areaName);
  if (!area) return missing.push(`area ${areaName}`);
  if (caseName === undefined) {
    if (!isOpen(area)) toggled.add(areaName);
    return requestAnimationFrame(() => focusOn(`area:${areaName}`));
  }
  const test = area.cases.get(caseName);
  if (!test) return missing.push(`case ${areaName}/${caseName}`);
  const worst = [...test.cells.keys()].sort((a, b) => KINDS.indexOf(outcomeOf(cellsOf(test, a))) - KINDS.indexOf(outcomeOf(cellsOf(test, b))));
  const target = targetName ?? worst[0];
  if (!test.cells.has(target)) return missing.push(`cell ${areaName}/${caseName} on ${target}`);
  if (state.run !== null && cellsOf(test, target).length === 0) state.run = null;
  state.open = { area: areaName, case: caseName, target };
  // An address always shows its cell: filters that would hide it give way.
  if (!matches(test) || (state.target && state.target !== target)) Object.assign(state, { text: "", area: "", target: "", outcomes: new Set() });
  if (!isOpen(area)) toggled.add(areaName);
}

function say(missing) {
  const notice = byId("notice");
  notice.hidden = missing.length === 0;
  notice.replaceChildren(`This report has no ${missing.join(" and no ")}. `,
    el("button", { type: "button", class: "quiet", onclick: () => go({}, true) }, "Show the whole matrix"));
}

/** Changes the state and the address; `push` makes a step that the browser's back button takes back. */
function go(change, push = false) {
  const wasFiltered = filtered();
  state = Object.keys(change).length ? { ...state, ...change } : { ...fresh() };
  if (wasFiltered !== filtered()) toggled = new Set();
  if (state.open) {
    const test = areas.get(state.open.area).cases.get(state.open.case);
    const gone = !matches(test) || (state.target && state.target !== state.open.target) || !cellsOf(test, state.open.target).length;
    if (gone) state.open = null;
    else if (!isOpen(areas.get(state.open.area))) toggled.add(state.open.area), filtered() && toggled.delete(state.open.area);
  }
  const url = address(state);
  if (url !== (location.hash || "#")) history[push ? "pushState" : "replaceState"](null, "", url);
  byId("notice").hidden = true;
  render();
}

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
    const sign = code < 0x20 ? String.fromCodePoint(0x2400 + code) : code === 0x7f ? "␡" : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
    return el("i", { class: "odd", title: `U+${code.toString(16).toUpperCase().padStart(4, "0")}` }, sign);
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
  const where = state.run === null && runs.length > 1 ? `on containerd ${listOf(runs.map((run) => run.label))}` : `on containerd ${chosenRuns().map((run) => run.label).join()}`;
  const verdict = !runs.length ? ["No run is in this report."] : [
    count.failed ? mark("failed", " ") : mark("passed", " "),
    count.failed ? `${plural(failing, "case fails", "cases fail")}, in ${count.failed.toLocaleString("en")} of ${plural(ran, "cell")}; ` : "Nothing fails: ",
    `${count.passed.toLocaleString("en")} of ${ran.toLocaleString("en")} passed ${where}`,
    count["expected-difference"] ? `, ${plural(count["expected-difference"], "does", "do")} otherwise for a known reason` : "", ".",
  ];
  byId("verdict").replaceChildren(...verdict);
  byId("facts").replaceChildren(
    `multiwasm ${report.version}, ${plural(allCases.length, "case")} on ${plural(targets.size, "target")}, ` +
    `${plural(Math.max(1, Math.round(runs.reduce((sum, run) => sum + run.seconds, 0) / 60)), "minute")} in all, ` +
    `${report.made.replace("T", " ").replace("Z", " UTC")}`);
}

function renderControls() {
  const choice = (label, run) => el("button", {
    type: "button", role: "radio", "aria-checked": String(state.run === run), tabindex: state.run === run ? 0 : -1,
    "data-key": `run:${run}`, onclick: () => go({ run }),
  }, label);
  const single = runs.length < 2;
  byId("runs").hidden = single;
  if (!single) byId("runs").replaceChildren(choice("All containerds", null), ...runs.map((run) => choice(run.label, run.index)));
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
  const found = allCases.filter(matches);
  const shown = new Set(found);
  byId("shown").textContent = found.length === allCases.length ? plural(found.length, "case") : `${found.length} of ${plural(allCases.length, "case")}`;
  byId("clear").disabled = !(filtered() || state.target);
  byId("next").disabled = failures().length === 0;
  const groups = [...areas.values()].filter((area) => [...area.cases.values()].some((test) => shown.has(test)));
  byId("unfold").textContent = groups.length && groups.every(isOpen) ? "Close all" : "Open all";
  byId("unfold").disabled = groups.length === 0;

  const head = columns.map((target) => el("th", { scope: "col", title: target.runtime }, el("span", {}, target.name,
    el("small", {}, [...target.versions].join(", ") || (target.runtime === "io.containerd.runc.v2" ? "" : " ")))));
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
    const cells = columns.map((target) => el("td", {}, summary(found, target.name)));
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
  const numbers = count.passed === ran ? [mark("passed", ""), ` ${ran} `] : [`${count.passed}/${ran} `];
  return [el("span", {}, numbers), rest];
}

function caseRow(test, columns) {
  const cells = columns.map((target) => {
    const found = cellsOf(test, target.name);
    const kind = outcomeOf(found);
    if (!kind) return el("td", {});
    const same = found.filter((cell) => cell.outcome === kind).length;
    const part = same === found.length ? "" : el("small", {}, ` ${same}/${found.length}`);
    const opened = state.open?.area === test.area && state.open.case === test.name && state.open.target === target.name;
    const words = `${test.name} on ${target.name}: ${OUTCOMES[kind].word}${part ? ` on ${same} of ${found.length} containerds` : ""}`;
    return el("td", { class: kind === "passed" ? null : kind }, el("button", {
      type: "button", class: `cell ${kind}`, tabindex: -1, "data-key": `cell:${test.area}:${test.name}:${target.name}`,
      "aria-expanded": String(opened), "aria-label": words, title: words,
      onclick: () => (opened ? close() : open(test, target.name)),
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

/** All that is known of a case on a target: equal outcomes of several runs are told once. */
function panel(test, target, live) {
  const found = cellsOf(test, target);
  const kind = outcomeOf(found);
  const groups = new Map();
  for (const run of chosenRuns()) {
    const cell = test.cells.get(target)?.[run.index];
    if (!cell) continue;
    const { outcome, failure, because, reason } = cell;
    const key = JSON.stringify([outcome, failure && { ...failure, log: "" }, because, reason]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push({ run, cell });
  }
  const order = [...groups.values()].sort((a, b) => KINDS.indexOf(a[0].cell.outcome) - KINDS.indexOf(b[0].cell.outcome));
  const others = live && state.run !== null ? runs.filter((run) => run.index !== state.run && test.cells.get(target)?.[run.index]) : [];
  return el("div", { class: `panel ${kind}` },
    el("div", { class: "head" },
      el("h3", {}, `${test.area}/${test.name} on ${target}`), el("span", { class: "grow" }),
      live ? [
        copier("Copy link", () => location.href),
        el("button", { type: "button", class: "quiet", "data-key": "close", onclick: close }, "Close"),
      ] : ""),
    el("p", { class: "how" }, test.about),
    test.source ? el("p", { class: "how about" }, "Rule: ", linked(test.source)) : "",
    order.map((group) => told(group, live)),
    others.length ? el("p", { class: "how" }, "On other containerds: ", others.map((run) => {
      const other = test.cells.get(target)[run.index].outcome;
      const there = address({ ...state, run: run.index });
      return [el("a", { href: there }, mark(other, ""), ` ${run.label} ${OUTCOMES[other].word}`), " "];
    }).flat()) : "");
}

function told(group, live) {
  const [{ cell }] = group;
  const times = [...new Set(group.map(({ cell }) => cell.milliseconds))].filter(Boolean);
  const where = `containerd ${listOf(group.map(({ run }) => run.label))}`;
  const time = times.length ? ` in ${listOf(times.map((time) => time.toLocaleString("en")))} ms` : "";
  const line = (...rest) => el("p", { class: "how" }, mark(cell.outcome, " "), ...rest, el("span", { class: "about" }, ` (${where}${time})`));
  const parts = [];
  if (cell.outcome === "failed") {
    const { failure } = cell;
    parts.push(line("Failed at ", el("code", {}, failure.step)));
    parts.push(el("h4", {}, "Expected and seen"), difference(failure.expected, failure.seen));
    if (failure.leaks?.length) {
      parts.push(el("h4", {}, "Left behind"), el("ul", { class: "leaks" }, failure.leaks.map((leak) => el("li", {}, el("code", {}, visible(leak))))));
    }
    if (failure.log) {
      const lines = failure.log.trimEnd().split("\n").length;
      parts.push(el("details", { open: lines <= 12 || !live }, el("summary", {}, `Log, ${plural(lines, "line")}`), el("pre", { tabindex: 0 }, visible(failure.log.trimEnd()))));
    } else parts.push(el("p", { class: "about" }, "Nothing was logged."));
  } else if (cell.outcome === "expected-difference") {
    parts.push(line("Does otherwise than the others, and the case says so: ", linked(cell.because)));
  } else if (cell.outcome === "not-offered") {
    parts.push(line("The target lacks what this case is about, which is no failure: ", linked(cell.reason)));
  } else if (cell.outcome === "not-run") {
    parts.push(line("Not run: ", linked(cell.reason)));
  } else parts.push(line("All that the case wants was seen"));
  if (cell.outcome !== "not-offered") {
    parts.push(el("h4", {}, "Run it alone"), el("div", { class: "command" }, el("pre", { tabindex: 0 }, visible(cell.command)), live ? copier("Copy", () => cell.command) : ""));
  }
  return el("div", { class: `once ${cell.outcome}` }, parts);
}

// ---- Differences between what was expected and what was seen. ----
/** Lines with their ends, so that a missing last line break is a difference too. */
const linesOf = (text) => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

/** The longest common part, line by line: `[side, line]`, side being "same", "wanted" or "seen". */
function compare(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const [m, n] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  const middle = [];
  if (m.length * n.length > 4e6) {
    middle.push(...m.map((line) => ["wanted", line]), ...n.map((line) => ["seen", line]));
  } else {
    const width = n.length + 1;
    const common = new Uint32Array((m.length + 1) * width);
    for (let i = m.length - 1; i >= 0; i -= 1) {
      for (let j = n.length - 1; j >= 0; j -= 1) {
        common[i * width + j] = m[i] === n[j] ? common[(i + 1) * width + j + 1] + 1 : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
      }
    }
    let [i, j] = [0, 0];
    while (i < m.length || j < n.length) {
      if (i < m.length && j < n.length && m[i] === n[j]) middle.push(["same", m[i]]), i += 1, j += 1;
      else if (i < m.length && (j === n.length || common[(i + 1) * width + j] >= common[i * width + j + 1])) middle.push(["wanted", m[i]]), i += 1;
      else middle.push(["seen", n[j]]), j += 1;
    }
  }
  const same = (lines) => lines.map((line) => ["same", line]);
  return [...same(a.slice(0, start)), ...middle, ...same(end ? a.slice(-end) : [])];
}

function difference(expected, seen) {
  const rows = compare(linesOf(expected), linesOf(seen));
  if (!expected) rows.unshift(["wanted", null]);
  if (!seen) rows.push(["seen", null]);
  // A last line without a line break is worth a word only where the other side has one.
  const ends = expected !== "" && seen !== "" && expected.endsWith("\n") !== seen.endsWith("\n");
  const out = [];
  for (let at = 0; at < rows.length;) {
    const side = rows[at][0];
    let next = at;
    while (next < rows.length && rows[next][0] === side) next += 1;
    const block = rows.slice(at, next).map(([, line]) => line);
    if (side === "same") out.push(...sameLines(block, at === 0, next === rows.length));
    else if (side === "wanted") {
      let last = next;
      while (last < rows.length && rows[last][0] === "seen") last += 1;
      const other = rows.slice(next, last).map(([, line]) => line);
      out.push(...block.map((line, index) => diffLine("wanted", line, other[index], ends)), ...other.map((line, index) => diffLine("seen", line, block[index], ends)));
      next = last;
    } else out.push(...block.map((line) => diffLine("seen", line, undefined, ends)));
    at = next;
  }
  return el("pre", { class: "diff", tabindex: 0 }, out);
}

function sameLines(lines, first, last) {
  const keep = 3;
  const row = (line) => el("span", { class: "same", "data-side": "both" }, el("span", {}, visible(line.replace(/\n$/, ""))));
  const [before, after] = [first ? 0 : keep, last ? 0 : keep];
  if (lines.length <= before + after + 2) return lines.map(row);
  const hidden = lines.slice(before, lines.length - after);
  const button = el("button", { type: "button", class: "quiet" }, `${plural(hidden.length, "equal line")}: show`);
  const holder = el("span", { "data-side": "both" }, el("span", {}, button));
  button.addEventListener("click", () => holder.replaceWith(...hidden.map(row)));
  return [...lines.slice(0, before).map(row), holder, ...(after ? lines.slice(-after) : []).map(row)];
}

/** A line that one side has; what it does not share with the other side's line is marked. */
function diffLine(side, line, other, ends) {
  const label = side === "wanted" ? "expected" : "seen";
  if (line === null) return el("span", { class: side, "data-side": label }, el("span", {}, el("i", { class: "odd" }, "nothing")));
  const broken = line.endsWith("\n");
  const bare = line.replace(/\n$/, "");
  const tail = !broken && ends ? el("i", { class: "odd" }, " no line break at the end") : "";
  const blank = bare.match(/[ \t]+$/)?.[0] ?? "";
  const spaces = (text) => (blank && bare.endsWith(text) && text.endsWith(blank)
    ? [visible(text.slice(0, -blank.length)), el("i", { class: "odd", title: "blanks at the end" }, blank.replace(/ /g, "·").replace(/\t/g, "→"))].flat() : visible(text));
  let inner = spaces(bare);
  if (typeof other === "string") {
    const [mine, theirs] = [[...bare], [...other.replace(/\n$/, "")]];
    let start = 0;
    while (start < mine.length && start < theirs.length && mine[start] === theirs[start]) start += 1;
    let end = 0;
    while (end < mine.length - start && end < theirs.length - start && mine.at(-1 - end) === theirs.at(-1 - end)) end += 1;
    if (start + end > 0 && start + end < mine.length) {
      const [head, changed, rest] = [mine.slice(0, start), mine.slice(start, mine.length - end), end ? mine.slice(-end) : []].map((part) => part.join(""));
      inner = [visible(head), el("mark", {}, rest ? visible(changed) : spaces(changed)), rest ? spaces(rest) : ""].flat();
    }
  }
  return el("span", { class: side, "data-side": label }, el("span", {}, inner.flat(), tail));
}

// ---- What stands below the matrix. ----
function renderLists() {
  const group = (kind, key) => {
    const found = new Map();
    for (const test of allCases) {
      for (const target of targets.keys()) {
        const cell = cellsOf(test, target).find((cell) => cell.outcome === kind);
        if (!cell) continue;
        const at = JSON.stringify([target, cell[key]]);
        if (!found.has(at)) found.set(at, { target, text: cell[key], tests: [] });
        found.get(at).tests.push(test);
      }
    }
    return [...found.values()];
  };
  fill("differences", "Known differences", "an engine does otherwise, and the case holds it to that", group("expected-difference", "because"), (one) =>
    [linked(one.text), el("div", { class: "where" }, `${one.target}: `, one.tests.map((test) => el("a", { href: addressOf(test, one.target) }, `${test.area}/${test.name}`)))]);
  fill("lacking", "Not offered", "the target lacks what the case is about", group("not-offered", "reason"), (one) => {
    const area = new Set(one.tests.map((test) => test.area)).size === 1 ? one.tests[0].area : "";
    const there = address({ ...fresh(), run: state.run, target: one.target, area, outcomes: new Set(["not-offered"]) });
    return [linked(one.text), el("div", { class: "where" }, `${one.target}: `, el("a", { href: there }, plural(one.tests.length, "case")))];
  });
  const rows = chosenRuns().map((run) => el("tr", {}, [run.label, run.engines.map((engine) => `${engine.name} ${engine.version}`).join(", "),
    run.kernel, `v${run.cgroup}`, run.architecture, run.started.replace("T", " ").replace("Z", " UTC"), `${Math.round(run.seconds).toLocaleString("en")} s`].map((text) => el("td", {}, text))));
  const head = ["containerd", "engines", "Linux", "cgroup", "machine", "began", "took"].map((text) => el("th", { scope: "col" }, text));
  fold("machines", "Runs", "versions and machines", el("div", { class: "scroll", tabindex: 0 },
    el("table", { class: "plain" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))));
}

function fill(id, title, about, entries, item) {
  byId(id).hidden = entries.length === 0;
  if (entries.length) fold(id, `${title}, ${entries.length}`, about, el("ul", { class: "list" }, entries.map((entry) => el("li", {}, item(entry)))));
}

function fold(id, title, about, content) {
  const was = byId(id).querySelector("details")?.open;
  byId(id).replaceChildren(el("details", { open: was }, el("summary", { "data-key": `fold:${id}` }, title, " ", el("small", {}, about)), content));
}

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
  if (top < 0 || bottom > innerHeight) scrollBy({ top: top - 8 });
}

function focusOn(key, scroll = true) {
  const element = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  element?.focus({ preventScroll: !scroll });
}

/** The red cells that the filters leave, in the order of the matrix. */
function failures() {
  return allCases.filter(matches).flatMap((test) => chosenTargets().filter((target) => outcomeOf(cellsOf(test, target.name)) === "failed").map((target) => [test, target.name]));
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
    const all = [...byId("runs").children];
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
  toggled = close === filtered() ? new Set(areas.keys()) : new Set();
  if (close && state.open) go({ open: null });
  else render();
});
byId("home").addEventListener("click", (event) => { event.preventDefault(); go({}, true); });
byId("legend").append(...KINDS.map((kind) => el("span", {}, mark(kind, ` ${OUTCOMES[kind].word}`))));
addEventListener("popstate", () => { readAddress(); render(); reveal(); });
let kept = "auto";
try { kept = localStorage.getItem("theme") ?? kept; } catch { /* No storage: the system's theme. */ }
theme(THEMES.includes(kept) ? kept : "auto");
readAddress();
render();
reveal();
