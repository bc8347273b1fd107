"""Stored samples made in memory, with real images painted with their numbers."""

import io
from functools import cache

from PIL import Image
from transformers import CLIPImageProcessorPil

from blender.data.sample import ImageRef, Sample, Turn
from blender.data.template import TEMPLATES
from blender.encoding.encoder import make_text_encoder
from blender.encoding.image_processor import read_pixel_spec
from blender.shards.unpack import StoredSample
from blender.stream.encode import Encoder
from tests.stream.tiny_tokenizers import tiny_tokenizer

#: a vision tower for tiny pictures
SPEC = read_pixel_spec(CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}))
#: positions of one image
IMAGE_POSITIONS = 5


def painted(number):
    """Return a JPEG in one shade that tells its number, from 0 to 24."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), (number * 10,) * 3).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def number_painted(pixels):
    """Return the number that an image (C, H, W) was painted with."""
    return round(pixels.float().mean().item() / 10)


def stored_sample(turns, key="train-000000000", first=0, dataset="llava", template="deepspeed-visualchat"):
    """Make a sample of (number of images, question, answer); images are painted from ``first`` on."""
    rounds, shown = [], 0
    for num_images, question, answer in turns:
        rounds.append(Turn(list(range(shown + 1, shown + num_images + 1)), question, answer, 0))
        shown += num_images
    images = [ImageRef("coco", f"{first + number}.jpg", 24, 20) for number in range(shown)]
    spans = TEMPLATES[template].render(rounds)
    sample = Sample(key, dataset, ["llava/a.json/1"], images, rounds, template, spans)
    return StoredSample(sample, tuple(painted(first + n) for n in range(shown)), "train", "train/train-000000.tar")


@cache
def tiny_encoder(kind="llama3", **options):
    return Encoder(make_text_encoder(tiny_tokenizer(kind), IMAGE_POSITIONS), SPEC, **options)
