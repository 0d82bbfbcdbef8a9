// Tables of a validation: a click on a heading sorts, buttons leave rows of one verdict. Without scripts all is shown.
(function () {
  "use strict";
  const tables = [...document.querySelectorAll("table.judged")];
  const RANK = { "differs": 0, "within error": 1, "agrees": 2 };

  function value(row, column) {
    const cell = row.cells[column], text = cell.textContent.trim();
    if (cell.classList.contains("judged")) return RANK[text] ?? 3;
    const found = text.replace(/−/g, "-").match(/^[±+]?(-?\d+(\.\d+)?)/);
    return found ? Number(found[1]) : text || null;
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null); // what is empty comes last
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  }

  function sort(table, heading, column) {
    const body = table.tBodies[0], before = heading.getAttribute("aria-sort");
    const next = before === null ? "ascending" : before === "ascending" ? "descending" : null;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    const rows = [...body.rows].sort((a, b) => a.dataset.place - b.dataset.place); // a third click: as it was
    if (next) {
      heading.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      rows.sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        return x === null || y === null ? compare(x, y) : sign * compare(x, y);
      });
    }
    body.append(...rows);
  }

  for (const table of tables) {
    [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.textContent = heading.textContent;
      button.title = "sort by this column";
      button.addEventListener("click", () => sort(table, heading, column));
      heading.replaceChildren(button);
    });
  }

  const filter = document.querySelector(".filter");
  if (!filter) return;
  const buttons = [...filter.querySelectorAll("button")];

  function show(verdict) {
    let shown = 0, all = 0;
    for (const table of tables) {
      let some = false;
      for (const row of table.tBodies[0].rows) {
        const cell = row.querySelector("td.judged");
        row.hidden = verdict !== "" && (!cell || cell.textContent.trim() !== verdict);
        some = some || !row.hidden;
        shown += !row.hidden;
        all += 1;
      }
      table.closest("section").classList.toggle("without", !some);
    }
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    filter.querySelector(".count").textContent = shown + " of " + all + " quantities";
  }

  for (const button of buttons) button.addEventListener("click", () => show(button.dataset.verdict));
  filter.hidden = false;
  show("");
})();
