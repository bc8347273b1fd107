"""One conversation with a model."""

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from blender.core.errors import SessionError
from blender.data.sample import ImageRef, Sample, Turn
from blender.serve.loading import open_model
from blender.serve.prompt_encoder import TooLongError
from blender.serve.sampling import Sampling
from blender.serve.session import Session, ask_together
from blender.shards.unpack import StoredSample
from blender.stream.encode import encode_sample
from blender.stream.pixels import decode_image
from tests.serve.tiny_models import save_model

SHORT = Sampling(max_new_tokens=8)


@pytest.fixture(scope="module", params=["mmca", "causal", "cross"])
def loaded(request, tmp_path_factory):
    """A tiny model of each attention."""
    return open_model(save_model(tmp_path_factory.mktemp(request.param), attention=request.param), device="cpu")


def picture(number):
    """Draw a picture unlike those of other numbers."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).resize((40, 40), Image.Resampling.NEAREST).save(content, "PNG")
    return content.getvalue()


PICTURES = [picture(number) for number in range(16)]
TALK = [("What is it?", PICTURES[:1]), ("And these two?", PICTURES[1:3]), ("Why?", []), ("And this?", PICTURES[3:4])]


def answers(loaded, talk, keep=True):
    """Hold a conversation; return the answers."""
    session, said = Session(loaded), []
    for question, images in talk:
        if not keep:
            session.release()
        said.append(session.ask(question, images, sampling=SHORT))
    return said


def trained_sample(loaded, rounds, images):
    """Encode a conversation as the training stream does."""
    encoder = loaded.encoder
    turns = list(rounds)
    places = [ImageRef("s", f"{number}.png", 40, 40) for number in range(len(images))]
    sample = Sample("k", "d", ["s/f/r"], places, turns, "", encoder.template.render(turns))
    return encode_sample(StoredSample(sample, tuple(images), "train", ""), encoder)


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cn", "Co")), min_size=1).filter(str.strip)


@pytest.mark.parametrize("kind", ["llama2", "qwen"])
def test_instructions_stand_in_the_prompt_as_in_training(tokenizers, kind):
    session = Session(tokenizers[kind])
    for instruction in ("Be kind.", "", "Be brief."):
        session.instruct(instruction)
        prompt = session.prompt_tokens("Why?")
        session.record("Why?", "So.")
    assert [one.system for one in session.turns] == ["Be kind.", "", "Be brief."]
    encoded = trained_sample(tokenizers[kind], session.turns, [])
    assert encoded.text.input_ids[: len(prompt)].tolist() == prompt.input_ids.tolist()
    assert not encoded.text.loss_mask[len(prompt) - 1]
    assert encoded.text.loss_mask[len(prompt)]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), words, words.map(str.strip)), min_size=1, max_size=4),
    st.sampled_from(["llama2", "llama3", "smollm", "qwen", "gpt2"]),
)
def test_a_prompt_is_what_stands_before_the_answer_in_training(tokenizers, rounds, kind):
    session, shown = Session(tokenizers[kind]), 0
    for number, question, answer in rounds:
        prompt = session.prompt_tokens(question, num_images=number)
        session.record(question, answer, [PICTURES[shown + n] for n in range(number)])
        shown += number
    encoded = trained_sample(tokenizers[kind], session.turns, session.images)
    before_answer = encoded.text.loss_mask.copy()
    before_answer[: len(prompt)] = False
    start = int(before_answer.argmax())
    assert start == len(prompt)
    assert prompt.input_ids.tolist() == encoded.text.input_ids[:start].tolist()
    assert prompt.image_index.tolist() == encoded.text.image_index[:start].tolist()


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    kinds = ["llama2", "llama3", "smollm", "qwen", "gpt2"]
    # room for whatever hypothesis writes
    folders = {kind: save_model(tmp_path_factory.mktemp(kind), kind=kind, positions=100_000) for kind in kinds}
    return {kind: open_model(folder, device="cpu") for kind, folder in folders.items()}


def test_the_model_says_what_its_forward_finds_likeliest_for_the_training_tokens(loaded):
    session = Session(loaded)
    for question, images in TALK:
        said = session.ask(question, images, sampling=Sampling(max_new_tokens=1))
        rounds = [*session.turns[:-1], Turn(session.turns[-1].images, question, "A", 0)]
        encoded = trained_sample(loaded, rounds, session.images)
        length = said.num_prompt_tokens
        with torch.inference_mode():
            made = loaded.model(
                torch.from_numpy(encoded.text.input_ids[None, :length]).long(),
                image_index=torch.from_numpy(encoded.text.image_index[None, :length]).long(),
                pixels=encoded.pixels,
            )
        token = made.logits[0, -1].argmax().item()
        assert said.text == loaded.tokenizer.decode([token], skip_special_tokens=True).strip()


def test_image_n_of_the_text_is_image_n_of_the_tensor_in_later_rounds_too(model):
    session = Session(model)
    for question, images in TALK:
        session.ask(question, images, sampling=SHORT)
    assert [turn.images for turn in session.turns] == [[1], [2, 3], [], [4]]
    assert session.images == tuple(PICTURES[:4])
    prompt, _ = session.prepare("Which?", PICTURES[4:6], SHORT)
    assert prompt.text.image_index.max() == 5
    for number, content in enumerate(PICTURES[:6]):
        assert np.array_equal(prompt.pixels[number], decode_image(content, model.encoder.pixels))
        runs = np.flatnonzero(prompt.text.image_index == number)
        assert np.array_equal(runs, np.arange(runs[0], runs[0] + model.encoder.text.image_positions))
    text = model.template.render([*session.turns, Turn([5, 6], "Which?", "", 0)])
    assert [f"Image {n}: <image>" in "".join(span.text for span in text) for n in range(1, 8)] == [True] * 6 + [False]


def test_every_image_of_a_later_round_counts(loaded):
    question, images = TALK[1]
    said = set()
    for shown in (images, [PICTURES[9], images[1]], [images[0], PICTURES[9]], images[::-1]):
        session = Session(loaded)
        session.record(TALK[0][0], "A cat.", TALK[0][1])
        said.add(session.ask(question, shown, sampling=Sampling(max_new_tokens=40)).text)
    assert len(said) == 4


def test_more_than_eight_images_are_fine(model):
    session = Session(model)
    session.ask("What are these?", PICTURES[:12], sampling=SHORT)
    session.ask("And this?", PICTURES[12:13], sampling=SHORT)
    assert session.turns[-1].images == [13]


def test_what_is_kept_between_rounds_changes_no_answer(loaded):
    kept, anew = answers(loaded, TALK), answers(loaded, TALK, keep=False)
    assert [one.text for one in kept] == [one.text for one in anew]
    assert [one.num_cached_tokens for one in anew] == [0] * len(TALK)


def test_only_what_is_new_is_computed(loaded):
    said = answers(loaded, TALK)
    for before, after in zip(said, said[1:], strict=False):
        assert after.num_cached_tokens >= before.num_prompt_tokens


def test_a_changed_answer_is_asked_upon_as_if_it_had_been_said(loaded):
    session = Session(loaded)
    session.ask(*TALK[0], sampling=SHORT)
    session.ask(*TALK[1], sampling=SHORT)
    session.amend("Two cats.")
    fresh = Session(loaded)
    fresh.record(TALK[0][0], session.turns[0].answer, TALK[0][1])
    fresh.record(TALK[1][0], "Two cats.", TALK[1][1])
    assert session.ask("Why?", sampling=SHORT).text == fresh.ask("Why?", sampling=SHORT).text


def test_another_image_under_the_same_number_is_another_image(loaded):
    session = Session(loaded)
    session.ask(*TALK[0], sampling=SHORT)
    first = session.ask("And this?", PICTURES[5:6], sampling=SHORT).text
    session.undo()
    second = session.ask("And this?", PICTURES[9:10], sampling=SHORT).text
    session.undo()
    assert session.ask("And this?", PICTURES[5:6], sampling=SHORT).text == first
    fresh = Session(loaded)
    fresh.record(*[TALK[0][0], session.turns[0].answer, TALK[0][1]])
    assert fresh.ask("And this?", PICTURES[9:10], sampling=SHORT).text == second != first


def test_a_question_asked_again_gets_the_same_answer(loaded):
    session = Session(loaded)
    for question, images in TALK[:2]:
        session.ask(question, images, sampling=SHORT)
    last = session.undo()
    again = session.ask(last.question, TALK[1][1], sampling=SHORT)
    assert again.text == last.answer
    assert again.num_cached_tokens > 0


def test_an_answer_that_was_cancelled_is_kept_as_far_as_it_came(model):
    session, pieces = Session(model), []
    said = session.ask("Why?", sampling=Sampling(max_new_tokens=60), on_text=pieces.append, is_cancelled=lambda: True)
    assert (said.finish, said.num_new_tokens) == ("cancelled", 1)
    assert session.turns[-1].answer == said.text == "".join(pieces)


def test_a_listener_that_fails_leaves_the_session_as_it_was(model):
    def hang_up(_):
        raise ConnectionError

    session = Session(model)
    session.ask(*TALK[0], sampling=SHORT)
    before = session.turns
    with pytest.raises(ConnectionError):
        session.ask("Why?", sampling=Sampling(max_new_tokens=60), on_text=hang_up)
    assert session.turns == before
    assert session.ask(*TALK[1], sampling=SHORT).text == answers(model, TALK)[1].text


def test_several_conversations_at_once_get_the_answers_that_each_gets_alone(loaded):
    talks = [TALK, [("Hi!", []), ("Who is there?", PICTURES[4:6])], TALK[::-1]]
    together = [Session(loaded) for _ in talks]
    for number in range(2):
        due = [talk[number] for talk in talks]
        said = ask_together(together, due, [SHORT] * len(talks))
        assert [one.text for one in said] == [answers(loaded, talk[: number + 1])[number].text for talk in talks]


def test_draws_depend_on_the_seed_alone_and_not_on_the_company(model):
    def drawn(seed, company=0):
        sessions = [Session(model) for _ in range(1 + company)]
        samplings = [Sampling(max_new_tokens=8, temperature=1.0, seed=seed + n) for n in range(1 + company)]
        return ask_together(sessions, [TALK[0]] * len(sessions), samplings)[0].text

    state = torch.random.get_rng_state()
    assert drawn(1) == drawn(1) == drawn(1, company=2)
    assert len({drawn(seed) for seed in range(6)}) > 1
    assert torch.equal(torch.random.get_rng_state(), state)


def test_draws_follow_the_models_probabilities(model):
    """Draws of one token, against the softmax of the logits; within five standard deviations."""
    text = Session(model).prompt_tokens("Why?")
    with torch.inference_mode():
        logits = model.model(torch.from_numpy(text.input_ids.astype(np.int64))[None]).logits[0, -1]
    best = int(logits.argmax())
    expected = float(torch.softmax(logits / 2, 0)[best])
    count, said = 300, model.tokenizer.decode([best], skip_special_tokens=True).strip()
    sessions = [Session(model) for _ in range(count)]
    samplings = [Sampling(max_new_tokens=1, temperature=2.0, seed=seed) for seed in range(count)]
    hits = sum(one.text == said for one in ask_together(sessions, [("Why?", [])] * count, samplings))
    assert abs(hits - count * expected) <= 5 * math.sqrt(count * expected * (1 - expected)) + 1


def test_the_fewest_likely_tokens_can_be_drawn_from(model):
    greedy = Session(model).ask("Why?", sampling=SHORT).text
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        sampling = Sampling(**{"max_new_tokens": 8, "temperature": 3.0, "seed": 4, **narrow})
        assert Session(model).ask("Why?", sampling=sampling).text == greedy


def test_another_system_text_is_said_instead(model):
    usual, other = (Session(model, system=system).prompt_tokens("Why?") for system in (None, "Be brief."))
    assert "Be brief." in model.tokenizer.decode(other.input_ids)
    assert "powerful" in model.tokenizer.decode(usual.input_ids)
    assert "powerful" not in model.tokenizer.decode(other.input_ids)


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(model, question):
    with pytest.raises(SessionError, match="question is empty"):
        Session(model).ask(question)


def test_an_image_alone_can_be_asked_about(model):
    session = Session(model)
    assert session.ask("", PICTURES[:1], sampling=SHORT).num_prompt_tokens > 16
    session.record("", "A cat.", PICTURES[1:2])
    assert [turn.images for turn in session.turns] == [[1], [2]]


def test_what_is_no_image_is_refused_and_nothing_changes(model):
    session = Session(model)
    session.ask(*TALK[0], sampling=SHORT)
    for content in (b"", b"hello", PICTURES[0][:-40]):
        with pytest.raises(SessionError, match=r"image 3 cannot be read"):
            session.ask("And these?", [PICTURES[1], content])
    assert len(session.turns) == len(session.images) == 1


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(model):
    content = io.BytesIO()
    Image.new("1", (20_000, 6_000)).save(content, "PNG")
    with pytest.raises(SessionError, match=r"image 1 has 20,000 x 6,000 pixels, more than the 100,000,000 allowed"):
        Session(model).ask("What is it?", [content.getvalue()])


def test_a_conversation_beyond_the_models_length_is_refused_with_its_limit(model):
    with pytest.raises(
        TooLongError, match=r"the question alone takes 1,\d{3} positions \(800 of them for 50 images\)"
    ) as e:
        Session(model).ask("What are these?", [b"never looked at"] * 50)
    assert "room for 512, its answer included" in e.value.message
    session = Session(model)
    session.record("What is it?", "A cat. " * 300)
    with pytest.raises(TooLongError, match="the conversation with this question takes"):
        session.ask("Why?", sampling=SHORT)
    assert len(session.turns) == 1


def test_old_rounds_can_be_left_out_and_later_images_keep_their_numbers(model):
    session = Session(model, overflow="drop")
    session.record("What is it?", "A cat. " * 60, PICTURES[:1])
    session.record("And these?", "Dogs. ", PICTURES[1:3])
    said = session.ask("And this?" + " Well?" * 60, PICTURES[3:4], sampling=SHORT)
    assert said.num_turns_dropped == 1
    prompt, _ = session.prepare("Why?", [], SHORT)
    text = model.tokenizer.decode(prompt.text.input_ids)
    assert "### Image 1:" not in text
    assert all(f"### Image {number}:" in text for number in (2, 3, 4))
    assert np.array_equal(prompt.pixels[0], decode_image(PICTURES[1], model.encoder.pixels))
    assert len(session.turns) == 3


def test_an_answer_ends_where_the_model_has_no_room_for_more(model):
    session = Session(model)
    length = len(session.prompt_tokens("Why?"))
    session.record("Why?" + " Well?" * 60, "So. ")
    spare = model.max_tokens - len(session.prompt_tokens("Why?"))
    said = session.ask("Why?", sampling=Sampling(max_new_tokens=10_000))
    assert said.num_new_tokens <= spare < model.max_tokens - length
    if said.finish == "length":
        assert said.num_new_tokens == spare


@pytest.mark.parametrize(
    "wrong", [{"max_new_tokens": 0}, {"temperature": -1}, {"top_p": 0}, {"top_k": -1}, {"repetition_penalty": 0}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(SessionError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_a_penalty_makes_repeats_rarer(model):
    def repeats(penalty):
        said = Session(model).ask("Why?", sampling=Sampling(max_new_tokens=60, repetition_penalty=penalty))
        ids = model.tokenizer(said.text, add_special_tokens=False)["input_ids"]
        return len(ids) - len(set(ids))

    assert repeats(1.8) < repeats(1.0)
