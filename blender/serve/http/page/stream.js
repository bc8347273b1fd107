// Asks the server, and yields what comes: server-sent events, each a piece of OpenAI's chat completions.

class Refused extends Error {
  constructor(message, status, wait) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

async function* ask(body, key, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch("v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!answer.ok) throw await refused(answer);
  let ended = false;
  for await (const data of events(answer.body)) {
    if (data === "[DONE]") {
      ended = true;
      break;
    }
    const piece = JSON.parse(data);
    if (piece.error) throw new Refused(piece.error.message, 500, null);
    yield piece;
  }
  if (!ended) throw new Refused("The connection ended before the answer did.", 0, null);
}

async function refused(answer) {
  const said = await answer.json().catch(() => null);
  const told = said?.error?.message || `The server says ${answer.status}.`;
  return new Refused(told, answer.status, Number(answer.headers.get("Retry-After")) || null);
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n\n");
    rest = whole.pop();
    for (const event of whole) {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length) yield data.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}
