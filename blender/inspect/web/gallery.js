// Samples a page at a time, by filters; the state stands in the page's address, so that every view can be kept.

const NOTHING = { dataset: "", split: "", images: "", q: "", page: 0 };

class Gallery {
  constructor(source, card) {
    this.source = source;
    this.card = card;
    this.filter = { ...NOTHING };
    this.asked = 0;
    this.current = -1;
    this.shown = { total: 0, page: 0, pages: 1, samples: [] };
    this.waiting = null;
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("query").addEventListener("input", () => this.soon());
    for (const name of ["dataset", "split", "images"]) byId(name).addEventListener("change", () => this.read());
    byId("clear").addEventListener("click", () => this.go({ ...NOTHING }));
  }

  offer(facets) {
    const kinds = { dataset: "All datasets", split: "All splits", images: "Any number" };
    for (const [name, all] of Object.entries(kinds)) {
      const options = facets[name].map(([value, number]) => el("option", { value }, `${value} (${count(number)})`));
      byId(name).replaceChildren(el("option", { value: "" }, all), ...options);
      byId(name).value = this.filter[name];
    }
  }

  // Typing searches when it pauses.
  soon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.read(), 150);
  }

  read() {
    const chosen = Object.fromEntries(["dataset", "split", "images"].map((name) => [name, byId(name).value]));
    this.go({ ...chosen, q: byId("query").value.trim(), page: 0 });
  }

  async go(filter) {
    clearTimeout(this.waiting);
    this.filter = { ...NOTHING, ...filter };
    const turn = (this.asked += 1);
    byId("view-samples").setAttribute("aria-busy", "true");
    try {
      const shown = await this.source.page(this.filter);
      if (turn !== this.asked) return;
      this.draw(shown);
    } catch (error) {
      if (turn === this.asked) this.explain(error);
    } finally {
      if (turn === this.asked) byId("view-samples").removeAttribute("aria-busy");
    }
  }

  explain(error) {
    byId("found").textContent = error.message || "The program that serves this page does not answer.";
    if (error.content && error.content.wait) this.waiting = setTimeout(() => this.go(this.filter), 700);
  }

  draw(shown) {
    this.shown = shown;
    const { at } = this.filter;
    this.filter = { ...this.filter, at: undefined, page: shown.page };
    for (const name of ["dataset", "split", "images"]) byId(name).value = this.filter[name];
    if (byId("query").value.trim() !== this.filter.q) byId("query").value = this.filter.q;
    byId("feed").replaceChildren(...shown.samples.map((sample) => el("li", {}, this.card.make(sample))));
    byId("found").textContent = shown.missing ? `There is no sample ${at}.` : this.told(shown);
    byId("clear").hidden = !["dataset", "split", "images", "q"].some((name) => this.filter[name]);
    byId("pages").replaceChildren(...this.links(shown));
    this.current = -1;
    if (at && !shown.missing) this.select(shown.samples.findIndex((sample) => sample.key === at));
    else if (!byId("view-samples").hidden) history.replaceState(null, "", this.address());
  }

  told({ total, page, pages }) {
    if (!total) return "No sample fits.";
    return pages > 1 ? `${counted(total, "sample")}, page ${count(page + 1)} of ${count(pages)}` : counted(total, "sample");
  }

  links({ page, pages }) {
    if (pages < 2) return [];
    const to = (label, target, name) =>
      el("button", { type: "button", class: "page", "aria-label": name, disabled: target < 0 || target >= pages, onclick: () => this.turn(target) }, label);
    const field = el("input", { type: "number", min: 1, max: pages, value: page + 1, "aria-label": "Page" });
    field.addEventListener("change", () => this.turn(Math.min(pages, Math.max(1, Number(field.value) || 1)) - 1));
    return [to("← Previous", page - 1, "Previous page"), el("span", {}, "Page ", field, ` of ${count(pages)}`), to("Next →", page + 1, "Next page")];
  }

  async turn(page, select = null) {
    if (page < 0 || page >= this.shown.pages) return;
    await this.go({ ...this.filter, page });
    if (select === null) byId("view-samples").scrollIntoView();
    else this.select(select < 0 ? this.shown.samples.length + select : select);
  }

  address() {
    const kept = Object.entries(this.filter).filter(([, value]) => value);
    const page = this.filter.page ? [["page", this.filter.page + 1]] : [];
    const said = new URLSearchParams([...kept.filter(([name]) => name !== "page"), ...page]).toString();
    return said ? `#samples?${said}` : "#samples";
  }

  articles() {
    return [...byId("feed").querySelectorAll("article")];
  }

  select(place) {
    const articles = this.articles();
    if (!articles[place]) return;
    articles.forEach((article, number) => article.classList.toggle("current", number === place));
    this.current = place;
    articles[place].focus({ preventScroll: true });
    articles[place].scrollIntoView({ block: "start" });
  }

  move(step) {
    const focused = this.articles().findIndex((article) => article.contains(document.activeElement));
    const from = focused >= 0 ? focused : this.current;
    const to = from < 0 ? 0 : from + step;
    if (to >= 0 && to < this.shown.samples.length) this.select(to);
    else this.turn(this.shown.page + step, step > 0 ? 0 : -1);
  }

  chosen() {
    return this.articles()[Math.max(0, this.current)] || null;
  }
}
