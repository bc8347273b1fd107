// Where samples come from: this very file, or the program that serves the page. Both give pages of the same shape:
// {total, page, pages, samples}.

const PAGE = 50;

class FileSource {
  constructor(setup) {
    this.samples = setup.samples;
    this.texts = new Map();
  }

  async page(filter) {
    const found = this.samples.filter((sample) => this.fits(sample, filter));
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    const place = filter.at ? found.findIndex((sample) => sample.key === filter.at) : -1;
    const page = place >= 0 ? Math.floor(place / PAGE) : Math.min(filter.page, pages - 1);
    const samples = found.slice(page * PAGE, (page + 1) * PAGE);
    return { total: found.length, page, pages, samples, missing: Boolean(filter.at) && place < 0 };
  }

  fits(sample, { dataset, split, images, q }) {
    if (dataset && sample.dataset !== dataset) return false;
    if (split && sample.split !== split) return false;
    if (images !== "" && sample.images.length !== Number(images)) return false;
    return terms(q).every((term) => this.text(sample).includes(term));
  }

  text(sample) {
    let text = this.texts.get(sample.key);
    if (text === undefined) {
      const pieces = sample.turns.flatMap((turn) => turn.pieces.filter(([kind]) => kind !== "frame"));
      const parts = [...pieces.map(([, words]) => words), ...sample.images.map((image) => image.name), ...sample.sources];
      text = parts.join("\n").toLowerCase();
      this.texts.set(sample.key, text);
    }
    return text;
  }

  small(sample, number) {
    const { picture } = sample.images[number - 1];
    const block = picture === undefined ? null : byId(`picture-${picture}`);
    if (!block || !block.textContent) return null;
    return `data:image/webp;base64,${block.textContent}`;
  }

  large(sample, number) {
    return this.small(sample, number);
  }

  fault(sample, number) {
    const { picture } = sample.images[number - 1];
    const block = picture === undefined ? null : byId(`picture-${picture}`);
    return block ? block.dataset.fault || null : "not in this report";
  }
}

class ServedSource {
  async page(filter) {
    const wanted = Object.entries(filter).filter(([, value]) => value !== "" && value !== undefined);
    return this.get(`/api/samples?${new URLSearchParams(wanted)}`);
  }

  async overview() {
    return this.get("/api/overview");
  }

  async get(url) {
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    const content = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(content.error), { content });
    return content;
  }

  small(sample, number) {
    return `${this.large(sample, number)}?thumb`;
  }

  large(sample, number) {
    return `/image/${encodeURIComponent(sample.key)}/${number}`;
  }

  fault() {
    return "cannot be shown";
  }
}

// Words, and phrases between quotation marks, in lower case.
function terms(query) {
  return Array.from(query.matchAll(/"([^"]+)"|(\S+)/g), ([, phrase, word]) => (phrase || word).toLowerCase());
}
