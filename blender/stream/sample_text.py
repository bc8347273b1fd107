"""Encode the text of a sample as it is trained: render its turns, tokenise them, and cut whole turns to a limit.

Needs no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from blender.data.sample import Sample, Span
from blender.data.template import Template
from blender.encoding.chat import ChatTemplate
from blender.encoding.encoded import EncodedText
from blender.encoding.encoder import TextEncoder


@dataclass(frozen=True)
class SampleTextEncoder:
    """Encodes the text of samples; equal encoders give equal tokens."""

    text: TextEncoder
    #: renders the turns anew; None keeps the spans as they were written
    template: Template | ChatTemplate | None = None

    def spans(self, sample: Sample) -> Sequence[Span]:
        """Return the rendered text of a sample."""
        return self.template.render(sample.turns) if self.template else sample.spans

    def encode(self, sample: Sample) -> EncodedText:
        """Encode all turns of a sample.

        Raises:
            UnusableTextError: The text cannot be tokenised safely.
        """
        return self.text.encode(self.spans(sample))

    def fit(self, sample: Sample, whole: EncodedText, max_tokens: int | None) -> EncodedText:
        """Drop turns from the end until the rest fits.

        Args:
            sample: The sample.
            whole: All its turns, from :meth:`encode`.
            max_tokens: Most positions of the result; None for no limit.

        Returns:
            The first turns; a text of length 0 if not even the first turn fits.
        """
        kept = whole.keep_turns(max_tokens)
        if not kept.num_turns_dropped or not isinstance(self.template, ChatTemplate):
            return kept
        # some chat templates render the last turn differently, so fewer turns must be rendered anew
        for count in range(len(kept.turn_ends), 0, -1):
            fewer = self.text.encode(self.template.render(sample.turns[:count])).keep_turns(max_tokens)
            if not fewer.num_turns_dropped:
                return replace(fewer, num_turns_dropped=len(sample.turns) - count)
        return whole.keep_turns(0)
