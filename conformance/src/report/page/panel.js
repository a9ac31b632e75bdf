// What is behind a cell.

/** All that is known of a case on a target: equal outcomes of several runs are told once. */
function panel(test, target, live) {
  const kind = outcomeOf(cellsOf(test, target));
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
        failures().length > 1 ? el("button", { type: "button", class: "quiet", onclick: () => step(1) }, "Next failure") : "",
        copier("Copy link", () => location.href),
        el("button", { type: "button", class: "quiet", "data-key": "close", onclick: close }, "Close"),
      ] : ""),
    el("p", { class: "how" }, test.about),
    test.source ? el("p", { class: "how about" }, "Rule: ", linked(test.source)) : "",
    order.map((group, index) => told(group, live, index === 0 || group[0].cell.command !== order[0][0].cell.command)),
    others.length ? el("p", { class: "how" }, "On other containerds: ", others.map((run) => {
      const other = test.cells.get(target)[run.index].outcome;
      const there = address({ ...state, run: run.index });
      return [mark(other), " ", el("a", { href: there }, `${run.label} ${OUTCOMES[other].word}`), "  "];
    }).flat()) : "");
}

/** An outcome; the command only where it was not told yet. */
function told(group, live, command) {
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
      parts.push(el("details", { open: true }, el("summary", {}, `Log, ${plural(lines, "line")}`), el("pre", { class: "log", tabindex: 0 }, visible(failure.log.trimEnd()))));
    } else parts.push(el("p", { class: "about" }, "Nothing was logged."));
  } else if (cell.outcome === "expected-difference") {
    parts.push(line("Does otherwise than the others, and the case says so: ", linked(cell.because)));
  } else if (cell.outcome === "not-offered") {
    parts.push(line("The target lacks what this case is about, which is no failure: ", linked(cell.reason)));
  } else if (cell.outcome === "not-run") {
    parts.push(line("Not run: ", linked(cell.reason)));
  } else parts.push(line("All that the case wants was seen"));
  if (command && cell.outcome !== "not-offered") {
    parts.push(el("h4", {}, "Run it alone"), el("div", { class: "command" }, el("pre", { tabindex: 0 }, visible(cell.command)), live ? copier("Copy", () => cell.command) : ""));
  }
  return el("div", { class: `once ${cell.outcome}` }, parts);
}
