"""A tokenizer's own chat template, for language models that were tuned to chat.

What a template writes around the texts (roles, turns, end tokens) is found by rendering a conversation of placeholders
and splitting the result at them, so nothing here depends on a model's format. Texts are trimmed before where the
template trims them. The pieces between depend on the number of turns alone, and are rendered once per number.

Special tokens count in this structure only (:class:`~blender.encoding.marked_text.TemplateSpan`); the same characters
in a stranger's text stay text. Every answer is trained, up to and including the first special token behind it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from blender.core.errors import StreamError
from blender.data.sample import Span, Turn
from blender.data.template import CHAT, IMAGE, TEMPLATES, Template
from blender.encoding.marked_text import TemplateSpan

SYSTEM = "You are a powerful vision-language assistant."

#: placeholder of the text of message n: a number between noncharacters of Unicode
_PLACEHOLDER = re.compile("\ufdd1(\\d+)\ufdd2")
#: placeholder of the system text
_SYSTEM_PLACEHOLDER = "\ufdd3"
_OTHER = "use another template, such as deepspeed-visualchat"
#: variables of some templates, the same on every day and for every sample
_SETTINGS = {"date_string": "26 Jul 2024", "enable_thinking": False}


@dataclass(frozen=True)
class ChatTemplate:
    """Renders conversations as a tokenizer's chat template does. Plain data; made by :func:`make_chat_template`."""

    #: the template itself, in Jinja
    source: str
    #: ``bos_token`` and the like
    special_tokens: tuple[tuple[str, str], ...]
    #: shown once, before everything else
    system: str
    #: whether the template has system messages; else the text is written before the first question
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
        """A regular expression of what no text may contain, besides ``<image>``: empty, as texts make no structure."""
        return ""

    def neutralise(self, text: str) -> str:
        """Break every ``<image>`` inside a text by a space behind its first character."""
        return _PLAIN.neutralise(text)

    def render(self, turns: Sequence[Turn]) -> list[Span]:
        """Render a conversation; the first turn's own system text replaces the template's.

        Args:
            turns: The rounds in order; together they show images 1..n, each once.

        Returns:
            Structure, text, structure, text, …; the last one is structure.
        """
        own = turns[0].system if turns else ""
        return (self.with_system(own) if own else self)._rendered(turns)

    def _rendered(self, turns: Sequence[Turn]) -> list[Span]:
        systems = self._system_messages(turns)
        pieces = iter(self._structure(len(turns), systems))
        before, shown, after = next(pieces).partition(_SYSTEM_PLACEHOLDER)
        spans: list[Span] = [TemplateSpan(before, train=False)]
        if shown:
            spans += [Span(self.neutralise(self.system.strip()), train=False), TemplateSpan(after, train=False)]
        for number, turn in enumerate(turns):
            if number in systems:
                instruction = Span(self.neutralise(turn.system.strip()), train=False)
                spans += [instruction, TemplateSpan(next(pieces), train=False)]
            question = _trimmed(self._instruction(turn, number, systems) + self._ask(turn), self.trims[0])
            answer = _trimmed(self.neutralise(turn.answer), self.trims[1])
            spans += [Span(question, train=False), TemplateSpan(next(pieces), train=False)]
            spans += [Span(answer, train=True), TemplateSpan(next(pieces), train=False)]
        return spans

    def render_prompt(self, turns: Sequence[Turn]) -> list[Span]:
        """Render a conversation up to where the last answer begins, whatever that answer is."""
        return self.render(turns)[:-2]

    def with_system(self, text: str) -> "ChatTemplate":
        """Return the template with another system text; without one for an empty text."""
        return replace(self, system=text, system_message=bool(text) and _takes_system(self.source, self.special_tokens))

    def _ask(self, turn: Turn) -> str:
        shown = "".join(self.image.replace("{number}", str(number)) for number in turn.images)
        return shown + self.neutralise(turn.question)

    def _instruction(self, turn: Turn, number: int, systems: Sequence[int]) -> str:
        """Return the system text at the beginning of a turn's question, where it cannot be a message."""
        is_message = number in systems if number else self.system_message
        text = "" if is_message else turn.system if number else self.system
        return f"{self.neutralise(text.strip())}\n\n" if text.strip() else ""

    def _system_messages(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        """List the turns after the first that have a system message before them; all that need one, or none."""
        wanted = tuple(number for number, turn in enumerate(turns) if number and turn.system)
        if not wanted or not _takes_systems(self.source, self.special_tokens, wanted, len(turns)):
            return ()
        return wanted

    def _structure(self, num_turns: int, systems: tuple[int, ...] = ()) -> tuple[str, ...]:
        first = _SYSTEM_PLACEHOLDER if self.system_message else None
        return _structure(self.source, self.special_tokens, first, num_turns, systems)


@lru_cache(maxsize=256)
def _structure(
    source: str,
    special_tokens: tuple[tuple[str, str], ...],
    system: str | None,
    num_turns: int,
    systems: tuple[int, ...] = (),
) -> tuple[str, ...]:
    """Return the pieces of text before, between and after the texts of a number of turns.

    Args:
        source: The template.
        special_tokens: ``bos_token`` and the like.
        system: Placeholder of the first system message; None for no such message.
        num_turns: Number of turns.
        systems: Turns with a system message before them, besides the first one.
    """
    roles = [role for turn in range(num_turns) for role in (*["system"] * (turn in systems), "user", "assistant")]
    messages = [(role, f"\ufdd1{number}\ufdd2") for number, role in enumerate(roles)]
    parts = _PLACEHOLDER.split(_render(source, special_tokens, system, messages))
    if parts[1::2] != [str(number) for number in range(len(messages))]:
        raise StreamError("the tokenizer's chat template does not show every message once and in order", _OTHER)
    if system is not None and parts[0].count(_SYSTEM_PLACEHOLDER) != 1:
        raise StreamError("the tokenizer's chat template does not show the system text once and first", _OTHER)
    return tuple(parts[0::2])


_PLAIN = Template(name="", system="", image=IMAGE, question="", answer="", end="")


def make_chat_template(tokenizer: Any, system: str = SYSTEM) -> ChatTemplate:
    """Take the chat template out of a Hugging Face tokenizer.

    Args:
        tokenizer: A tokenizer with ``chat_template``.
        system: The system text.

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
    template = ChatTemplate(source, tokens, system, _takes_system(source, tokens), _trims(source, tokens))
    return replace(template, end=_find_end(template, tokenizer, name))


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

    rest = [{"role": role, "content": text} for role, text in messages]
    first = [] if system is None else [{"role": "system", "content": system}]
    settings: dict[str, Any] = {**dict(tokens), **_SETTINGS}
    rendered: Any = render_jinja_template([first + rest], chat_template=source, **settings)
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
    """Return whether a template shows system messages of later turns, once each and in order."""
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

    def trims_of(message: int) -> str:
        text = f"\ufdd1{message}\ufdd2"
        left = "" if f" \n {text}" in rendered else "l"
        return left + ("" if f"{text} \n " in rendered else "r")

    return trims_of(0), trims_of(1)


def _find_end(template: ChatTemplate, tokenizer: Any, name: str) -> str:
    """Return the first special token after an answer."""
    after = template._structure(1)[-1]
    special = {str(token) for token in tokenizer.all_special_tokens}
    special |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    ends = [token for token in special if token in after]
    if not ends:
        raise StreamError(
            f"the chat template of tokenizer {name} closes no answer with a special token: {after!r}",
            _OTHER,
        )
    return min(ends, key=lambda token: (after.index(token), -len(token)))
