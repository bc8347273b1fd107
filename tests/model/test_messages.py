"""Messages become the rounds that a template renders."""

import pytest
from PIL import Image

from blender.core.errors import ModelError
from blender.model.messages import read_messages


def message_about(path):
    return [{"role": "user", "content": [{"type": "image", "path": str(path)}, {"type": "text", "text": "What?"}]}]


def test_an_image_file_comes_through_the_one_bounded_door(tmp_path):
    Image.new("RGB", (8, 6), (200, 0, 0)).save(tmp_path / "red.png")
    assert read_messages(message_about(tmp_path / "red.png")).images[0].getpixel((0, 0)) == (200, 0, 0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "begins with"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "which is no"),
        (b"\xff\xd8" + b"\xff" * 200_000, "belong to no segment"),
        (b"P6 99999 99999 255\n", "99999 x 99999 pixels"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_usable_picture_is_named(tmp_path, content, why):
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ModelError, match=rf"message 0: the image .*bad cannot be read: .*({why})"):
        read_messages(message_about(tmp_path / "bad"))


def test_a_file_larger_than_any_picture_is_not_read(tmp_path):
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(ModelError, match=r"has 100,000,001 bytes, more than the 100,000,000 allowed"):
        read_messages(message_about(tmp_path / "huge.png"))
