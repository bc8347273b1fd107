// The pictures of one sample, one at a time and as large as they can be had.

class Viewer {
  constructor(source) {
    this.source = source;
    this.dialog = byId("viewer");
    byId("viewer-before").addEventListener("click", () => this.move(-1));
    byId("viewer-after").addEventListener("click", () => this.move(1));
    this.dialog.addEventListener("close", () => this.opener && this.opener.focus());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) this.move(step);
    });
  }

  open(sample, number, opener) {
    this.sample = sample;
    this.number = number;
    this.opener = opener;
    this.draw();
    this.dialog.showModal();
  }

  move(step) {
    const all = this.sample.images.length;
    this.number = ((this.number - 1 + step + all) % all) + 1;
    this.draw();
  }

  draw() {
    const image = this.sample.images[this.number - 1];
    const picture = byId("viewer-image");
    picture.alt = `Image ${this.number}: ${image.name}`;
    picture.src = this.source.large(this.sample, this.number) || "data:,";
    byId("viewer-caption").textContent = `Image ${this.number} of ${this.sample.images.length}: ${title(image)}`;
    byId("viewer-before").disabled = byId("viewer-after").disabled = this.sample.images.length < 2;
  }
}
