import re
import shutil

import pytest
from PIL import Image

from tests.inspect.lint.blends import ask, details, found, plain


def test_small_and_narrow_images_are_told_once_each(made):
    made.plain(*range(6))
    made.draw(1, size=(31, 200))
    made.draw(2, size=(32, 161))
    made.draw(3, size=(32, 160))
    made.records().append(ask("1.jpg", ("And what else is there?", "Nothing else can be seen there.")))
    report = made.lint()
    assert found(report) == {"image_small": 1, "image_extreme_aspect": 2}
    assert details(report, "image_small") == ["1.jpg of photos has 31 x 200 pixels"]


def test_one_image_twice_in_a_sample_is_told(made):
    made.plain(1, 2, 3, 4)
    made.records().extend([plain(1), plain(2)])
    made.recipe["blend"] = [{"name": "joined", "from": "llava", "concatenate": [6, 6]}]
    report = made.lint()
    assert found(report) == {"image_shown_twice": 2}
    assert all("(1.jpg) and" in said or "(2.jpg) and" in said for said in details(report, "image_shown_twice"))


def copies(made):
    """Join four records, of which two show copies of one picture."""
    made.draw(*range(4), size=(320, 240))
    with Image.open(made.root / "images" / "1.jpg") as image:
        image.resize((160, 120)).save(made.root / "images" / "copy.jpg", quality=70)
    made.records().extend(map(plain, range(4)))
    made.records().append(ask("copy.jpg", ("And this one here?", "It shows a pattern, too, I think.")))
    made.recipe["blend"] = [{"name": "joined", "from": "llava", "concatenate": [5, 5]}]


def test_copies_under_other_names_are_told_in_either_order(made):
    copies(made)
    made.recipe["blend"][0]["repeat"] = 8
    report = made.lint(num_examples=8)
    assert found(report) == {"image_near_duplicate": 8}
    orders = [re.findall(r"\((.*?)\)", detail) for detail in details(report, "image_near_duplicate")]
    assert {tuple(names) for names in orders} == {("1.jpg", "copy.jpg"), ("copy.jpg", "1.jpg")}


def test_without_images_that_is_not_looked_for_and_said_so(made):
    copies(made)
    report = made.lint(look=False)
    assert found(report) == {}
    assert report.not_made["image_near_duplicate"] == "images were not opened"
    assert "image_near_duplicate" not in report.clean


def test_images_that_are_never_shown_are_told(made):
    made.plain(1, 2)
    made.draw(8, 9)
    (made.root / "images" / "notes.txt").write_text("not an image")
    report = made.lint()
    assert found(report) == {"image_unused": 2}
    assert details(report, "image_unused") == ["8.jpg of photos (2 of 4 there)", "9.jpg of photos (2 of 4 there)"]


def test_images_in_a_zip_archive_are_listed_too(made):
    made.plain(1, 2)
    made.draw(8)
    shutil.make_archive(str(made.root / "archive"), "zip", made.root / "images")
    made.recipe["images"] = {"photos": str(made.root / "archive.zip")}
    assert details(made.lint(), "image_unused") == ["8.jpg of photos (1 of 3 there)"]


@pytest.mark.parametrize("kind", ["tar", "gone"])
def test_stores_that_cannot_be_listed_are_said_so(made, kind):
    made.plain(1)
    if kind == "tar":
        shutil.make_archive(str(made.root / "archive"), "tar", made.root / "images")
        made.recipe["images"] = {"photos": str(made.root / "archive.tar")}
        report = made.lint()
    else:
        from blender.inspect.lint import lint_blend
        from blender.shards.reader import open_blend

        made.lint()
        shutil.rmtree(made.root / "images")
        report = lint_blend(open_blend(made.root / "blend"))
    assert report.not_made["image_unused"] == "the images of photos cannot be listed from here"
    assert "image_unused" not in report.clean
