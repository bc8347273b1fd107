import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.serve.http.interleaving import write_question


@pytest.mark.parametrize(
    ("parts", "question"),
    [
        (["Compare ", 1, " with ", 2, "."], "Compare image 1 with image 2."),
        (["Here is a cat:", 1, "and a dog:", 2, "Which is larger?"],
         "Here is a cat:\nImage 1\nand a dog:\nImage 2\nWhich is larger?"),
        # the order is that of the request, to the last image
        (["Before: ", 3, " After: ", 4], "Before: image 3 After: image 4"),
        ([1, "This is Tom.", 2, "This is Ann."], "Image 1\nThis is Tom.\nImage 2\nThis is Ann."),
        (["Is it (", 1, 2, ") or ", 3, "?"], "Is it (image 1, image 2) or image 3?"),
        (["a", 1, "b"], "a\nImage 1\nb"),
        (["", 1, "a", 2, " ", 3, "b"], "Image 1\na\nImage 2 image 3\nb"),
    ],
)  # fmt: skip
def test_images_between_texts_are_named_where_they_stand(parts, question):
    assert write_question(parts) == question


@pytest.mark.parametrize("parts", [[1, 2, "What?", "Tell me."], ["What?", "Tell me.", 1], [1, "What?", "Tell me.", 2]])
def test_images_before_or_behind_all_texts_need_no_name(parts):
    assert write_question(parts) == "What?\nTell me."


def test_texts_are_a_line_each():
    assert write_question(["What is it?", "And why?"]) == "What is it?\nAnd why?"
    assert write_question([1, 2]) == ""


@given(st.lists(st.one_of(st.sampled_from(["A red cat", " is ", "Look:", ""]), st.none()), max_size=9))
def test_texts_and_images_stand_in_the_order_given(parts):
    numbered, number = [], 0
    for part in parts:
        number += part is None
        numbered.append(number if part is None else part)
    written, at = write_question(numbered).lower(), 0
    named = "image" in written
    for part in numbered:
        words = f"image {part}" if isinstance(part, int) else part.lower()
        if named or isinstance(part, str):
            at = written.index(words, at) + len(words)
