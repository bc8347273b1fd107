import shutil

from tests.inspect.lint.blends import Made, ask, details, found


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
    from blender.shards.reader import open_blend

    return open_blend(made.root / "blend").manifest.counts


def with_copies(made: Made, **split):
    """Give every picture a copy under another name."""
    made.plain(*range(20))
    for number in range(20):
        shutil.copy(made.root / "images" / f"{number}.jpg", made.root / "images" / f"copy{number}.jpg")
        made.records().append(ask(f"copy{number}.jpg", (f"Question {number}?", f"Yes, {number}.")))
    made.recipe["split"] = {"eval": 0.5, **split}


def test_copies_under_other_names_stay_on_one_side(made):
    with_copies(made)
    assert found(made.lint()) == {}


def test_copies_under_other_names_are_told_by_their_bytes(made):
    with_copies(made, by="sample")
    report = made.lint()
    assert set(found(report)) == {"image_in_both_splits"}
    assert ".jpg of photos, is also in train-" in details(report, "image_in_both_splits")[0]
    assert ", as " in details(report, "image_in_both_splits")[0]


def test_without_images_only_names_count(made):
    with_copies(made, by="sample")
    report = made.lint(look=False)
    assert found(report) == {}
    assert "by name only" in report.not_made["image_in_both_splits"]


def with_two_stores(made, other, **split):
    """Let two sources show the same pictures out of two stores."""
    made.plain(*range(20))
    made.records("other").extend(
        ask(f"{number}.jpg", (f"Another, {number}?", f"No, {number}.")) for number in range(20)
    )
    made.load()
    made.recipe["images"] = {"photos": str(made.root / "images"), "again": str(other)}
    made.recipe["sources"] = {
        name: {"format": "llava", "files": str(made.root / f"{name}.json"), "images": store}
        for name, store in (("llava", "photos"), ("other", "again"))
    }
    made.recipe["split"] = {"eval": 0.5, **split}


def test_identical_names_in_two_stores_do_not_leak(made):
    with_two_stores(made, made.root / "copies")
    shutil.copytree(made.root / "images", made.root / "copies")
    report = made.lint()
    assert found(report) == {}
    assert {count.split for count in counts(made) if count.samples} == {"train", "eval"}


def test_two_stores_at_one_place_hold_the_same_images(made):
    with_two_stores(made, made.root / "images", by="sample")
    assert found(made.lint(look=False))["image_in_both_splits"] > 0


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
