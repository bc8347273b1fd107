"""The pieces of a view are the spans of the sample, letter for letter."""

from hypothesis import given, settings
from hypothesis import strategies as st

from blender.data.sample import ImageRef, Sample, Span, Turn
from blender.data.template import TEMPLATES
from blender.inspect.views import search_text, view_of

texts = st.lists(
    st.sampled_from(
        ["### Answer:", "### Question: ", "<image>", "Answer", "\n", " ", "{question}", "{number}", "a", ""]
    )
    | st.text(max_size=4),
    max_size=5,
).map("".join)


@st.composite
def samples(draw):
    turns, shown = [], 0
    for _ in range(draw(st.integers(1, 3))):
        num_images = draw(st.integers(0, 2))
        numbers = list(range(shown + 1, shown + num_images + 1))
        turns.append(Turn(numbers, draw(texts), draw(texts), 0))
        shown += num_images
    template = TEMPLATES[draw(st.sampled_from(sorted(TEMPLATES)))]
    images = [ImageRef("coco", f"{number}.jpg", 4, 3) for number in range(shown)]
    return Sample("train-0", "llava", ["a/b/1"], images, turns, template.name, template.render(turns))


@settings(max_examples=60)
@given(samples())
def test_pieces_put_together_are_the_spans(sample):
    pieces = [piece for turn in view_of(sample, "train").turns for piece in turn.pieces]
    assert "".join(piece.text for piece in pieces) == "".join(span.text for span in sample.spans)


@settings(max_examples=60)
@given(samples())
def test_answers_are_the_trained_spans_and_questions_are_found(sample):
    view = view_of(sample, "train")
    answers = [piece.text for turn in view.turns for piece in turn.pieces if piece.kind == "answer"]
    assert answers == [span.text for span in sample.spans if span.train]
    template = TEMPLATES[sample.template]
    for turn, seen in zip(sample.turns, view.turns, strict=True):
        questions = [piece.text for piece in seen.pieces if piece.kind == "question"]
        assert questions == [text for text in [template.neutralise(turn.question)] if text]


def test_spans_of_another_program_are_shown_as_they_are():
    spans = [Span("It shows <image>. ", False), Span("A cat.", True), Span(" Bye.", False)]
    turns = [Turn([1], "What?", "A cat.", 0)]
    sample = Sample("k", "d", ["s"], [ImageRef("coco", "1.jpg", 1, 1)], turns, "unheard-of", spans)
    (turn,) = view_of(sample, "train").turns
    assert [(piece.kind, piece.text) for piece in turn.pieces] == [
        ("frame", "It shows <image>. "),
        ("answer", "A cat."),
        ("frame", " Bye."),
    ]
    assert turn.images == [1]
    assert turn.source is None


def test_a_search_looks_at_texts_names_and_records():
    turns = [Turn([1], "What IS it?", "Ein Häuschen.", 0)]
    sample = Sample("k", "d", ["llava/A.json/7"], [ImageRef("coco", "Cat.JPG", 1, 1)], turns, "plain", [])
    for word in ("what is it?", "häuschen", "cat.jpg", "llava/a.json/7"):
        assert word in search_text(sample)
