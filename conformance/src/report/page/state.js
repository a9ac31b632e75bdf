// What is shown, and its address: the fragment of the page.

const fresh = () => ({ run: null, text: "", area: "", target: "", outcomes: new Set(), open: null });
let state = fresh();
let toggled = new Set();

const filtered = () => state.text !== "" || state.outcomes.size > 0 || state.area !== "";
/** Few cases are shown at once, many only by their areas. */
const unfolded = () => filtered() && found().length <= 60;
const isOpen = (area) => unfolded() !== toggled.has(area.name);
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

let foundBy = "";
let foundCases = [];
/** The cases that the filters leave. */
function found() {
  const filters = JSON.stringify([state.run, state.text, state.area, state.target, ...state.outcomes]);
  if (filters !== foundBy) [foundBy, foundCases] = [filters, allCases.filter(matches)];
  return foundCases;
}

/** The fragment of a state. */
function address(of) {
  const path = of.open ? [of.open.area, of.open.case, of.open.target].map(encodeURIComponent).join("/") : "";
  if (of.run === null && !of.text && !of.area && !of.target && !of.outcomes.size) return `#${path}`;
  const query = new URLSearchParams();
  if (of.run !== null) query.set("containerd", runs[of.run].label);
  for (const key of ["text", "area", "target"]) if (of[key]) query.set(key, of[key]);
  if (of.outcomes.size) query.set("outcome", [...of.outcomes].join(","));
  return `#${path}?${query}`;
}

/** The address of a cell, in the run that is shown. */
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
  const before = unfolded();
  state = Object.keys(change).length ? { ...state, ...change } : { ...fresh() };
  if (before !== unfolded()) toggled = new Set();
  if (state.open) {
    const test = areas.get(state.open.area).cases.get(state.open.case);
    const gone = !matches(test) || (state.target && state.target !== state.open.target) || !cellsOf(test, state.open.target).length;
    if (gone) state.open = null;
    else if (!isOpen(areas.get(state.open.area)) && !toggled.delete(state.open.area)) toggled.add(state.open.area);
  }
  const url = address(state);
  if (url !== (location.hash || "#")) history[push ? "pushState" : "replaceState"](null, "", url);
  byId("notice").hidden = true;
  render();
}
