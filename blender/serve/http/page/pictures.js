// Makes of a file what is sent: its very bytes where that is possible, a smaller JPEG where it is too large or of a kind
// that only browsers read.

const SENT_AS_THEY_ARE = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"];
const LONGEST_EDGE = 2048;

class Picture {
  constructor(name, url, preview, width, height) {
    Object.assign(this, { name, url, preview, width, height });
  }

  get size() {
    return this.width ? `${count(this.width)} × ${count(this.height)}` : "";
  }
}

async function readPicture(file, limits) {
  const small = file.size <= Math.min(4e6, limits.body / 4);
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) {
    if (small && file.type === "image/tiff") return new Picture(file.name, await dataUrl(file), null, 0, 0);
    throw new Error(`${file.name || "This"} is no image that can be read.`);
  }
  const { width, height } = bitmap;
  const asItIs = small && SENT_AS_THEY_ARE.includes(file.type) && width * height <= limits.pixels;
  const content = asItIs ? file : await shrunk(bitmap);
  bitmap.close();
  return new Picture(file.name, await dataUrl(content), URL.createObjectURL(content), width, height);
}

async function shrunk(bitmap) {
  const scale = Math.min(1, LONGEST_EDGE / Math.max(bitmap.width, bitmap.height));
  const canvas = el("canvas", {
    width: Math.max(1, Math.round(bitmap.width * scale)),
    height: Math.max(1, Math.round(bitmap.height * scale)),
  });
  const pen = canvas.getContext("2d");
  // what is transparent shows white, as the server has it
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((done, fail) =>
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("An image could not be made smaller."))), "image/jpeg", 0.92),
  );
}

function dataUrl(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => fail(new Error("A file could not be read."));
    reader.readAsDataURL(blob);
  });
}

function pictureView(picture, number) {
  const words = picture.name ? `Image ${number}: ${picture.name}` : `Image ${number}`;
  if (!picture.preview) return el("span", { class: "unshown" }, words);
  return el("img", { src: picture.preview, alt: words, width: picture.width, height: picture.height, decoding: "async" });
}
