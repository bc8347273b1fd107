// Puts the page together: asking, stopping, settings, dropping and pasting.

const setup = JSON.parse(byId("setup").textContent);
const user = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const KEY = "visualchat-key";
let stopping = null;

const talk = new Talk({
  onEdit: (place) => composer.edit(place, talk.rounds[place].question, talk.rounds[place].pictures),
  onAgain: () => {
    const last = talk.rounds.at(-1);
    talk.cut(talk.rounds.length - 1);
    answer(last.question, last.pictures, () => talk.rounds.push(last));
  },
});
const composer = new Composer(setup.limits, {
  firstNumber: () => talk.firstNumber(composer.editing ?? talk.rounds.length),
  onSend: (question, pictures, editing) => {
    const before = talk.rounds.slice();
    if (editing !== null) talk.cut(editing);
    answer(question, pictures, () => {
      talk.rounds = before;
      if (editing === null) composer.restore(question, pictures);
      else composer.edit(editing, question, pictures);
    });
  },
});

// Ask, and show what comes; where nothing comes, ``giveBack`` makes the conversation what it was.
async function answer(question, pictures, giveBack) {
  const round = talk.add(question, pictures);
  begin();
  const figures = { started: performance.now(), last: null, usage: null };
  let fault = null;
  try {
    for await (const piece of ask(request(), sessionStorage.getItem(KEY), stopping.signal)) {
      const [choice] = piece.choices;
      if (choice?.delta.content) talk.grow(round, choice.delta.content);
      if (choice?.finish_reason) figures.last = piece;
      if (piece.usage) figures.usage = piece.usage;
    }
  } catch (error) {
    fault = error;
  }
  const stopped = stopping.signal.aborted;
  stopping = null;
  talk.busy = false;
  // gone when the conversation was begun anew meanwhile
  const isShown = talk.rounds.includes(round);
  const isLost = isShown && fault && !round.answer;
  if (isLost) {
    talk.rounds.pop();
    giveBack();
  } else if (isShown) talk.end(round, note(fault, stopped, figures), measures(figures));
  finish(fault && !stopped ? "The answer broke off." : "The answer is there.");
  if (isLost && !stopped) complain(fault);
}

function begin() {
  stopping = new AbortController();
  talk.busy = true;
  composer.tell(null);
  composer.draw();
  talk.draw();
  byId("send").hidden = true;
  byId("stop").hidden = false;
  byId("status").textContent = "The model answers.";
  scrollToEnd();
}

function finish(told) {
  const wasAtEnd = isAtEnd();
  talk.draw();
  if (wasAtEnd) scrollToEnd();
  talk.fadeFrom(composer.editing);
  composer.draw();
  byId("send").hidden = false;
  byId("stop").hidden = true;
  byId("status").textContent = told;
}

function complain(fault) {
  const wait = fault.wait ? ` Try again in ${counted(fault.wait, "second")}.` : "";
  composer.tell(fault instanceof Refused ? sentence(fault.message) + wait : "The server cannot be reached.");
  if (fault.status === 401) openSettings();
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function note(fault, stopped, { last }) {
  if (stopped) return "Stopped.";
  if (fault) return `Broken off: ${fault.message}`;
  const told = [];
  if (last?.rounds_dropped) told.push(`The oldest ${counted(last.rounds_dropped, "round")} no longer fitted and stayed out.`);
  if (last?.choices[0].finish_reason === "length") told.push("Cut off: the longest answer allowed.");
  return told.join(" ") || null;
}

function measures({ started, usage }) {
  if (!usage) return null;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  return `${counted(usage.completion_tokens, "token")} in ${seconds} s, ${counted(usage.prompt_tokens, "position")} before`;
}

function request() {
  const body = {
    model: setup.model,
    messages: talk.messages(),
    stream: true,
    stream_options: { include_usage: true },
    temperature: byId("temperature").valueAsNumber,
    top_p: byId("top-p").valueAsNumber,
    max_completion_tokens: byId("new-tokens").valueAsNumber,
    user,
  };
  const system = byId("system").value.trim();
  if (system) body.messages.unshift({ role: "system", content: system });
  return Object.fromEntries(Object.entries(body).filter(([, value]) => !Number.isNaN(value)));
}

function openSettings() {
  byId("settings").showModal();
  if (setup.needsKey && !sessionStorage.getItem(KEY)) byId("key").focus();
}

function describe() {
  const positions = `${counted(setup.imagePositions, "position")} an image`;
  const room = setup.maxPositions ? `, ${count(setup.maxPositions)} in all` : "";
  return positions + room;
}

byId("title").textContent = setup.model;
byId("subtitle").textContent = describe();
byId("temperature").value = setup.temperature;
byId("new-tokens").value = setup.limits.newTokens;
byId("new-tokens").max = setup.limits.newTokens;
byId("key-field").hidden = !setup.needsKey;
byId("key").value = sessionStorage.getItem(KEY) || "";
byId("key").addEventListener("input", (event) => sessionStorage.setItem(KEY, event.target.value.trim()));
byId("stop").addEventListener("click", () => stopping?.abort());
byId("to-settings").addEventListener("click", openSettings);
byId("anew").addEventListener("click", () => {
  stopping?.abort();
  composer.fill({ question: "", pictures: [] });
  talk.cut(0);
  composer.draw();
  composer.text.focus();
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  composer.text.focus();
});
document.addEventListener("editing", (event) => talk.fadeFrom(event.detail));

addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files || [])];
  if (!files.length) return;
  event.preventDefault();
  composer.add(files);
});
let within = 0;
function drags(event) {
  return event.dataTransfer?.types.includes("Files");
}
addEventListener("dragenter", (event) => {
  if (!drags(event)) return;
  within += 1;
  byId("drop").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!drags(event)) return;
  within = Math.max(0, within - 1);
  byId("drop").hidden = within === 0;
});
addEventListener("dragover", (event) => drags(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!drags(event)) return;
  event.preventDefault();
  within = 0;
  byId("drop").hidden = true;
  composer.add([...event.dataTransfer.files]);
});
composer.text.focus();
