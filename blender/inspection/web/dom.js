// Makes elements. Every text goes in as a text node, so nothing that a stranger wrote is ever read as markup.

function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    const told = name.startsWith("aria-") && typeof value === "boolean" ? String(value) : value;
    if (told === undefined || told === null || told === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, told === true ? "" : String(told));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

function count(number) {
  return number.toLocaleString("en");
}

function counted(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// Our own drawings; parsed as XML, apart from the page, and free of scripts by the page's policy.
function drawing(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  parsed.removeAttribute("style");
  return document.importNode(parsed, true);
}
