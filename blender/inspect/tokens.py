"""A sample as a model gets it: every token, which of them are trained, and what a limit would cut off.

Only the text part of the stream is used, which knows no torch; the encoder comes ready-made from who calls.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from blender.data.sample import Sample
from blender.inspect.views import TokenPiece, TokensView

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from blender.encoding.encoded import EncodedText


class SampleEncoder(Protocol):
    """What is wanted of :class:`blender.stream.sample_text.SampleTextEncoder`."""

    def encode(self, sample: Sample) -> "EncodedText":
        """Encode a sample's text, all turns of it."""

    def fit(self, sample: Sample, whole: "EncodedText", max_tokens: int | None) -> "EncodedText":
        """Drop turns from the end until the rest fits."""


def tokens_view(sample: Sample, encoder: SampleEncoder, tokenizer: "Tokenizer", max_tokens: int | None) -> TokensView:
    """Encode a sample as the stream does.

    Args:
        sample: The sample.
        encoder: What to encode with.
        tokenizer: What tells the text of an id.
        max_tokens: Positions that a sample may take; None for no limit.
    """
    from blender.encoding.encoded import UnusableTextError

    try:
        whole = encoder.encode(sample)
    except UnusableTextError as error:
        return TokensView(0, 0, 0, max_tokens, 0, 0, 0, [], error.detail)
    kept = encoder.fit(sample, whole, max_tokens)
    fault = None
    if not whole.turn_ends:
        fault = "no span of the text is trained"
    elif not len(kept):
        fault = f"the first turn takes {whole.turn_ends[0]:,} positions, and {max_tokens:,} are allowed"
    return TokensView(
        positions=len(whole),
        image_positions=int((whole.image_index >= 0).sum()),
        trained=int(whole.loss_mask.sum()),
        max_tokens=max_tokens,
        kept_positions=len(kept),
        kept_turns=len(kept.turn_ends),
        kept_images=kept.num_images,
        pieces=list(_pieces(whole, tokenizer)),
        fault=fault,
    )


def _pieces(text: "EncodedText", tokenizer: "Tokenizer") -> Iterator[TokenPiece]:
    from tokenizers.decoders import DecodeStream

    runs = dict(text.image_runs())
    decoder = DecodeStream(skip_special_tokens=False)
    place = 0
    while place < len(text):
        trained = bool(text.loss_mask[place])
        if place in runs:
            yield TokenPiece("", trained, int(text.image_index[place]) + 1, runs[place])
            # what follows an image begins anew
            decoder = DecodeStream(skip_special_tokens=False)
            place += runs[place]
        else:
            # None: the first bytes of a character; the token that brings the last ones shows it
            yield TokenPiece(decoder.step(tokenizer, int(text.input_ids[place])) or "", trained)
            place += 1
