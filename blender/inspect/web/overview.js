// What the blend is: figures, charts, ledger, files, recipe.

function drawOverview(overview) {
  const parts = [
    el("dl", { class: "facts" }, ...overview.facts.map(({ label, value }) => el("div", {}, el("dt", {}, label), el("dd", {}, value)))),
    ...overview.notes.map((note) => el("p", { class: "notice" }, note)),
    overview.warnings.length
      ? el("section", { class: "notice warnings" }, el("h2", {}, "Warnings"), el("ul", {}, ...overview.warnings.map((text) => el("li", {}, text))))
      : null,
    el("section", { class: "charts", "aria-label": "Charts" }, ...overview.charts.map(drawChart)),
    ...overview.tables.map(({ title, columns, rows }) => el("section", { class: "table" }, el("h2", {}, title), drawTable(columns, rows))),
    el("section", {}, el("h2", {}, "Recipe"), el("pre", { class: "recipe", tabindex: 0 }, overview.recipe)),
  ];
  byId("view-overview").replaceChildren(...parts.filter(Boolean));
}

function drawChart(chart) {
  const svg = drawing(chart.svg);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${chart.title}. ${chart.note} The table below has the figures.`);
  return el(
    "figure",
    { class: "chart", id: `chart-${chart.id}` },
    el("figcaption", {}, el("h2", {}, chart.title), el("p", {}, chart.note)),
    el("div", { class: "drawing" }, svg),
    el("details", {}, el("summary", {}, "Figures"), drawTable(chart.columns, chart.rows)),
  );
}

function drawTable(columns, rows) {
  const figures = columns.map((_, place) => rows.length > 0 && rows.every((row) => /^[\d.,~%]+$/.test(row[place])));
  const cell = (tag, text, place) => el(tag, { class: figures[place] ? "figure" : null, scope: tag === "th" ? "col" : null }, text);
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...columns.map((text, place) => cell("th", text, place)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, place) => cell("td", text, place))))),
    ),
  );
}

// Our own drawings; parsed as XML, apart from the page, and free of scripts by the page's policy.
function drawing(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  parsed.removeAttribute("style");
  return document.importNode(parsed, true);
}
