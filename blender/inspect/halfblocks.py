"""A picture in a terminal: two pixels a character, as the two halves of a block in two colours."""

from PIL import Image, ImageOps
from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style

from blender.data.images.decoding import explaining_damage, open_image


def render_halfblocks(content: bytes, columns: int, rows: int) -> Segments:
    """Render an image in at most ``columns`` by ``rows`` characters.

    Args:
        content: The bytes of an image file; shown upright, the first frame of several.
        columns: Width in characters, one pixel each.
        rows: Height in characters, two pixels each.

    Raises:
        OSError: The image cannot be decoded.
    """
    with explaining_damage(), open_image(content) as opened:
        opened.draft("RGB", (2 * columns, 4 * rows))
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    picture.thumbnail((columns, 2 * rows), Image.Resampling.BOX)
    pixels = picture.load()
    assert pixels is not None
    segments = []
    for upper in range(0, picture.height - 1, 2):
        for column in range(picture.width):
            top, bottom = (Color.from_rgb(*pixels[column, row]) for row in (upper, upper + 1))  # type: ignore[misc]
            segments.append(Segment("▀", Style(color=top, bgcolor=bottom)))
        segments.append(Segment.line())
    return Segments(segments)
