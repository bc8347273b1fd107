// Where a question is written: its text, the images that wait to be shown with it, and which question it replaces.

class Composer {
  constructor(limits, { firstNumber, onSend }) {
    this.limits = limits;
    this.firstNumber = firstNumber;
    this.onSend = onSend;
    this.pictures = [];
    this.editing = null;
    this.stashed = null;
    this.reading = 0;
    this.text = byId("question");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.text.addEventListener("input", () => this.fit());
    this.text.addEventListener("keydown", (event) => this.press(event));
    byId("attach").addEventListener("click", () => byId("files").click());
    byId("files").addEventListener("change", (event) => {
      this.add([...event.target.files]);
      event.target.value = "";
    });
    byId("cancel").addEventListener("click", () => this.cancel());
  }

  press(event) {
    const touch = matchMedia("(pointer: coarse)").matches;
    if (event.key === "Escape" && this.editing !== null) this.cancel();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch) return;
    event.preventDefault();
    this.send();
  }

  async add(files) {
    this.tell(null);
    const faults = [];
    this.reading += 1;
    // one after the other: they are numbered in the order given
    for (const file of files) {
      const room = this.limits.images - (this.firstNumber() - 1) - this.pictures.length;
      if (room <= 0) {
        faults.push(`A conversation has ${counted(this.limits.images, "image")} at most.`);
        break;
      }
      try {
        this.pictures.push(await readPicture(file, this.limits));
      } catch (fault) {
        faults.push(fault.message);
      }
      this.draw();
    }
    this.reading -= 1;
    if (faults.length) this.tell(faults.join(" "));
    this.text.focus();
  }

  send() {
    if (!byId("stop").hidden) return;
    if (this.reading) {
      this.tell("The images are still being read.");
      return;
    }
    const question = this.text.value.trim();
    if (!question) {
      this.tell(this.pictures.length ? "Ask something about the images." : "Write a question first.");
      this.text.focus();
      return;
    }
    const { pictures, editing } = this;
    const stashed = this.stashed;
    this.fill(stashed || { question: "", pictures: [] });
    this.onSend(question, pictures, editing);
  }

  edit(place, question, pictures) {
    if (this.editing === null) this.stashed = { question: this.text.value, pictures: this.pictures };
    this.fill({ question, pictures: [...pictures] }, place);
    byId("editing-what").textContent = "Editing an earlier question: what was said since then will go.";
    this.text.focus();
  }

  cancel() {
    this.fill(this.stashed || { question: "", pictures: [] });
    this.text.focus();
  }

  // Put a question that could not be asked back; what was written in the meantime goes behind it.
  restore(question, pictures) {
    const since = this.text.value.trim();
    this.fill({ question: since ? `${question}\n${since}` : question, pictures: [...pictures, ...this.pictures] });
  }

  fill({ question, pictures }, editing = null) {
    this.text.value = question;
    this.pictures = pictures;
    this.editing = editing;
    if (editing === null) this.stashed = null;
    byId("editing").hidden = editing === null;
    this.tell(null);
    this.draw();
    this.fit();
    document.dispatchEvent(new CustomEvent("editing", { detail: editing }));
  }

  draw() {
    const first = this.firstNumber();
    byId("waiting").replaceChildren(
      ...this.pictures.map((picture, place) =>
        el(
          "li",
          { title: picture.name },
          pictureView(picture, first + place),
          el("span", { class: "number", "aria-hidden": "true" }, `Image ${first + place}`),
          el("button", { type: "button", "aria-label": `Remove image ${first + place}`, onclick: () => this.remove(place) }, "×"),
        ),
      ),
    );
  }

  remove(place) {
    this.pictures = this.pictures.filter((_, other) => other !== place);
    this.tell(null);
    this.draw();
    this.text.focus();
  }

  fit() {
    if (CSS.supports("field-sizing", "content")) return;
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
  }

  tell(notice) {
    byId("notice").textContent = notice || "";
    byId("notice").hidden = !notice;
  }
}
