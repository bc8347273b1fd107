"""``visualchat chat``: talk to a trained model in the terminal."""

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import DeviceMapOption, DeviceOption, DtypeOption, QuantizeOption
from blender.cli.output import say

if TYPE_CHECKING:
    from blender.serve.chat import Chat
    from blender.serve.generate import Answer
    from blender.serve.sampling import Sampling

HELP = """\
/image PATH…    show images with the next question (patterns such as photos/*.jpg are fine)
/history        print the conversation
/undo           take the last round back
/reset          begin anew
/save FILE      save the conversation, images included
/load FILE      go on with a saved conversation
/system [TEXT]  say something else before the first round; without TEXT, what the model was trained with
/help           this list
/quit           leave (or Ctrl-D); Ctrl-C stops an answer"""

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="The folder of a trained model.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="chat", epilog="Example: visualchat chat runs/7b/final --image photo.jpg")(chat)


def chat(
    model: ModelArgument,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", help="Show an image with the first question; repeatable.", show_default=False),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="What is said before the first round.", show_default=False)
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens of an answer at most.")] = 512,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="0: the likeliest token each time.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Draw from the fewest tokens of this probability.")] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="Draw from so many tokens at most; 0 for any.")] = 0,
    repetition_penalty: Annotated[
        float, typer.Option("--repetition-penalty", help="Above 1, used tokens become less likely.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Decides what is drawn.")] = 0,
    drop_oldest: Annotated[
        bool, typer.Option("--drop-oldest", help="Leave out the oldest rounds where the model has no room for all.")
    ] = False,
    allow_url: Annotated[bool, typer.Option("--allow-url", help="Let /image take http and https addresses.")] = False,
    device: DeviceOption = None,
    device_map: DeviceMapOption = None,
    dtype: DtypeOption = "auto",
    quantize: QuantizeOption = None,
) -> None:
    """Talk to a trained model: several rounds, several images, or none. Type /help for what else can be typed."""
    from blender.serve.folder import require_model_folder

    # the imports below take seconds
    require_model_folder(model)
    from blender.serve.chat import Chat
    from blender.serve.loading import open_model
    from blender.serve.sampling import Sampling

    sampling = Sampling(max_new_tokens, temperature, top_p, top_k, repetition_penalty, seed)
    loaded = open_model(model, device=device, device_map=device_map, dtype=dtype, quantize=quantize)  # type: ignore[arg-type]
    overflow = "drop" if drop_oldest else "refuse"
    session = Chat(loaded, system=system, overflow=overflow, allow_url=allow_url)  # type: ignore[arg-type]
    if image:
        _report_images(session.show(image))
    _Terminal(session, sampling).run()


class _Terminal:
    """Reads lines from the terminal, runs commands and questions, prints answers."""

    def __init__(self, session: "Chat", sampling: "Sampling") -> None:
        self._chat, self._sampling = session, sampling
        self._is_terminal = sys.stdin.isatty()
        self._commands: dict[str, Callable[[str], None]] = {
            "/image": self._show,
            "/history": lambda _: self._print_history(),
            "/undo": lambda _: self._undo(),
            "/reset": lambda _: self._reset(),
            "/save": self._save,
            "/load": self._load,
            "/system": self._set_system,
            "/help": lambda _: say(HELP),
        }

    def run(self) -> None:
        """Run until the input ends."""
        from blender.core.errors import BlenderError

        if self._is_terminal:
            with suppress(ImportError):
                import readline  # noqa: F401  # gives input() its history and editing
            say(f"{self._chat.loaded.name} listens. /image PATH shows an image, /help tells the rest.")
        for line in self._lines():
            if line.split(maxsplit=1)[:1] in (["/quit"], ["/exit"]):
                return
            try:
                self._do(line)
            except BlenderError as error:
                say(str(error), as_note=True)

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                line = input("\nyou> " if self._is_terminal else "").strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                say("\n/quit or Ctrl-D leaves")
                continue
            if line:
                yield line

    def _do(self, line: str) -> None:
        if not line.startswith("/"):
            self._ask(line)
            return
        name, _, rest = line.partition(" ")
        if name not in self._commands:
            say(f"there is no {name}; /help tells what there is", as_note=True)
            return
        self._commands[name](rest.strip())

    def _ask(self, question: str) -> None:
        def print_piece(piece: str) -> None:
            say(piece, end="")

        with _ctrl_c_stops() as stopped:
            answer = self._chat.ask(question, self._sampling, print_piece, stopped.is_set)
        say("")
        self._print_notes(answer)

    def _print_notes(self, answer: "Answer") -> None:
        reasons = {"length": "cut off: --max-new-tokens allows more", "cancelled": "stopped"}
        notes = [reasons[answer.finish]] if answer.finish in reasons else []
        if answer.num_turns_dropped:
            notes.append(f"the oldest {answer.num_turns_dropped} rounds were left out")
        if self._is_terminal:
            rate = answer.num_new_tokens / max(answer.seconds, 1e-9)
            kept = f"{answer.num_cached_tokens} of {answer.num_prompt_tokens} positions kept"
            notes.append(f"{answer.num_new_tokens} tokens, {rate:.0f} a second, {kept}")
        if notes:
            say(f"[{'; '.join(notes)}]", as_note=True)

    def _show(self, rest: str) -> None:
        _report_images(self._chat.show(_words(rest, "/image PATH…")))

    def _print_history(self) -> None:
        for turn in self._chat.turns:
            shown = "".join(f"[image {n}: {self._chat.images[n - 1].name}] " for n in turn.images)
            say(f"you> {shown}{turn.question}\n{turn.answer}\n")
        for number, image in enumerate(self._chat.waiting, len(self._chat.images) + 1):
            say(f"[image {number}: {image.name}] waits for a question")

    def _undo(self) -> None:
        say(f"taken back: {self._chat.undo().question}")

    def _reset(self) -> None:
        self._chat.reset()
        say("begun anew")

    def _save(self, rest: str) -> None:
        path = Path(_word(rest, "/save FILE")).expanduser()
        self._chat.save(path)
        say(f"saved {len(self._chat.turns)} rounds in {path}")

    def _load(self, rest: str) -> None:
        self._chat.load(Path(_word(rest, "/load FILE")).expanduser())
        say(f"{len(self._chat.turns)} rounds and {len(self._chat.images)} images loaded")

    def _set_system(self, rest: str) -> None:
        self._chat.set_system(rest or None)
        say("said before the first round: " + (rest or "what the model was trained with"))


def _report_images(numbers: range) -> None:
    say(", ".join(f"image {number}" for number in numbers) + " will be shown with the next question")


def _words(rest: str, usage: str) -> list[str]:
    from blender.core.errors import SessionError

    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise SessionError(f"{rest} cannot be read: {error}", "close the quotation marks") from error
    if not words:
        raise SessionError("something is missing", f"type {usage}")
    return words


def _word(rest: str, usage: str) -> str:
    """Return a path, which may contain spaces, quoted or not."""
    words = _words(rest, usage)
    return words[0] if len(words) == 1 else rest


@contextmanager
def _ctrl_c_stops() -> Iterator[threading.Event]:
    """Let Ctrl-C stop the answer instead of the program."""
    stopped = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
