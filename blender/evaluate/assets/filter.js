"use strict";
// Show only the conversations that are asked for. Without this script, the page shows all of them.
const bar = document.querySelector(".filters");
const all = [...document.querySelectorAll(".conversation")];
const texts = all.map((one) => one.textContent.toLowerCase());
const field = (name) => bar.querySelector(`[name="${name}"]`);

function apply() {
  const words = field("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const dataset = field("dataset").value;
  const kind = field("kind")?.value ?? "";
  const only = field("only").value;
  let shown = 0;
  all.forEach((one, place) => {
    const fits =
      words.every((word) => texts[place].includes(word)) &&
      (!dataset || one.dataset.dataset === dataset) &&
      (!kind || one.dataset.kinds.split(" ").includes(kind)) &&
      (!only || one.dataset[only] === "1");
    one.hidden = !fits;
    shown += fits;
  });
  bar.querySelector("output").textContent = `${shown.toLocaleString()} of ${all.length.toLocaleString()}`;
}

bar.hidden = false;
bar.addEventListener("input", apply);
apply();
