// What stands below the matrix: known differences, what is not offered, the runs.

function renderLists() {
  const group = (kind, key) => {
    const all = new Map();
    for (const test of allCases) {
      for (const target of targets.keys()) {
        const cell = cellsOf(test, target).find((cell) => cell.outcome === kind);
        if (!cell) continue;
        const at = JSON.stringify([target, cell[key]]);
        if (!all.has(at)) all.set(at, { target, text: cell[key], tests: [] });
        all.get(at).tests.push(test);
      }
    }
    return [...all.values()];
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
