"""One sample as a person reads it: where it came from, its images, and the text with what is trained marked."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.text import Text

from blender.inspection.halfblocks import render_halfblocks
from blender.shards.read import StoredSample

_TRAINED = "bold green"
_PICTURE_COLUMNS, _PICTURE_ROWS = 48, 14


def render_sample(stored: StoredSample, console: Console) -> RenderableType:
    """Render a sample for a console; pictures are drawn when it has colour.

    Without colour, trained spans stand between ``[[`` and ``]]``.
    """
    coloured = console.color_system is not None
    return Group(
        *_head(stored), Text(), *_images(stored, coloured), *_provenance(stored), Text(), conversation(stored, coloured)
    )


def _head(stored: StoredSample) -> Iterator[Text]:
    sample = stored.sample
    yield Text.assemble((sample.key, "bold"), f"  {sample.dataset}, {stored.split}, in {stored.shard}")
    trained = sum(len(span.text) for span in sample.spans if span.train)
    total = sum(len(span.text) for span in sample.spans)
    yield Text(
        f"{len(sample.images)} images, {len(sample.turns)} turns, {total:,} characters, {trained:,} of them trained; "
        f"template {sample.template}"
    )


def _images(stored: StoredSample, coloured: bool) -> Iterator[RenderableType]:
    for number, (fact, content) in enumerate(zip(stored.sample.images, stored.images, strict=True), 1):
        yield Text(f"image {number}: {fact.name} of {fact.store}, {fact.width} x {fact.height}, {len(content):,} bytes")
        if coloured:
            yield _picture(content)


def _picture(content: bytes) -> RenderableType:
    try:
        return render_halfblocks(content, _PICTURE_COLUMNS, _PICTURE_ROWS)
    except OSError as error:
        return Text(f"cannot be decoded: {error}", style="red")


def _provenance(stored: StoredSample) -> Iterator[Text]:
    sample = stored.sample
    for place, source in enumerate(sample.sources):
        turns = [number for number, turn in enumerate(sample.turns, 1) if turn.source == place]
        yield Text(f"turn {', '.join(map(str, turns))}: {source}", style="dim")


def conversation(stored: StoredSample, coloured: bool) -> Text:
    """Render the template's text with the trained spans marked."""
    text = Text()
    for span in stored.sample.spans:
        if not span.train:
            text.append(span.text)
        elif coloured:
            text.append(span.text, style=_TRAINED)
        else:
            text.append(f"[[{span.text}]]")
    return text
