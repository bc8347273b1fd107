"""Encode one stored sample: tokens, loss mask, image index and pixels.

A sample that cannot be trained on becomes :class:`Dropped`, with a reason for counting and a sentence for people. The
text is encoded first: images of turns that do not fit are never decoded. Everything that the result depends on, besides
the sample, is in the :class:`Encoder`, which is plain data: equal encoders give equal results in any process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from blender.core.counting import counted
from blender.data.sample import Sample
from blender.data.template import IMAGE, Template
from blender.encoding.chat import ChatTemplate
from blender.encoding.encoded import EncodedText, UnusableTextError
from blender.encoding.encoder import TextEncoder
from blender.encoding.image_processor import PixelSpec
from blender.shards.unpack import StoredSample
from blender.stream.pixels import stack_images
from blender.stream.sample_text import SampleTextEncoder


@dataclass(frozen=True)
class Encoder:
    """Everything that the encoding of a sample depends on, besides the sample. Made by :func:`load_encoder`."""

    text: TextEncoder
    pixels: PixelSpec
    #: most positions of a sample, image positions and end tokens included; None for no limit
    max_tokens: int | None = None
    #: renders the turns anew; None keeps the spans as they were written
    template: Template | ChatTemplate | None = None
    #: decode JPEGs at reduced size where that leaves enough pixels
    draft: bool = False

    @property
    def sample_text(self) -> SampleTextEncoder:
        """The part of it that encodes text."""
        return SampleTextEncoder(self.text, self.template)


@dataclass(frozen=True)
class EncodedSample:
    """A sample as the collator takes it: encoded text and decoded images."""

    key: str
    #: the blend entry that made it
    dataset: str
    #: T positions; ``text.image_index`` refers to ``pixels``
    text: EncodedText
    #: (I, C, H, W) uint8, in the order shown; I is 0 for text alone
    pixels: torch.Tensor
    #: reported with the loss: ``blend`` is the path of the sample's component in the mixture
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """Positions, image positions included."""
        return len(self.text)


@dataclass(frozen=True)
class Dropped:
    """A sample that is not trained on."""

    key: str
    dataset: str
    #: ``too_long``, ``no_answer``, ``image_count``, ``damaged_image``, ``special_token`` or ``reserved_character``
    reason: str
    #: a sentence for people
    detail: str


def encode_sample(
    stored: StoredSample, encoder: Encoder, tags: Mapping[str, str] | None = None
) -> EncodedSample | Dropped:
    """Encode one sample; never raises for what is wrong with it.

    Args:
        stored: The sample and the bytes of its images.
        encoder: What to encode with.
        tags: Kept in the result.
    """
    sample = stored.sample
    text = _encode_text(sample, len(stored.images), encoder)
    if isinstance(text, Dropped):
        return text
    try:
        pixels = stack_images(stored.images[: text.num_images], encoder.pixels, draft=encoder.draft)
    except OSError as error:
        return Dropped(sample.key, sample.dataset, "damaged_image", str(error))
    return EncodedSample(sample.key, sample.dataset, text, pixels, tags or {})


def count_tokens(sample: Sample, encoder: Encoder) -> int | Dropped:
    """Count the positions that a sample takes once encoded; reads no image, and so finds no damaged one."""
    text = _encode_text(sample, len(sample.images), encoder)
    return text if isinstance(text, Dropped) else len(text)


def _encode_text(sample: Sample, num_images: int, encoder: Encoder) -> EncodedText | Dropped:
    texts = encoder.sample_text
    spans = texts.spans(sample)
    num_shown = sum(span.text.count(IMAGE) for span in spans if not span.train)
    if num_shown != num_images:
        detail = f"the text shows {counted(num_shown, 'image')}, not the {num_images} stored"
        return Dropped(sample.key, sample.dataset, "image_count", detail)
    try:
        whole = encoder.text.encode(spans)
    except UnusableTextError as error:
        return Dropped(sample.key, sample.dataset, error.reason, error.detail)
    if not whole.turn_ends:
        return Dropped(sample.key, sample.dataset, "no_answer", "no span of the text is trained")
    kept = texts.fit(sample, whole, encoder.max_tokens)
    if not len(kept):
        detail = f"the first turn takes {whole.turn_ends[0]} positions, and {encoder.max_tokens} are allowed"
        return Dropped(sample.key, sample.dataset, "too_long", detail)
    return kept
