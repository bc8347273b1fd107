"""What every contestant does with a sample to train on it: the same functions of ours, called by whoever read it.

``own`` decodes as the stream does, ``draft`` at reduced scale, and ``pillow`` with Pillow alone, step by step as a
Hugging Face processor does: decode, convert, resize the whole picture, crop.
"""

import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from blender.data.sample import Sample
from blender.encoding.encoder import make_text_encoder
from blender.encoding.image_processor import read_pixel_spec
from blender.shards.unpack import StoredSample
from blender.stream.collate import Batch, Collator
from blender.stream.encode import EncodedSample, Encoder, encode_sample
from blender.stream.pixels import decode_image

BATCH = 16
_SAVED = "encoder.pickle"
_EDGE, _POSITIONS, _MAX_TOKENS = 224, 256, 2048
_decode = msgspec.json.Decoder(Sample).decode

#: text and image of a sample, as bytes
Raw = tuple[bytes, bytes]


def make_tokenizer(texts: Sequence[str]) -> Any:
    """Train a byte-level tokenizer on texts; none is shipped with the benchmarks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4_000, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def clip_processor() -> Any:
    """Make the Hugging Face processor of CLIP, the one that computes with Pillow."""
    from transformers import CLIPImageProcessorPil

    return CLIPImageProcessorPil()


def save(root: Path, texts: Sequence[str]) -> None:
    """Write down encoder and collator, so that the processes of the contestants need no transformers."""
    text = make_text_encoder(make_tokenizer(texts), _POSITIONS)
    spec = read_pixel_spec(clip_processor())
    made = Encoder(text, spec, _MAX_TOKENS), Collator(text.image_id, spec.shape)
    (root / _SAVED).write_bytes(pickle.dumps(made))


def load(root: Path, draft: bool = False) -> tuple[Encoder, Collator]:
    """Load encoder and collator."""
    encoder, collator = pickle.loads((root / _SAVED).read_bytes())
    return replace(encoder, draft=draft), collator


def functions(
    root: Path, mode: str
) -> tuple[Callable[[Raw], EncodedSample], Callable[[Sequence[EncodedSample]], Batch]]:
    """Return what makes tensors of a sample, and what makes a batch of them."""
    encoder, collator = load(root, draft=mode == "draft")
    encode = _encode_with_pillow if mode == "pillow" else _encode
    return partial(encode, encoder), partial(_collate, collator)


def _encode(encoder: Encoder, raw: Raw) -> EncodedSample:
    text, image = raw
    made = encode_sample(StoredSample(_decode(text), (image,), "train", ""), encoder)
    assert isinstance(made, EncodedSample)
    return made


def _encode_with_pillow(encoder: Encoder, raw: Raw) -> EncodedSample:
    content, image = raw
    sample = _decode(content)
    text = encoder.text.encode(sample.spans).keep_turns(encoder.max_tokens)
    pixels = torch.from_numpy(pillow_pixels(image)[None])
    return EncodedSample(sample.key, sample.dataset, text, pixels)


def pillow_pixels(content: bytes) -> NDArray[np.uint8]:
    """Decode, resize and crop with Pillow alone: (C, H, W)."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    scale = _EDGE / min(width, height)
    image = image.resize((int(width * scale), int(height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - _EDGE) // 2, (image.height - _EDGE) // 2
    return np.array(image.crop((left, top, left + _EDGE, top + _EDGE))).transpose(2, 0, 1)


def _collate(collator: Collator, samples: Sequence[EncodedSample]) -> Batch:
    return collator([[sample] for sample in samples])


def pixel_errors(images: Sequence[bytes]) -> dict[str, float]:
    """Compare with the processor's pixels: mean distance in steps of 1/255, by how images are decoded.

    Raises:
        AssertionError: Those of the exact modes are farther than one step from the processor's.
    """
    processor = clip_processor()
    spec = read_pixel_spec(processor)
    found: dict[str, list[float]] = {"own": [], "draft": [], "pillow": []}
    for content in images:
        picture = Image.open(io.BytesIO(content))
        given = processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
        made = {
            "own": decode_image(content, spec),
            "draft": decode_image(content, spec, draft=True),
            "pillow": pillow_pixels(content),
        }
        for mode, pixels in made.items():
            found[mode].append(float(np.abs(pixels.astype(np.float32) - given).mean()))
    errors = {mode: float(np.mean(each)) for mode, each in found.items()}
    assert max(errors["own"], errors["pillow"]) <= 1, errors
    return errors
