// One sample as a card: chat bubbles, the rendered text, or tokens.

class Card {
  constructor(source, viewer, hues) {
    this.source = source;
    this.viewer = viewer;
    this.hues = hues;
  }

  make(sample) {
    const title = `sample-${sample.key}`;
    const body = el("div", { class: "body" });
    const head = el(
      "header",
      {},
      el("h2", { id: title }, el("a", { href: `#sample=${encodeURIComponent(sample.key)}` }, sample.key)),
      el("span", { class: `tag hue-${this.hue(sample.dataset)}` }, sample.dataset),
      el("span", { class: "tag plain" }, sample.split),
      el("p", { class: "measures" }, measures(sample)),
      this.switch(sample, body),
    );
    this.show(sample, body, "chat");
    return el("article", { class: "sample", tabindex: -1, "aria-labelledby": title, "data-key": sample.key }, head, body);
  }

  hue(dataset) {
    if (!this.hues.has(dataset)) this.hues.set(dataset, this.hues.size % 8);
    return this.hues.get(dataset);
  }

  switch(sample, body) {
    const views = sample.tokens ? ["chat", "rendered", "tokens"] : ["chat", "rendered"];
    const buttons = views.map((view) =>
      el("button", { type: "button", "aria-pressed": view === "chat", "data-view": view }, view),
    );
    const group = el("div", { class: "switch", role: "group", "aria-label": `Show ${sample.key} as` }, ...buttons);
    group.addEventListener("click", (event) => {
      const { view } = event.target.dataset;
      if (!view) return;
      buttons.forEach((button) => button.setAttribute("aria-pressed", button.dataset.view === view));
      this.show(sample, body, view);
    });
    return group;
  }

  show(sample, body, view) {
    const makers = { chat: () => this.chat(sample), rendered: () => this.rendered(sample), tokens: () => tokens(sample) };
    body.replaceChildren(...makers[view]());
  }

  chat(sample) {
    const kept = sample.tokens ? sample.tokens.kept_turns : sample.turns.length;
    return sample.turns.map((turn, place) => {
      const asked = turn.pieces.filter(([kind]) => kind === "question");
      const other = turn.pieces.filter(([kind]) => kind === "frame");
      const said = turn.pieces.filter(([kind]) => kind === "answer");
      const question = asked.length || turn.source !== null ? asked : other;
      return el(
        "div",
        { class: place < kept ? "turn" : "turn cut" },
        turn.images.length ? el("div", { class: "figures" }, ...turn.images.map((n) => this.figure(sample, n))) : null,
        question.length ? el("div", { class: "bubble question", dir: "auto" }, ...question.map(([, text]) => text)) : null,
        ...said.map(([, text]) => el("div", { class: "bubble answer", dir: "auto" }, trained(text))),
        turn.source === null || turn.source === undefined
          ? null
          : el("p", { class: "origin" }, el("span", { class: "unseen" }, "from "), sample.sources[turn.source]),
        place === kept ? el("p", { class: "limit" }, "From here on max_tokens cuts the sample off.") : null,
      );
    });
  }

  figure(sample, number) {
    const image = sample.images[number - 1];
    const words = `Image ${number}: ${image.name}`;
    const address = this.source.small(sample, number);
    const caption = el("figcaption", {}, `Image ${number}`);
    if (!address) return el("figure", { class: "gone" }, el("p", {}, this.source.fault(sample, number) || "…"), caption);
    const picture = el("img", {
      src: address,
      alt: words,
      decoding: "async",
      width: image.width || undefined,
      height: image.height || undefined,
    });
    const button = el("button", { type: "button", class: "picture", title: title(image) }, picture);
    button.addEventListener("click", () => this.viewer.open(sample, number, button));
    picture.addEventListener("error", () => button.replaceWith(el("p", { class: "gone" }, this.source.fault())));
    return el("figure", {}, button, caption);
  }

  rendered(sample) {
    let shown = 0;
    const text = el("div", { class: "rendered", dir: "auto" });
    for (const [kind, words] of sample.turns.flatMap((turn) => turn.pieces)) {
      if (kind === "answer") text.append(trained(words));
      else if (kind === "question") text.append(el("span", { class: "asked" }, words));
      else {
        words.split("<image>").forEach((part, place) => {
          if (place) {
            shown += 1;
            text.append(this.chip(sample, shown));
          }
          text.append(part);
        });
      }
    }
    return [text];
  }

  chip(sample, number) {
    const name = (sample.images[number - 1] || { name: "" }).name;
    const address = sample.images[number - 1] ? this.source.small(sample, number) : null;
    const label = address ? el("img", { src: address, alt: `Image ${number}: ${name}` }) : `image ${number}`;
    return el("span", { class: "chip", title: `<image>, number ${number}: ${name}` }, label);
  }
}

function trained(text) {
  return el("mark", { class: "trained" }, text);
}

function title(image) {
  const size = image.width ? `, ${image.width} × ${image.height}` : "";
  return `${image.name} of ${image.store}${size}`;
}

function measures(sample) {
  const length = sample.turns.reduce(
    (sum, turn) => sum + turn.pieces.reduce((own, [kind, text]) => own + (kind === "frame" ? 0 : text.length), 0),
    0,
  );
  const parts = [counted(sample.images.length, "image"), counted(sample.turns.length, "turn"), counted(length, "character")];
  if (sample.tokens && !sample.tokens.fault) parts.push(counted(sample.tokens.positions, "token"));
  return parts.join(" · ");
}

function tokens(sample) {
  const found = sample.tokens;
  if (found.fault) return [el("p", { class: "limit" }, `This sample is not trained on: ${found.fault}`)];
  const text = el("div", { class: "tokens", dir: "auto" });
  let place = 0;
  let cut = false;
  for (const [words, isTrained, image, positions] of found.pieces) {
    if (!cut && place >= found.kept_positions) {
      cut = true;
      text.append(el("p", { class: "limit" }, `${count(found.max_tokens)} tokens allowed: the rest is cut off`));
    }
    const name = [image ? "chip" : "token", isTrained ? "trained" : "", cut ? "cut" : ""].filter(Boolean).join(" ");
    const label = image ? `image ${image} × ${count(positions)}` : words;
    text.append(el(isTrained ? "mark" : "span", { class: name }, label));
    place += positions;
  }
  return [el("p", { class: "sums" }, sums(found)), text];
}

function sums(found) {
  const parts = [
    `${count(found.positions)} positions: ${count(found.image_positions)} of images, ` +
      `${count(found.positions - found.image_positions)} of text, ${count(found.trained)} trained`,
  ];
  if (found.max_tokens) {
    const gone = found.positions - found.kept_positions;
    parts.push(gone ? `${count(found.max_tokens)} allowed: ${count(gone)} cut off` : `${count(found.max_tokens)} allowed`);
  }
  return `${parts.join("; ")}.`;
}
