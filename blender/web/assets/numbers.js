// Numbers as people read them.

function count(number) {
  return number.toLocaleString("en");
}

function counted(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}
