"""Turn one stored sample into tensors.

What cannot be trained on comes back as :class:`Dropped`, with a reason for counting and a sentence for reading; a
sample never raises. Text comes first: images of turns that do not fit are never decoded. Everything that encoding
depends on is in the :class:`Encoder`, which is plain data: equal encoders give equal tensors in any process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from blender.data.sample import Sample
from blender.data.template import IMAGE, Template
from blender.encoding.chat import ChatTemplate
from blender.encoding.encoded import EncodedText, UnusableTextError
from blender.encoding.encoder import TextEncoder
from blender.encoding.image_processor import PixelSpec
from blender.shards.read import StoredSample
from blender.stream.pixels import stack_images
from blender.stream.sample_text import SampleTextEncoder


@dataclass(frozen=True)
class Encoder:
    """Everything that the tensors of a sample depend on, besides the sample."""

    text: TextEncoder
    pixels: PixelSpec
    #: positions that a sample may take, image positions and end tokens counted; None for no limit
    max_tokens: int | None = None
    #: what the turns are rendered with; None for the spans as they were written
    template: Template | ChatTemplate | None = None
    #: decode JPEGs at reduced size where that leaves enough pixels
    draft: bool = False

    @property
    def sample_text(self) -> SampleTextEncoder:
        """The part that encodes texts."""
        return SampleTextEncoder(self.text, self.template)


@dataclass(frozen=True)
class Encoded:
    """A sample as tensors."""

    key: str
    #: the blend entry that made it
    dataset: str
    #: (T,) int32; at image positions the encoder's ``image_id``
    input_ids: torch.Tensor
    #: (T,) bool; answers and their end tokens
    loss_mask: torch.Tensor
    #: (T,) int16; which image of ``pixels`` has its features here; -1 for text
    image_index: torch.Tensor
    #: (I, C, H, W) uint8, in the order shown; I is 0 for text alone
    pixels: torch.Tensor
    #: turns that did not fit
    num_turns_dropped: int = 0
    #: what the stream wants to know again when the loss is reported
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_tokens(self) -> int:
        """Positions, image positions included."""
        return len(self.input_ids)


@dataclass(frozen=True)
class Dropped:
    """A sample that is not trained on."""

    key: str
    dataset: str
    #: a word for counting: ``too_long``, ``no_answer``, ``image_count``, ``damaged_image``, ``special_token``,
    #: ``reserved_character``
    reason: str
    #: a sentence for reading
    detail: str


def encode_sample(stored: StoredSample, encoder: Encoder, tags: Mapping[str, str] | None = None) -> Encoded | Dropped:
    """Encode one sample.

    Args:
        stored: The sample and the bytes of its images.
        encoder: What to encode with.
        tags: Handed through.
    """
    sample = stored.sample
    text = _encode_text(sample, len(stored.images), encoder)
    if isinstance(text, Dropped):
        return text
    try:
        pixels = stack_images(stored.images[: text.num_images], encoder.pixels, draft=encoder.draft)
    except OSError as error:
        return Dropped(sample.key, sample.dataset, "damaged_image", str(error))
    return Encoded(
        key=sample.key,
        dataset=sample.dataset,
        input_ids=torch.from_numpy(text.input_ids),
        loss_mask=torch.from_numpy(text.loss_mask),
        image_index=torch.from_numpy(text.image_index),
        pixels=pixels,
        num_turns_dropped=text.num_turns_dropped,
        tags=tags or {},
    )


def count_tokens(sample: Sample, encoder: Encoder) -> int | Dropped:
    """Count the positions that a sample takes once encoded; needs no image, and finds no damaged one."""
    text = _encode_text(sample, len(sample.images), encoder)
    return text if isinstance(text, Dropped) else len(text)


def _encode_text(sample: Sample, num_images: int, encoder: Encoder) -> EncodedText | Dropped:
    texts = encoder.sample_text
    spans = texts.spans(sample)
    num_places = sum(span.text.count(IMAGE) for span in spans if not span.train)
    if num_places != num_images:
        detail = f"the text shows {num_places} images, and {num_images} are stored"
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
