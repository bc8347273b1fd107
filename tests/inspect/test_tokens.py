"""The tokens shown are those of the stream."""

import numpy as np
import pytest

from blender.inspect.tokens import tokens_view
from blender.stream.sample_text import SampleTextEncoder
from tests.inspect.conftest import NASTY
from tests.stream.samples import IMAGE_POSITIONS, stored_sample, tiny_encoder
from tests.stream.tiny_tokenizers import KINDS, tiny_tokenizer

TURNS = [(2, "What is in image 2?", "A cat, 42 dogs 🐈."), (0, NASTY, "日本語"), (1, "And now?", "Nothing.")]


def viewed(kind, max_tokens=None, turns=TURNS):
    sample = stored_sample(turns).sample
    encoder = SampleTextEncoder(tiny_encoder(kind).text)
    return tokens_view(sample, encoder, tiny_tokenizer(kind).backend_tokenizer, max_tokens), encoder.encode(sample)


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_piece_for_every_token_and_every_image(kind):
    view, text = viewed(kind)
    assert view.positions == len(text) == sum(piece.count for piece in view.pieces)
    assert view.image_positions == 3 * IMAGE_POSITIONS
    assert [piece.image for piece in view.pieces if piece.image] == [1, 2, 3]
    trained = np.repeat([piece.trained for piece in view.pieces], [piece.count for piece in view.pieces])
    assert trained.tolist() == text.loss_mask.tolist()
    assert view.trained == int(text.loss_mask.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_the_trained_pieces_read_as_the_answers(kind):
    view, _ = viewed(kind)
    end = tiny_tokenizer(kind).eos_token
    answers = "".join(piece.text for piece in view.pieces if piece.trained).split(end)
    assert [answer.strip() for answer in answers] == ["A cat, 42 dogs 🐈.", "日本語", "Nothing.", ""]


def test_what_a_limit_cuts_off_are_whole_turns():
    whole, text = viewed("llama3")
    first, second, third = text.turn_ends
    for limit, turns, images in ((third, 3, 3), (third - 1, 2, 2), (first, 1, 2)):
        view, _ = viewed("llama3", limit)
        assert (view.kept_turns, view.kept_images) == (turns, images)
        assert view.kept_positions == text.turn_ends[turns - 1]
        assert view.positions == whole.positions
    view, _ = viewed("llama3", first - 1)
    assert view.fault == f"the first turn takes {first:,} positions, and {first - 1:,} are allowed"


def test_a_text_that_cannot_be_trained_on_says_why():
    encoder = SampleTextEncoder(tiny_encoder("llama3").text)
    sample = stored_sample([(0, "What?", "\ufdd0")]).sample
    view = tokens_view(sample, encoder, tiny_tokenizer("llama3").backend_tokenizer, None)
    assert "U+FDD0" in view.fault
    assert view.pieces == []
