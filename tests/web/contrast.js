// Texts whose colour differs from their ground by less than 4.5 to 1 (WCAG 2.2, level AA).
() => {
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const over = (colour, under) => {
    for (const layer of [under, colour]) {
      pen.fillStyle = layer;
      pen.fillRect(0, 0, 1, 1);
    }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const luminance = (parts) => {
    const [red, green, blue] = parts.map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.unshift(getComputedStyle(one).backgroundColor);
    return layers.reduce((under, colour) => `rgb(${over(colour, under).join(",")})`, "rgb(255,255,255)");
  };
  const weak = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    const speaks = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!speaks || !element.checkVisibility() || element.closest("svg, .unseen, option, :disabled")) continue;
    const under = ground(element);
    const lights = [getComputedStyle(element).color, under].map((colour) => luminance(over(colour, under)));
    const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    if (ratio < 4.5) weak.push([element.className || element.tagName, element.textContent.slice(0, 30), ratio]);
  }
  return weak;
}
