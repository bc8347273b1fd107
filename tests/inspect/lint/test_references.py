import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.data.sample import ImageRef, Sample, Turn
from blender.inspect.lint import LintSettings
from blender.inspect.lint.references import find_missing, find_untrue, is_not_understood, names_missing
from blender.inspect.lint.run import lint_samples
from tests.inspect.lint.blends import ask, details, found


@pytest.mark.parametrize(
    ("text", "num_shown", "phrase"),
    [
        ("image 3 shows a dog", 2, "image 3"),
        ("Look at the third picture.", 2, "the third picture"),
        ("In both images there is a cat", 1, "both images"),
        ("these three images", 2, "these three images"),
        ("The first image and image 12", 1, "image 12"),
        ("the previous image, then image 4", 3, "image 4"),
        ("Image B is nice", 1, "Image B"),
        ("image 1 is nice", 0, "image 1"),
        ("image 3 shows a dog", 3, None),
        ("these three images", 4, None),
        ("the previous image", 1, None),
        ("the images on the wall, and which picture?", 1, None),
        ("the second picture on the wall", 1, None),
        ("in the image two men, in the picture 4 dogs", 1, None),
        ("a photo from 1920, image 2023", 1, None),
        ("Every second image is dark.", 1, None),
    ],
)
def test_phrases_that_name_an_image_which_is_not_there(text, num_shown, phrase):
    assert find_missing(text, num_shown) == phrase


@given(st.integers(1, 60), st.integers(0, 60), st.sampled_from(["image {}", "picture #{}", "Photo {}"]))
def test_a_number_is_missing_when_fewer_images_are_shown(number, num_shown, form):
    text = f"What does {form.format(number)} show?"
    assert (find_missing(text, num_shown) is not None) == (number > num_shown)
    turns = pl.DataFrame({"question": [text], "answer": ["Nothing."], "shown": [num_shown]})
    assert names_missing(turns).to_list() == [number > num_shown]


WORDS = st.sampled_from(
    ["the", "first", "second", "third", "both", "two", "three", "image", "images", "picture", "photos"]
    + ["1", "2", "3", "A", "b", "is", "of", "on", "wall", ".", ",", "and", "other"]
)


@given(st.lists(WORDS, max_size=9), st.integers(0, 4))
def test_the_sieve_lets_everything_pass_that_is_found(words, num_shown):
    text = " ".join(words)
    turns = pl.DataFrame({"question": ["Why?", text], "answer": [text, "So."], "shown": [num_shown, num_shown]})
    assert names_missing(turns).to_list() == [find_missing(text, num_shown) is not None] * 2


def test_a_sample_is_told_with_the_phrase(made):
    made.plain(1, 2, 3)
    made.draw(4)
    made.records().append(ask("4.jpg", ("What do you see?", "Unlike the first image, image 2 shows a dog in a park.")))
    report = made.lint()
    assert found(report) == {"image_number_missing": 1}
    assert details(report, "image_number_missing") == [
        "‘image 2’, and 1 image is shown by then, in the answer "
        "“Unlike the first image, image 2 shows a dog in a park.”"
    ]


@pytest.mark.parametrize(
    ("text", "num_own", "found"),
    [
        ("Image 3 shows a dog, image 4 has two.", 2, None),
        ("Which of images 3 and 4 is darker?", 2, None),
        ("The other is darker.", 2, ("holder", "other")),
        ("Both images are dark.", 2, ("all_images", "Both images")),
        ("The first image is dark.", 2, ("number", "The first image")),
        ("Image 2 is dark.", 1, ("number", "Image 2")),
        ("Image 4 is dark, the other dog is asleep.", 1, None),
        ("See Image-4", 1, ("spelling", "Image-4")),
        ("¿Qué muestra la segunda imagen?", 1, ("language", "¿Qué muestra la segunda imagen?")),
    ],
)
def test_what_may_mean_an_image_of_another_record(text, num_own, found):
    assert find_untrue(text, num_before=4 - num_own, num_own=num_own, num_shown=4) == found
    turns = pl.DataFrame(
        {"question": ["Why?", text], "answer": [text, "So."], "shown": [4, 4], "num_before": [4 - num_own] * 2}
    ).with_columns(num_own=pl.lit(num_own))
    assert is_not_understood(turns).to_list() == [found is not None] * 2
    assert not is_not_understood(turns.with_columns(num_before=pl.lit(0))).any()


class Written:
    """Samples as another program may have written them."""

    name = "written"
    files = ()
    cut = pl.DataFrame(schema={"source": pl.String, "turns": pl.UInt32, "records": pl.UInt32})

    def __init__(self, entry, *samples):
        self.recipe = {"blend": [{"name": "made"} | entry]}
        self.samples_made = samples
        self.rows = pl.DataFrame({"key": [one.key for one in samples], "dataset": "made", "split": "train"})
        self.first = 0

    def samples(self):
        return iter(self.samples_made)

    def chunks(self):
        return [self]

    def read(self, row):
        return self.samples_made[row]

    def picture_bytes(self, images):
        return pl.Series([1] * images.height)

    def pictures(self, images):
        return []


def sample(*turns):
    """Make a sample of (record, images shown, text, and perhaps a system text)."""
    records, made, shown = list(dict.fromkeys(record for record, *_ in turns)), [], 0
    for record, num_images, text, *system in turns:
        numbers = list(range(shown + 1, shown + num_images + 1))
        made.append(Turn(numbers, text, "It is a dog in a park, or so.", records.index(record), *system))
        shown += num_images
    images = [ImageRef("photos", f"{number}.jpg", 64, 64) for number in range(shown)]
    return Sample("train-0", "made", records, images, made, "plain", [])


def linted(entry, *turns):
    report = lint_samples(Written(entry, sample(*turns)), LintSettings(look=False))
    return [
        (example.turn, example.detail)
        for finding in report.findings
        if finding.check == "reference_not_understood"
        for example in finding.examples
    ]


CONCATENATED = {"from": ["a", "b"], "concatenate": [1, 2]}


def test_a_written_turn_that_is_not_proved_harmless_behind_other_images_is_told():
    turns = (("a/f/1", 1, "What is it?"), ("b/f/1", 2, "Which one is brighter, and why?"))
    assert linted(CONCATENATED, *turns) == [
        (2, "‘Which’ (holder) behind 1 image of other records, in the question “Which one is brighter, and why?”")
    ]
    assert linted({"from": ["a", "b"]}, *turns) == []


def test_a_system_text_behind_other_images_is_looked_at_as_well():
    turns = (("a/f/1", 1, "What is it?"), ("b/f/1", 2, "Why?", "Say which one is brighter."))
    assert linted(CONCATENATED, *turns) == [
        (2, "‘which’ (holder) behind 1 image of other records, in the system text “Say which one is brighter.”")
    ]


def test_the_record_that_opens_a_sample_may_say_anything():
    assert linted(CONCATENATED, ("b/f/1", 2, "Which one is brighter?"), ("a/f/1", 1, "What is it?")) == []
    # two records of the file, asked about the same images
    assert linted(CONCATENATED, ("b/f/1", 2, "Which one is brighter?"), ("b/f/2", 0, "And the other one?")) == []


def test_the_base_of_a_match_counts_the_images_of_the_sample():
    entry = {"image_match": {"base": ["b"], "with": ["a"]}}
    base = ("b/f/1", 1, "Which one is brighter?")
    assert linted(entry, ("a/f/1", 1, "What is it?"), base) == []
    assert linted(entry, ("a/f/1", 1, "What is it?"), ("a/f/2", 1, "And in the first image?"), base) == [
        (2, "‘the first image’ (number) behind 1 image of other records, in the question “And in the first image?”")
    ]
