"""A tokenizer's own chat template, for language models that were tuned to chat.

What a template writes around the texts (roles, turns, end tokens) is found by rendering a conversation of placeholders
and parting the result at them: nothing is known here about any model's format. Templates that trim texts have theirs
trimmed before. The pieces between depend on the number of turns alone, so they are rendered once per number.

Special tokens count in this structure only (:class:`~blender.encoding.marked_text.TemplateSpan`); the same characters
in a stranger's text stay text. Every answer is trained, up to and including the first special token behind it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from blender.core.errors import StreamError
from blender.data.sample import Span
from blender.data.template import CHAT, IMAGE, TEMPLATES, Round, Template
from blender.encoding.marked_text import TemplateSpan

SYSTEM = "You are a powerful vision-language assistant."

#: stands for the text of message n while the structure is looked for; noncharacters of Unicode around a number
_PLACE = re.compile("\ufdd1(\\d+)\ufdd2")
#: stands for the system text
_SYSTEM_PLACE = "\ufdd3"
_OTHER = "use another template, such as deepspeed-visualchat"
#: what some templates ask for, the same on every day and for every sample
_SETTINGS = {"date_string": "26 Jul 2024", "enable_thinking": False}


@dataclass(frozen=True)
class ChatTemplate:
    """Renders conversations as a tokenizer's chat template does. Plain data; made by :func:`make_chat_template`."""

    #: the template itself, in Jinja
    source: str
    #: ``bos_token`` and the like
    special_tokens: tuple[tuple[str, str], ...]
    #: a message of its own, or written before the first question where the template knows no system
    system: str
    system_message: bool
    #: which ends of a text the template trims, ``l`` and ``r``: of questions, of answers
    trims: tuple[str, str] = ("", "")
    #: the special token behind an answer
    end: str = ""
    #: before each question, once per newly shown image
    image: str = "Image {number}: <image>\n"
    name: str = CHAT

    @property
    def markers(self) -> str:
        """What a text must never contain, besides ``<image>``: nothing; no text can make this template's markers."""
        return ""

    def neutralise(self, text: str) -> str:
        """Break every ``<image>`` inside a text by a space behind its first character."""
        return _PLAIN.neutralise(text)

    def render(self, turns: Sequence[Round]) -> list[Span]:
        """Render a conversation; the first turn's own system text stands in place of the template's.

        Args:
            turns: The rounds in order; together they show images 1..n, each once.

        Returns:
            Structure, text, structure, text, …; the last one is structure.
        """
        own = turns[0].system if turns else ""
        return (self.with_system(own) if own else self)._rendered(turns)

    def _rendered(self, turns: Sequence[Round]) -> list[Span]:
        systems = self._system_messages(turns)
        pieces = iter(self._structure(len(turns), systems))
        before, shown, after = next(pieces).partition(_SYSTEM_PLACE)
        spans: list[Span] = [TemplateSpan(before, train=False)]
        if shown:
            spans += [Span(self.neutralise(self.system.strip()), train=False), TemplateSpan(after, train=False)]
        for number, turn in enumerate(turns):
            if number in systems:
                instruction = Span(self.neutralise(turn.system.strip()), train=False)
                spans += [instruction, TemplateSpan(next(pieces), train=False)]
            asked = _trimmed(self._instruction(turn, number, systems) + self._ask(turn), self.trims[0])
            answer = _trimmed(self.neutralise(turn.answer), self.trims[1])
            spans += [Span(asked, train=False), TemplateSpan(next(pieces), train=False)]
            spans += [Span(answer, train=True), TemplateSpan(next(pieces), train=False)]
        return spans

    def render_prompt(self, turns: Sequence[Round]) -> list[Span]:
        """Render a conversation up to where the last answer begins, whatever that answer is."""
        return self.render(turns)[:-2]

    def with_system(self, text: str) -> "ChatTemplate":
        """Return the template with another system text; without one for an empty text."""
        return replace(self, system=text, system_message=bool(text) and _takes_system(self.source, self.special_tokens))

    def _ask(self, turn: Round) -> str:
        shown = "".join(self.image.replace("{number}", str(number)) for number in turn.images)
        return shown + self.neutralise(turn.question)

    def _instruction(self, turn: Round, number: int, systems: Sequence[int]) -> str:
        """Return the system text that a turn's question begins with: one that cannot be a message."""
        is_message = number in systems if number else self.system_message
        text = "" if is_message else turn.system if number else self.system
        return f"{self.neutralise(text.strip())}\n\n" if text.strip() else ""

    def _system_messages(self, turns: Sequence[Round]) -> tuple[int, ...]:
        """List the turns, but for the first, before which the template shows a system message; all or none."""
        wanted = tuple(number for number, turn in enumerate(turns) if number and turn.system)
        if not wanted or not _takes_systems(self.source, self.special_tokens, wanted, len(turns)):
            return ()
        return wanted

    def _structure(self, num_turns: int, systems: tuple[int, ...] = ()) -> tuple[str, ...]:
        first = _SYSTEM_PLACE if self.system_message else None
        return _structure(self.source, self.special_tokens, first, num_turns, systems)


@lru_cache(maxsize=256)
def _structure(
    source: str,
    special_tokens: tuple[tuple[str, str], ...],
    system: str | None,
    num_turns: int,
    systems: tuple[int, ...] = (),
) -> tuple[str, ...]:
    """Return what stands before, between and behind the texts of so many turns.

    Args:
        source: The template.
        special_tokens: What it calls ``bos_token`` and the like.
        system: Stands for the text of the first system message; None for none.
        num_turns: Number of turns.
        systems: Turns with a system message before them, besides the first one.
    """
    roles = [role for turn in range(num_turns) for role in (*["system"] * (turn in systems), "user", "assistant")]
    messages = [(role, f"\ufdd1{number}\ufdd2") for number, role in enumerate(roles)]
    parts = _PLACE.split(_render(source, special_tokens, system, messages))
    if parts[1::2] != [str(number) for number in range(len(messages))]:
        raise StreamError("the tokenizer's chat template does not show every message once and in order", _OTHER)
    if system is not None and parts[0].count(_SYSTEM_PLACE) != 1:
        raise StreamError("the tokenizer's chat template does not show the system text once and first", _OTHER)
    return tuple(parts[0::2])


_PLAIN = Template(name="", system="", image=IMAGE, question="", answer="", end="")


def make_chat_template(tokenizer: Any, system: str = SYSTEM) -> ChatTemplate:
    """Take the chat template out of a Hugging Face tokenizer.

    Args:
        tokenizer: A tokenizer with ``chat_template``.
        system: What is said to the model before all else.

    Raises:
        StreamError: It has none, or one that closes no answer with a special token.
    """
    source, name = tokenizer.chat_template, getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
    if isinstance(source, Mapping):
        source = source.get("default")
    if not source:
        hint = "choose a chat-tuned model's tokenizer, or another template, such as deepspeed-visualchat"
        raise StreamError(f"tokenizer {name} has no chat template", hint)
    special = sorted((key, str(value)) for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str))
    tokens = tuple(special)
    made = ChatTemplate(source, tokens, system, _takes_system(source, tokens), _trims(source, tokens))
    return replace(made, end=_find_end(made, tokenizer, name))


def find_template(name: str, tokenizer: Any) -> "Template | ChatTemplate":
    """Return the template of a name; ``chat`` is the tokenizer's own.

    Raises:
        StreamError: There is no such template, or the tokenizer has no chat template.
    """
    if name == CHAT:
        return make_chat_template(tokenizer)
    if name not in TEMPLATES:
        raise StreamError(f"there is no template {name}", f"choose one of {', '.join((*TEMPLATES, CHAT))}")
    return TEMPLATES[name]


def _trimmed(text: str, ends: str) -> str:
    text = text.lstrip() if "l" in ends else text
    return text.rstrip() if "r" in ends else text


def _render(
    source: str, tokens: tuple[tuple[str, str], ...], system: str | None, messages: Sequence[tuple[str, str]]
) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    said = [{"role": role, "content": text} for role, text in messages]
    first = [] if system is None else [{"role": "system", "content": system}]
    settings: dict[str, Any] = {**dict(tokens), **_SETTINGS}
    rendered: Any = render_jinja_template([first + said], chat_template=source, **settings)
    return str(rendered[0][0])


@lru_cache(maxsize=64)
def _takes_system(source: str, tokens: tuple[tuple[str, str], ...]) -> bool:
    import jinja2

    mark = "\ufdd1\ufdd2"
    try:
        return mark in _render(source, tokens, mark, [("user", "a"), ("assistant", "b")])
    except jinja2.TemplateError:
        return False


@lru_cache(maxsize=256)
def _takes_systems(source: str, tokens: tuple[tuple[str, str], ...], systems: tuple[int, ...], num_turns: int) -> bool:
    """Tell whether a template shows system messages before later turns, once and where they stand."""
    import jinja2

    try:
        _structure(source, tokens, None, num_turns, systems)
    except (jinja2.TemplateError, StreamError):
        return False
    return True


def _trims(source: str, tokens: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """Find which ends of questions and answers a template trims."""
    messages = [("user", " \n \ufdd10\ufdd2 \n "), ("assistant", " \n \ufdd11\ufdd2 \n ")]
    rendered = _render(source, tokens, None, messages)

    def of(place: int) -> str:
        text = f"\ufdd1{place}\ufdd2"
        left = "" if f" \n {text}" in rendered else "l"
        return left + ("" if f"{text} \n " in rendered else "r")

    return of(0), of(1)


def _find_end(template: ChatTemplate, tokenizer: Any, name: str) -> str:
    """Return the first special token behind an answer."""
    after = template._structure(1)[-1]
    special = {str(token) for token in tokenizer.all_special_tokens}
    special |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    found = [token for token in special if token in after]
    if not found:
        raise StreamError(
            f"the chat template of tokenizer {name} closes no answer with a special token: {after!r}",
            _OTHER,
        )
    return min(found, key=lambda token: (after.index(token), -len(token)))
