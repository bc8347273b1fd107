import pytest

from blender.core.counting import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1_000_000, "1,000,000 images")]
)
def test_one_is_singular_and_everything_else_plural(number, words):
    assert counted(number, "image") == words
    assert counted(number, "index", "indexes").startswith(f"{number:,} index")
