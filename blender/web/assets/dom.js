// Makes elements. Every text goes in as a text node, so nothing that a stranger or a model wrote is ever read as markup.

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
