"""From shards to batches: stream a blend, or a mixture of blends, into a training loop.

::

    from blender.stream import LoaderSettings, StreamLoader, load_encoder, open_mixture

    mixture = open_mixture({"mine": "blends/mine", "theirs": {"blend": "s3://bucket/blend", "repeat": 2.5}})
    encoder, collator, tokenizer = load_encoder("./llama", "./clip", max_tokens=4096)
    loader = StreamLoader(mixture, encoder, collator, LoaderSettings(batch_size=128, pack=True, workers=8))
    for batch in loader:  # one epoch of this rank; loader.state_dict() at any time
        ...

Names are imported when they are first used, so that parts without torch can be used without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blender.stream.collate import IGNORED, Batch, Collator
    from blender.stream.encode import Dropped, EncodedSample, Encoder, count_tokens, encode_sample
    from blender.stream.loader import Loader, LoaderSettings, StreamLoader
    from blender.stream.mixture import Component, Mixture, MixtureGroup, mix
    from blender.stream.models import load_encoder, load_text_encoder
    from blender.stream.opening import OpenMixture, open_mixture
    from blender.stream.packing import PackedRows, pack_rows
    from blender.stream.pixels import decode_image, normalise
    from blender.stream.reader import ReaderSettings
    from blender.stream.remote import Retries
    from blender.stream.report import StreamReport, measure
    from blender.stream.sampler import START, BatchSampler, PackedBatchSampler, StreamPosition
    from blender.stream.sequence import SampleReference, SampleSequence
    from blender.stream.skip import SkipPolicy
    from blender.stream.stored import StoredBatch, StoredLoader

_MODULES = {
    "collate": ("IGNORED", "Batch", "Collator"),
    "encode": ("Dropped", "EncodedSample", "Encoder", "count_tokens", "encode_sample"),
    "loader": ("Loader", "LoaderSettings", "StreamLoader"),
    "mixture": ("Component", "Mixture", "MixtureGroup", "mix"),
    "models": ("load_encoder", "load_text_encoder"),
    "opening": ("OpenMixture", "open_mixture"),
    "packing": ("PackedRows", "pack_rows"),
    "pixels": ("decode_image", "normalise"),
    "reader": ("ReaderSettings",),
    "remote": ("Retries",),
    "report": ("StreamReport", "measure"),
    "sampler": ("START", "BatchSampler", "PackedBatchSampler", "StreamPosition"),
    "sequence": ("SampleReference", "SampleSequence"),
    "skip": ("SkipPolicy",),
    "stored": ("StoredBatch", "StoredLoader"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "IGNORED",
    "START",
    "Batch",
    "BatchSampler",
    "Collator",
    "Component",
    "Dropped",
    "EncodedSample",
    "Encoder",
    "Loader",
    "LoaderSettings",
    "Mixture",
    "MixtureGroup",
    "OpenMixture",
    "PackedBatchSampler",
    "PackedRows",
    "ReaderSettings",
    "Retries",
    "SampleReference",
    "SampleSequence",
    "SkipPolicy",
    "StoredBatch",
    "StoredLoader",
    "StreamLoader",
    "StreamPosition",
    "StreamReport",
    "count_tokens",
    "decode_image",
    "encode_sample",
    "load_encoder",
    "load_text_encoder",
    "measure",
    "mix",
    "normalise",
    "open_mixture",
    "pack_rows",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'blender.stream' has no attribute {name!r}")
    return getattr(import_module(f"blender.stream.{_MODULE_OF[name]}"), name)
