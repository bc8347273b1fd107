"""Load what encoding needs of a model, without weights: its tokenizer, and its vision encoder's image settings."""

from pathlib import Path
from typing import Any

from blender.core.errors import StreamError
from blender.core.hub import load_named
from blender.data.template import Template
from blender.encoding.chat import ChatTemplate, find_template
from blender.encoding.encoder import make_text_encoder
from blender.encoding.image_processor import PixelSpec, checked_pixel_spec, load_image_processor
from blender.encoding.patches import num_patches
from blender.stream.collate import Collator
from blender.stream.encode import Encoder
from blender.stream.sample_text import SampleTextEncoder


def load_encoder(
    tokenizer: str | Path,
    vision: str | Path,
    *,
    image_positions: int | None = None,
    max_tokens: int | None = None,
    template: Template | ChatTemplate | str | None = None,
    draft: bool = False,
) -> tuple[Encoder, Collator, Any]:
    """Load a tokenizer and an image processor by name or folder.

    Args:
        tokenizer: Name or folder of a language model, or of its tokenizer.
        vision: Name or folder of a vision encoder, with its image processor's settings.
        image_positions: Positions of an image; by default one per patch of the vision encoder, without a class token.
        max_tokens: Most positions of a sample, or of a packed row; None for no limit.
        template: Renders the turns anew: a template or its name, ``chat`` for the tokenizer's own; None keeps the spans
            as they were written.
        draft: Decode JPEGs at reduced size.

    Returns:
        Encoder, collator, and the tokenizer.

    Raises:
        StreamError: One of them cannot be loaded, or there is no such template.
    """
    pixels = load_pixels(vision)
    texts, loaded = load_text_encoder(tokenizer, image_positions or _count_patches(vision, pixels), template=template)
    encoder = Encoder(texts.text, pixels, max_tokens, texts.template, draft)
    pad = loaded.pad_token_id if loaded.pad_token_id is not None else loaded.eos_token_id
    return encoder, Collator(pad, pixels.shape, length=None), loaded


def load_text_encoder(
    tokenizer: str | Path,
    image_positions: int | None = None,
    *,
    vision: str | Path | None = None,
    template: Template | ChatTemplate | str | None = None,
) -> tuple[SampleTextEncoder, Any]:
    """Load the part of :func:`load_encoder` that encodes texts.

    Args:
        tokenizer: Name or folder of a language model, or of its tokenizer.
        image_positions: Positions of an image; required without ``vision``.
        vision: Name or folder of the vision encoder, from which they are computed.
        template: As for :func:`load_encoder`.

    Returns:
        The encoder, and the tokenizer.

    Raises:
        StreamError: One of them cannot be loaded, or there is no such template.
    """
    from transformers import AutoTokenizer

    loaded: Any = load_named("tokenizer", tokenizer, AutoTokenizer.from_pretrained, StreamError)
    if image_positions is None:
        if vision is None:
            raise StreamError("it is not known how many positions an image takes", "name the vision tower, or say it")
        image_positions = _count_patches(vision, load_pixels(vision))
    rendering = find_template(template, loaded) if isinstance(template, str) else template
    return SampleTextEncoder(make_text_encoder(loaded, image_positions), rendering), loaded


def load_pixels(vision: str | Path) -> PixelSpec:
    """Load the image settings of a vision encoder.

    Args:
        vision: Name or folder of the vision encoder.

    Raises:
        StreamError: It cannot be loaded, or does something that is not supported.
    """
    return checked_pixel_spec(load_image_processor(vision))


def _count_patches(vision: str | Path, pixels: PixelSpec) -> int:
    from transformers import AutoConfig

    config: Any = load_named("vision tower", vision, AutoConfig.from_pretrained, StreamError)
    config = getattr(config, "vision_config", config)
    return num_patches(config, pixels.height, pixels.width, StreamError)
