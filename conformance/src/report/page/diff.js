// Differences between what was expected and what was seen.

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
    // Words and numbers are marked whole: of 143 and 137, not 43 and 37.
    const inWord = (character) => /[\p{L}\p{N}_]/u.test(character ?? "");
    while (start > 0 && inWord(mine[start - 1])) start -= 1;
    while (end > 0 && inWord(mine.at(-end))) end -= 1;
    if (start + end > 0 && start + end < mine.length) {
      const [head, changed, rest] = [mine.slice(0, start), mine.slice(start, mine.length - end), end ? mine.slice(-end) : []].map((part) => part.join(""));
      inner = [visible(head), el("mark", {}, rest ? visible(changed) : spaces(changed)), rest ? spaces(rest) : ""].flat();
    }
  }
  return el("span", { class: side, "data-side": label }, el("span", {}, inner.flat(), tail));
}
