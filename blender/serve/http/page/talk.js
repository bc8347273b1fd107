// The conversation: rounds of images, question and answer, as they are sent and as they are shown.

class Talk {
  constructor({ onEdit, onAgain }) {
    this.rounds = [];
    this.onEdit = onEdit;
    this.onAgain = onAgain;
    this.list = byId("talk");
    this.busy = false;
  }

  // The number of the first image that a question at this place shows.
  firstNumber(place = this.rounds.length) {
    return 1 + this.rounds.slice(0, place).reduce((sum, round) => sum + round.pictures.length, 0);
  }

  add(question, pictures) {
    const round = { question, pictures, answer: "", note: null, measures: null, growing: true };
    this.rounds.push(round);
    this.draw();
    return round;
  }

  cut(length) {
    this.rounds.length = Math.min(length, this.rounds.length);
    this.draw();
  }

  messages() {
    return this.rounds.flatMap(({ question, pictures, answer, growing }) => [
      { role: "user", content: asContent(question, pictures) },
      ...(growing ? [] : [{ role: "assistant", content: answer }]),
    ]);
  }

  draw() {
    byId("welcome").hidden = this.rounds.length > 0;
    this.list.replaceChildren(...this.rounds.map((round, place) => this.make(round, place)));
  }

  make(round, place) {
    const first = this.firstNumber(place);
    round.bubble = el("div", { class: round.growing ? "bubble answer growing" : "bubble answer", dir: "auto" }, visible(round.answer));
    round.element = el(
      "li",
      { class: "round" },
      round.pictures.length
        ? el("div", { class: "figures" }, ...round.pictures.map((picture, n) => figure(picture, first + n)))
        : null,
      el("div", { class: "bubble question", dir: "auto" }, visible(round.question)),
      this.busy ? null : this.askedLine(round, place),
      round.bubble,
      round.note ? el("p", { class: "note" }, visible(round.note)) : null,
      round.growing ? null : this.saidLine(round, place),
    );
    return round.element;
  }

  askedLine(round, place) {
    return el(
      "div",
      { class: "line asked" },
      tool("Copy", "Copy this question", (button) => copied(button, round.question)),
      tool("Edit", "Change this question and ask it again", () => this.onEdit(place)),
    );
  }

  saidLine(round, place) {
    const isLast = place === this.rounds.length - 1;
    return el(
      "div",
      { class: "line" },
      tool("Copy", "Copy this answer", (button) => copied(button, round.answer)),
      isLast && !this.busy ? tool("Regenerate", "Have this question answered anew", () => this.onAgain()) : null,
      round.measures ? el("span", { class: "measures" }, round.measures) : null,
    );
  }

  grow(round, piece) {
    const wasAtEnd = isAtEnd();
    round.answer += piece;
    round.bubble.append(visible(piece));
    if (wasAtEnd) scrollToEnd();
  }

  end(round, note, measures) {
    Object.assign(round, { growing: false, note, measures });
  }

  fadeFrom(place) {
    [...this.list.children].forEach((item, other) => item.classList.toggle("old", place !== null && other >= place));
  }
}

function isAtEnd() {
  return document.documentElement.scrollHeight - innerHeight - scrollY < 80;
}

function scrollToEnd() {
  scrollTo({ top: document.documentElement.scrollHeight });
}

function asContent(question, pictures) {
  if (!pictures.length) return question;
  const shown = pictures.map(({ url }) => ({ type: "image_url", image_url: { url } }));
  return [...shown, { type: "text", text: question }];
}

function figure(picture, number) {
  const button = el("button", { type: "button", class: "picture", title: picture.name ? visible(picture.name) : `Image ${number}` }, pictureView(picture, number));
  if (picture.preview) button.addEventListener("click", () => enlarge(picture, number));
  return el("figure", {}, button, el("figcaption", {}, `Image ${number}`));
}

function enlarge(picture, number) {
  byId("viewer-image").src = picture.preview;
  byId("viewer-image").alt = `Image ${number}`;
  byId("viewer-caption").textContent = [`Image ${number}`, picture.name && visible(picture.name), picture.size].filter(Boolean).join(" · ");
  byId("viewer").showModal();
}

function tool(words, title, does) {
  return el("button", { type: "button", class: "quiet", title, onclick: (event) => does(event.currentTarget) }, words);
}

async function copied(button, text) {
  await copyText(text);
  const words = button.textContent;
  button.textContent = "Copied";
  byId("status").textContent = "Copied.";
  setTimeout(() => (button.textContent = words), 1200);
}
