"""The one place where a conversation becomes text.

Writer, preview, trainer, chat and evaluation all render through here, so that what is trained is what is asked. A
rendering is a list of spans, each trained or not; the trained spans are the answers, word for word, and nothing else.
``<image>`` marks where image features go and appears in untrained spans only, once per image. The end token that
closes each answer belongs to a tokenizer and is added when a sample is encoded, after each trained span.

Texts come from strangers and may contain the template's own markers, which must not be read as structure: a space is
inserted after the first character of every marker inside a text (``<image>`` becomes ``< image>``,
``### Answer:`` becomes ``# ## Answer:``). The texts themselves (``turns`` of a sample) stay untouched.

A new template is one more entry of :data:`TEMPLATES`. The tokenizer's own chat template (``chat``) needs a tokenizer:
:mod:`blender.encoding.chat` renders it, from the same turns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from blender.data.sample import Span, Turn

#: marks in a text where the features of an image go
IMAGE = "<image>"


@dataclass(frozen=True)
class Template:
    """The texts around images, questions and answers.

    ``image`` holds ``{number}`` and ``<image>``; ``question`` holds ``{question}``.
    """

    name: str
    #: rendered once, before the first turn
    system: str
    #: before each question, once per newly shown image
    image: str
    question: str
    #: right before the answer; generation begins after it
    answer: str
    #: after each answer and its end token
    end: str
    #: what a text must never contain, besides ``<image>``: a regular expression
    markers: str = ""

    @cached_property
    def _forbidden(self) -> re.Pattern[str]:
        return re.compile("|".join(filter(None, [re.escape(IMAGE), self.markers])))

    def neutralise(self, text: str) -> str:
        """Break every marker of this template inside a text by a space behind its first character."""
        while self._forbidden.search(text):
            text = self._forbidden.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
        return text

    def ask(self, images: Sequence[int], question: str) -> str:
        """Render newly shown images and a question, up to where the answer begins."""
        # replaced, not formatted: a question may hold braces
        shown = "".join(self.image.replace("{number}", str(number)) for number in images)
        return shown + self.question.replace("{question}", self.neutralise(question)) + self.answer

    def render(self, turns: Sequence[Turn]) -> list[Span]:
        """Render a conversation; the first turn's own system text replaces the template's.

        Args:
            turns: The turns in order; together they show images 1..n, each once.

        Returns:
            Spans whose concatenation is the whole text: untrained and trained ones in turn.
        """
        spans, before = [], self.system
        for number, turn in enumerate(turns):
            if turn.system:
                before = (before if number else "") + self._instruction(turn.system)
            spans.append(Span(before + self.ask(turn.images, turn.question), train=False))
            spans.append(Span(self.neutralise(turn.answer), train=True))
            before = self.end
        return spans

    def render_prompt(self, turns: Sequence[Turn]) -> list[Span]:
        """Render a conversation up to where the last answer begins, whatever that answer is."""
        return self.render(turns)[:-1]

    def with_system(self, text: str) -> "Template":
        """Return the template with other words before the first turn; none at all for an empty text."""
        return replace(self, system=self._instruction(text) if text else "")

    def _instruction(self, text: str) -> str:
        return f"{self.neutralise(text)}\n\n"


_PAPER_MARKERS = r"###\s*(?:Image\s*\d+|Question|Answer)\s*:"

#: name, in training recipes and commands, of the tokenizer's own chat template
CHAT = "chat"

#: every template by name
TEMPLATES: dict[str, Template] = {
    template.name: template
    for template in (
        # arXiv 2309.14327, section 3.2
        Template(
            name="deepspeed-visualchat",
            system="You are a powerful vision-language assistant.\n\n",
            image="### Image {number}: <image>\n",
            question="### Question: {question}\n",
            answer="### Answer: ",
            end="\n\n",
            markers=_PAPER_MARKERS,
        ),
        # the released code's
        Template(
            name="deepspeed-visualchat-code",
            system=(
                "You are a helpful language and vision assistant. You are able to understand the visual content that "
                "the user provides, and assist the user with a variety of tasks using natural language.\n\n"
            ),
            image="### Image {number}:\n<image>\n\n",
            question="### Question:\n{question}\n\n",
            answer="### Answer:\n",
            end="\n\n",
            markers=_PAPER_MARKERS,
        ),
        # for base models and other people's trainers: images, question and answer on lines of their own
        Template(name="plain", system="", image="<image>\n", question="{question}\n", answer="", end="\n\n"),
    )
}
