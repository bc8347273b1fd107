"""One sample as a person reads it: where it came from, its images, and the text with what is trained marked."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from blender.core.counting import counted
from blender.core.screen import Screen
from blender.core.screen import VisibleText as Text
from blender.data.sample import Sample
from blender.inspect.halfblocks import render_halfblocks
from blender.inspect.preview import PreviewImage, PreviewSample
from blender.inspect.views import TokenPiece, TokensView
from blender.shards.unpack import StoredSample

_TRAINED = "bold green"
_PICTURE_COLUMNS, _PICTURE_ROWS = 48, 14


def render_sample(stored: StoredSample, console: Screen, tokens: TokensView | None = None) -> RenderableType:
    """Render a sample for a console; pictures are drawn when it has colour.

    Without colour, trained spans stand between ``[[`` and ``]]``. With tokens, those take the place of the text.
    """
    images = [PreviewImage(content, None) for content in stored.images]
    return _render(stored.sample, images, f"{stored.split}, in {stored.shard}", console, tokens)


def render_preview(made: PreviewSample, console: Screen, tokens: TokensView | None = None) -> RenderableType:
    """Render a sample that is not written yet; with tokens, those take the place of the text."""
    return _render(made.sample, made.images, f"{made.split}, will be in {made.shard}", console, tokens)


def _render(
    sample: Sample, images: Sequence[PreviewImage], where: str, console: Screen, tokens: TokensView | None
) -> RenderableType:
    coloured = console.color_system is not None
    text = conversation(sample, coloured) if tokens is None else _tokens(tokens, coloured)
    return Group(*_head(sample, where), Text(), *_images(sample, images, coloured), *_provenance(sample), Text(), text)


def _head(sample: Sample, where: str) -> Iterator[Text]:
    yield Text.assemble((sample.key, "bold"), f"  {sample.dataset}, {where}")
    trained = sum(len(span.text) for span in sample.spans if span.train)
    total = sum(len(span.text) for span in sample.spans)
    yield Text(
        f"{counted(len(sample.images), 'image')}, {counted(len(sample.turns), 'turn')}, {counted(total, 'character')}, "
        f"{trained:,} of them trained; "
        f"template {sample.template}"
    )


def _images(sample: Sample, images: Sequence[PreviewImage], coloured: bool) -> Iterator[RenderableType]:
    for number, (fact, image) in enumerate(zip(sample.images, images, strict=True), 1):
        named = f"image {number}: {fact.name} of {fact.store}"
        if image.content is None:
            yield Text.assemble(f"{named}: ", (image.fault or "cannot be read", "red"))
            continue
        yield Text(f"{named}, {fact.width} x {fact.height}, {len(image.content):,} bytes")
        if coloured:
            yield _picture(image.content)


def _picture(content: bytes) -> RenderableType:
    try:
        return render_halfblocks(content, _PICTURE_COLUMNS, _PICTURE_ROWS)
    except OSError as error:
        return Text(f"cannot be decoded: {error}", style="red")


def _provenance(sample: Sample) -> Iterator[Text]:
    for place, source in enumerate(sample.sources):
        turns = [number for number, turn in enumerate(sample.turns, 1) if turn.source == place]
        yield Text(f"turn {', '.join(map(str, turns))}: {source}", style="dim")


def conversation(sample: Sample, coloured: bool) -> Text:
    """Render the template's text with the trained spans marked."""
    text = Text()
    for span in sample.spans:
        if not span.train:
            text.append(span.text)
        elif coloured:
            text.append(span.text, style=_TRAINED)
        else:
            text.append(f"[[{span.text}]]")
    return text


def _tokens(tokens: TokensView, coloured: bool) -> Text:
    """Render tokens, parted by a bar, or by shades where there is colour; trained ones are marked as spans are."""
    if tokens.fault:
        return Text(f"not trained on: {tokens.fault}", style="red")
    text = Text(_sums(tokens), style="dim")
    text.append("\n\n")
    place, before = 0, False
    for number, piece in enumerate(tokens.pieces):
        if place == tokens.kept_positions:
            text.append("]]" if before and not coloured else "")
            before = False
            text.append(f"\n--- {tokens.max_tokens:,} tokens allowed: the rest is cut off ---\n", style="yellow")
        text.append(*_token(piece, number, before, coloured))
        place, before = place + piece.count, piece.trained
    text.append("" if coloured or not before else "]]")
    return text


def _token(piece: TokenPiece, number: int, before: bool, coloured: bool) -> tuple[str, str]:
    shown = f"<image {piece.image} x {piece.count}>" if piece.image else piece.text
    if coloured:
        shade = "underline" if number % 2 else "not underline"
        return shown, f"cyan {shade}" if piece.image else f"{_TRAINED} {shade}" if piece.trained else shade
    mark = "|" if piece.trained == before else "[[" if piece.trained else "]]"
    return mark + shown, ""


def _sums(tokens: TokensView) -> str:
    told = (
        f"{counted(tokens.positions, 'position')}: {tokens.image_positions:,} of images, "
        f"{tokens.positions - tokens.image_positions:,} of text; {tokens.trained:,} trained"
    )
    gone = tokens.positions - tokens.kept_positions
    return f"{told}; {gone:,} cut off at {tokens.max_tokens:,}" if gone else told
