"""Source readers: one per published format, found by name in :data:`SOURCES`.

A reader takes the :class:`~blender.data.sources.annotations.Annotations` of one file and yields every record of it
exactly once, either inside a :class:`~blender.data.records.Conversation` or as a :class:`~blender.data.records.Skip`
with its reason; the readers of the largest files yield batches of columns (:class:`~blender.data.records.RecordBatch`).
Readers only read: they use no tokenizer, draw nothing at random, write nothing and open no image. docs/formats.md says
what each one reads, docs/architecture.md how to add one.
"""

import difflib
from collections.abc import Callable, Iterator
from itertools import chain, islice

from blender.core.errors import SourceError
from blender.data.records import BATCH_SIZE, Conversation, RecordBatch, Skip
from blender.data.sources.annotations import Annotations, open_annotations
from blender.data.sources.aokvqa import read_aokvqa
from blender.data.sources.coco_caption import read_coco_caption
from blender.data.sources.llava import read_llava
from blender.data.sources.mimicit import read_mimicit
from blender.data.sources.minigpt4 import read_minigpt4
from blender.data.sources.ocr_vqa import read_ocr_vqa
from blender.data.sources.options import DEFAULTS, ReadOptions
from blender.data.sources.sparkles import read_sparkles

__all__ = ["SOURCES", "Annotations", "ReadOptions", "Reader", "open_source_file", "read_batches", "read_file"]

Reader = Callable[[Annotations], Iterator[RecordBatch]]


def _batched(reader: Callable[[Annotations], Iterator[Conversation | Skip]]) -> Reader:
    def read(annotations: Annotations) -> Iterator[RecordBatch]:
        items = reader(annotations)
        while batch := list(islice(items, BATCH_SIZE)):
            yield RecordBatch.of(batch)

    return read


SOURCES: dict[str, Reader] = {
    "llava": read_llava,
    "mimicit": read_mimicit,
    "sparkles": _batched(read_sparkles),
    "minigpt4": _batched(read_minigpt4),
    "aokvqa": _batched(read_aokvqa),
    "coco_caption": _batched(read_coco_caption),
    "ocr_vqa": _batched(read_ocr_vqa),
}


def read_file(format: str, path: str, options: ReadOptions = DEFAULTS) -> Iterator[Conversation | Skip]:
    """Read one annotation file.

    The file is opened at once. Its records are decoded while iterating, so that an error in a record is raised when it
    is reached.

    Args:
        format: A key of :data:`SOURCES`.
        path: Local path or fsspec URL; may be packed with gzip or zstd.
        options: How to read where the recipe has a choice.

    Raises:
        SourceError: The format is unknown, or the file cannot be read as that format.
    """
    return chain.from_iterable(batch.items() for batch in read_batches(open_source_file(format, path, options)))


def open_source_file(format: str, path: str, options: ReadOptions = DEFAULTS) -> Annotations:
    """Read the bytes of an annotation file.

    Args:
        format: A key of :data:`SOURCES`.
        path: Local path or fsspec URL; may be packed with gzip or zstd.
        options: How to read where the recipe has a choice.

    Raises:
        SourceError: The format is unknown, or the file cannot be read.
    """
    if format not in SOURCES:
        close = difflib.get_close_matches(format, SOURCES, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known formats: {', '.join(SOURCES)}"
        raise SourceError(f'unknown source format "{format}" for {path}', hint)
    return open_annotations(path, format, options)


def read_batches(annotations: Annotations) -> Iterator[RecordBatch]:
    """Read an annotation file as :func:`read_file` does, some thousands of items at a time.

    Raises:
        SourceError: The file cannot be read as its format.
    """
    return SOURCES[annotations.format](annotations)
