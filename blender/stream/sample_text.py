"""The text of a sample as training gets it: rendered, encoded, and cut where a limit wants it. Knows no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from blender.data.sample import Sample, Span
from blender.data.template import Template
from blender.encoding.chat import ChatTemplate
from blender.encoding.encoded import EncodedText
from blender.encoding.encoder import TextEncoder


@dataclass(frozen=True)
class SampleTextEncoder:
    """Encodes the text of samples; equal ones give equal tokens."""

    text: TextEncoder
    #: what the turns are rendered with; None for the spans as they were written
    template: Template | ChatTemplate | None = None

    def spans(self, sample: Sample) -> Sequence[Span]:
        """Return the rendered conversation."""
        return self.template.render(sample.turns) if self.template else sample.spans

    def encode(self, sample: Sample) -> EncodedText:
        """Encode a sample's text, all turns of it.

        Raises:
            UnusableTextError: It cannot be tokenised safely.
        """
        return self.text.encode(self.spans(sample))

    def fit(self, sample: Sample, whole: EncodedText, max_tokens: int | None) -> EncodedText:
        """Drop turns from the end until the rest fits; nothing may be left.

        Args:
            sample: The sample.
            whole: All of it, as :meth:`encode` gave it.
            max_tokens: Positions that it may take; None for no limit.
        """
        kept = whole.keep_turns(max_tokens)
        if not kept.num_turns_dropped or not isinstance(self.template, ChatTemplate):
            return kept
        # some chat templates write the last turn in another way than those before
        for count in range(len(kept.turn_ends), 0, -1):
            fewer = self.text.encode(self.template.render(sample.turns[:count])).keep_turns(max_tokens)
            if not fewer.num_turns_dropped:
                return replace(fewer, num_turns_dropped=len(sample.turns) - count)
        return whole.keep_turns(0)
