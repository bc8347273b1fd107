import shutil

from tests.inspection.lint.blends import Made, ask, details, found, plain


def test_a_blend_that_is_split_by_image_is_clean(made):
    made.plain(*range(40))
    made.recipe["split"] = {"eval": 0.3}
    report = made.lint()
    assert found(report) == {}
    assert {"image_in_both_splits", "pair_in_both_splits"} <= set(report.clean)


def test_images_on_both_sides_are_told(made):
    made.plain(*range(4))
    for number in range(4):
        made.records().extend(ask(f"{number}.jpg", (f"Question {n}?", f"Yes, {n}.")) for n in range(6))
    made.recipe["split"] = {"eval": 0.3, "by": "sample"}
    report = made.lint()
    (finding,) = [each for each in report.findings if each.check == "image_in_both_splits"]
    assert finding.severity == "error"
    assert finding.count == sum(count.samples for count in counts(made) if count.split == "eval")
    assert finding.examples[0].key.startswith("eval-")
    assert " is also in train-" in finding.examples[0].detail
    assert "pair_in_both_splits" in report.clean, "every pair stands there once"


def counts(made):
    from blender.shards.read import open_blend

    return open_blend(made.root / "blend").manifest.counts


def with_copies(made: Made):
    """Give every picture a copy under another name, so that a split by name parts some from their copies."""
    made.plain(*range(20))
    for number in range(20):
        shutil.copy(made.root / "images" / f"{number}.jpg", made.root / "images" / f"copy{number}.jpg")
        made.records().append(ask(f"copy{number}.jpg", (f"Question {number}?", f"Yes, {number}.")))
    made.recipe["split"] = {"eval": 0.5}


def test_copies_under_other_names_are_told_by_their_bytes(made):
    with_copies(made)
    report = made.lint()
    assert set(found(report)) == {"image_in_both_splits"}
    assert ".jpg of photos, is also in train-" in details(report, "image_in_both_splits")[0]
    assert ", as " in details(report, "image_in_both_splits")[0]


def test_without_images_only_names_count(made):
    with_copies(made)
    report = made.lint(look=False)
    assert found(report) == {}
    assert "by name only" in report.not_made["image_in_both_splits"]


def test_two_stores_at_one_place_hold_the_same_images(made):
    made.plain(*range(20))
    made.records("other").extend(plain(number) for number in range(20))
    made.load()
    made.recipe["images"] = {"photos": str(made.root / "images"), "again": str(made.root / "images")}
    file = {"format": "llava", "files": str(made.root / "llava.json")}
    made.recipe["sources"] = {"llava": {**file, "images": "photos"}, "other": {**file, "images": "again"}}
    made.recipe["split"] = {"eval": 0.5}
    report = made.lint(look=False)
    assert found(report)["image_in_both_splits"] > 0
    assert found(report)["source_read_twice"] == 1


def test_long_answers_that_repeat_are_told_and_short_ones_are_not(made):
    made.plain(*range(20))
    for number in range(20, 60):
        made.draw(number)
        long = ("What  is this?", "This is one and the same sentence.")
        short = ("Is there a dog?", "Yes, there is.")
        made.records().append(ask(f"{number}.jpg", long if number % 2 else short))
    made.recipe["split"] = {"eval": 0.4}
    report = made.lint()
    (finding,) = report.findings
    assert finding.check == "pair_in_both_splits"
    assert (
        finding.examples[0].detail == "“What is this?” → “This is one and the same sentence.”, word for word in train"
    )
