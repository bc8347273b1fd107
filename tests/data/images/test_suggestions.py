import time

import pytest

from blender.data.images.suggestions import Suggestions


@pytest.mark.parametrize(
    ("name", "held", "suggestion"),
    [
        ("a.jpg", "a.png", "did you mean a.png (another extension)?"),
        ("a", "sub/a.webp", "did you mean sub/a.webp?"),
        ("a.gif", "sub/a.png", "did you mean sub/a.png (another extension)?"),
        ("a.jpg", "A.JPG", "did you mean A.JPG (other capitals)?"),
        ("Sub/a.jpg", "sub/A.jpg", "did you mean sub/A.jpg (other capitals)?"),
        ("gqa/a.jpg", "vg/a.jpg", "did you mean vg/a.jpg (in another folder)?"),
        ("C:\\photos\\a.jpg", "a.jpg", "did you mean a.jpg (in another folder)?"),
        ("000000000009.jpg", "COCO_train2014_000000000009.jpg", "did you mean COCO_train2014_000000000009.jpg?"),
        ("COCO_val2014_000000000009.jpg", "000000000009.jpg", "did you mean 000000000009.jpg?"),
        (
            "COCO_train2014_000000000009.jpg",
            "COCO_val2014_000000000009.jpg",
            "did you mean COCO_val2014_000000000009.jpg?",
        ),
        ("9.jpg", "000000000009.jpg", "did you mean 000000000009.jpg?"),
        ("red_bal.jpg", "red_ball.jpg", "did you mean red_ball.jpg?"),
        ("my%20photo.jpg", "my photo.jpg", None),
        ("dred_ball.jpg", "red_ball.jpg", "did you mean red_ball.jpg?"),
        ("photo_12.jpg", "photo-12.jpg", "did you mean photo-12.jpg?"),
        ("photo_12.jpg", "photo_13.jpg", None),
        ("000000000012.jpg", "000000000013.jpg", None),
        ("a.jpg", "quite_other.jpg", None),
        ("", "a.jpg", None),
    ],
)
def test_a_name_that_is_missing_is_compared_with_those_that_there_are(name, held, suggestion):
    assert Suggestions(["nothing_like_it.jpg", held, "zebra.png"]).suggest(name) == suggestion


def test_many_missing_names_cost_little_in_a_large_store():
    suggestions = Suggestions(f"{number:012d}.jpg" for number in range(100_000))
    begun = time.process_time()
    found = [suggestions.suggest(f"{number:012d}x.jpg") for number in range(20_000)]
    assert time.process_time() - begun < 5, "half a second"
    assert found[7] == "did you mean 000000000007.jpg?"
