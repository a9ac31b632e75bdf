// The report, turned: areas, cases, targets, and one cell for each run.
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
