// Puts the page together: setup, addresses, keys.

const setup = JSON.parse(byId("setup").textContent);
const source = setup.samples ? new FileSource(setup) : new ServedSource();
const hues = new Map(setup.facets.dataset.map(([name], place) => [name, place % 8]));
const viewer = new Viewer(source);
const gallery = new Gallery(source, new Card(source, viewer, hues));

function present(overview) {
  byId("title").textContent = overview.title;
  byId("subtitle").textContent = overview.subtitle;
  drawOverview(overview);
}

async function follow() {
  try {
    const overview = await source.overview();
    present(overview);
    if (overview.pending) setTimeout(follow, 1000);
  } catch {
    setTimeout(follow, 5000);
  }
}

function show(view) {
  for (const name of ["overview", "samples"]) {
    byId(`view-${name}`).hidden = name !== view;
    if (name === view) byId(`to-${name}`).setAttribute("aria-current", "page");
    else byId(`to-${name}`).removeAttribute("aria-current");
  }
}

function route() {
  const hash = location.hash.slice(1);
  if (hash.startsWith("sample=")) {
    const key = decoded(hash.slice("sample=".length));
    const place = gallery.shown.samples.findIndex((sample) => sample.key === key);
    show("samples");
    if (place >= 0) gallery.select(place);
    else gallery.go({ at: key });
  } else if (hash === "overview" || (!hash && setup.start === "overview")) {
    show("overview");
    if (!gallery.asked) gallery.go({});
  } else {
    const said = Object.fromEntries(new URLSearchParams(hash.split("?")[1] || ""));
    const wasHidden = byId("view-samples").hidden;
    show("samples");
    if (hash.includes("?") || !gallery.asked || !wasHidden) {
      gallery.go({ ...said, page: Math.max(0, (Number(said.page) || 1) - 1) });
    }
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function cycleView() {
  const article = gallery.chosen();
  if (!article) return;
  const buttons = [...article.querySelectorAll(".switch button")];
  const place = buttons.findIndex((button) => button.getAttribute("aria-pressed") === "true");
  buttons[(place + 1) % buttons.length].click();
}

async function copyLink() {
  const article = gallery.chosen();
  if (!article) return;
  const address = `${location.href.split("#")[0]}#sample=${encodeURIComponent(article.dataset.key)}`;
  try {
    await navigator.clipboard.writeText(address);
    byId("found").textContent = `Copied a link to ${article.dataset.key}.`;
  } catch {
    location.hash = `sample=${encodeURIComponent(article.dataset.key)}`;
  }
}

const KEYS = {
  j: () => gallery.move(1),
  k: () => gallery.move(-1),
  n: () => gallery.turn(gallery.shown.page + 1),
  p: () => gallery.turn(gallery.shown.page - 1),
  "/": () => {
    if (byId("view-samples").hidden) location.hash = "samples";
    show("samples");
    byId("query").focus();
    byId("query").select();
  },
  "?": () => byId("shortcuts").showModal(),
  v: cycleView,
  c: copyLink,
  i: () => gallery.chosen()?.querySelector(".picture")?.click(),
  o: () => (location.hash = "overview"),
  s: () => (location.hash = "samples"),
  d: toggleTheme,
};

document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, select, textarea");
  if (event.key === "Escape" && writing) event.target.blur();
  if (writing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const does = KEYS[event.key];
  const needsSamples = !["/", "?", "o", "s", "d"].includes(event.key);
  if (!does || (needsSamples && byId("view-samples").hidden)) return;
  event.preventDefault();
  does();
});

byId("keys").addEventListener("click", () => byId("shortcuts").showModal());
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
byId("to-samples").addEventListener("click", (event) => {
  // back to the samples as they were left
  event.preventDefault();
  if (!byId("view-samples").hidden) return;
  show("samples");
  history.pushState(null, "", gallery.address());
});
addEventListener("hashchange", route);

gallery.offer(setup.facets);
if (setup.overview) present(setup.overview);
else follow();
// the pictures of a report stand behind this script
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", route);
else route();
