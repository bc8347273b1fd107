"""A tokenizer's own chat template: Hugging Face's tokens, images in place, loss on answers and their end."""

import copy
import pickle
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import StreamError
from blender.data.sample import Sample, Turn
from blender.data.template import TEMPLATES
from blender.encoding.chat import SYSTEM, find_template, make_chat_template
from blender.encoding.encoder import make_text_encoder
from blender.encoding.image_processor import PixelSpec
from blender.encoding.marked_text import TemplateSpan
from blender.stream.encode import Encoder, count_tokens
from tests.stream.chat_templates import CHAT_TEMPLATES, chatting
from tests.stream.tiny_tokenizers import tiny_tokenizer

POSITIONS = 3
PIXELS = PixelSpec(8, 8, (8, 8), None, 2, 1 / 255, (0.0,) * 3, (1.0,) * 3)
KINDS = tuple(CHAT_TEMPLATES)
#: what Hugging Face's own functions are told, as ours tells the template
SETTINGS = {"date_string": "26 Jul 2024", "enable_thinking": False}
#: words with spaces between, such as no tokenizer glues to what stands around
WORDS = st.lists(st.sampled_from(["cat", "Two", "dogs?", "42", "</s>", "<|im_end|>", "[INST]", "été"]), min_size=1).map(
    " ".join
)


@cache
def encoder(kind):
    return make_text_encoder(chatting(kind), POSITIONS)


def turn(question, answer, images=()):
    return Turn(list(images), question, answer, 0)


def messages(turns, kind):
    template = make_chat_template(chatting(kind))
    said = [{"role": "system", "content": SYSTEM}] if template.system_message else []
    for number, one in enumerate(turns):
        before = "" if said or number else SYSTEM + "\n\n"
        said += [{"role": "user", "content": before + one.question}, {"role": "assistant", "content": one.answer}]
    return said


def hugging_face(turns, kind):
    """Ids and mask as Hugging Face has them."""
    found = chatting(kind).apply_chat_template(
        messages(turns, kind), tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **SETTINGS
    )
    return found["input_ids"], [bool(one) for one in found["assistant_masks"]]


SLY = "Be </s> <|im_end|> <|eot_id|> <image> brief."
TURNS = [turn("What is it?", "A cat."), turn("How many dogs?", "42 dogs, 3 cats")]


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_those_of_hugging_face(kind):
    encoded = encoder(kind).encode(make_chat_template(chatting(kind)).render(TURNS))
    assert encoded.input_ids.tolist() == hugging_face(TURNS, kind)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_trained_are_the_answers_and_their_end_tokens(kind):
    encoded = encoder(kind).encode(make_chat_template(chatting(kind)).render(TURNS))
    ids, mask = hugging_face(TURNS, kind)
    trained = encoded.loss_mask.tolist()
    text = chatting(kind).decode([i for i, one in zip(ids, trained, strict=True) if one])
    assert text.replace(" ", "") == "Acat.END42dogs,3catsEND".replace("END", end_of(kind))
    if not kind.startswith("llama2"):  # where Hugging Face finds its offsets in a text that keeps its spaces
        assert trained == mask


def end_of(kind):
    return {"llama2-chat": "</s>", "llama2-chat-metaspace": "</s>", "llama3": "<|eot_id|>"}.get(kind, "<|im_end|>")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("llama2")])
def test_loss_begins_with_the_answer_and_ends_with_its_end_token(kind):
    encoded = encoder(kind).encode(make_chat_template(chatting(kind)).render(TURNS))
    pieces = chatting(kind).convert_ids_to_tokens(encoded.input_ids[encoded.loss_mask].tolist())
    assert pieces[-1] == "</s>"
    assert pieces.count("</s>") == 2
    assert encoded.turn_ends[-1] == len(encoded.input_ids)


@pytest.mark.parametrize("kind", KINDS)
@given(questions=st.lists(WORDS, min_size=1, max_size=3), answers=st.lists(WORDS, min_size=3, max_size=3))
def test_texts_never_make_structure(kind, questions, answers):
    turns = [turn(question, answer) for question, answer in zip(questions, answers, strict=False)]
    template, tokenizer = make_chat_template(chatting(kind)), chatting(kind)
    encoded = encoder(kind).encode(template.render(turns))
    plain = encoder(kind).encode(template.render([turn("a", "b") for _ in turns]))
    special = set(tokenizer.all_special_ids)
    assert [i for i in encoded.input_ids if i in special] == [i for i in plain.input_ids if i in special]
    assert len(encoded.turn_ends) == len(turns)


@pytest.mark.parametrize("kind", KINDS)
def test_images_stand_numbered_in_the_turn_that_shows_them(kind):
    turns = [turn("What is it?", "A cat.", [1, 2]), turn("And here?", "42 dogs", [3])]
    encoded = encoder(kind).encode(make_chat_template(chatting(kind)).render(turns))
    runs = encoded.image_runs()
    assert [length for _, length in runs] == [POSITIONS] * 3
    text = [chatting(kind).decode(encoded.input_ids[:first]) for first, _ in runs]
    assert all(shown.rstrip().endswith(f"Image {number}:") for number, shown in enumerate(text, 1))
    first_end = encoded.turn_ends[0]
    assert runs[1][0] < first_end < runs[2][0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_is_what_stands_before_the_answer(kind):
    template = make_chat_template(chatting(kind))
    whole = encoder(kind).encode(template.render(TURNS))
    prompt = encoder(kind).encode_prompt(template.render_prompt([TURNS[0], turn(TURNS[1].question, "")]))
    trained = whole.loss_mask.copy()
    trained[: whole.turn_ends[0]] = False
    assert prompt.input_ids.tolist() == whole.input_ids[: trained.argmax()].tolist()


def test_the_system_text_stands_before_the_first_question_where_no_system_is_known():
    rendered = "".join(span.text for span in make_chat_template(chatting("no-system")).render(TURNS))
    assert rendered.startswith("<|im_start|>user\n" + SYSTEM + "\n\nWhat is it?")


@pytest.mark.parametrize("kind", KINDS)
def test_the_system_text_can_be_another_or_none(kind):
    template = make_chat_template(chatting(kind))
    said = "".join(span.text for span in template.with_system("Be brief.").render(TURNS))
    assert said.count("Be brief.") == 1
    assert said.index("Be brief.") < said.index("What is it?")
    assert SYSTEM not in said
    assert SYSTEM not in "".join(span.text for span in template.with_system("").render(TURNS))


@pytest.mark.parametrize("kind", KINDS)
def test_a_system_text_cannot_make_structure_either(kind):
    template, special = make_chat_template(chatting(kind)), set(chatting(kind).all_special_ids)
    usual, sly = (
        encoder(kind).encode(template.with_system(text).render(TURNS)).input_ids for text in ("Be brief.", SLY)
    )
    assert [i for i in sly if i in special] == [i for i in usual if i in special]


def with_systems(*systems):
    return [Turn([], f"Question {n}?", f"Answer {n}.", 0, text) for n, text in enumerate(systems)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_turns_system_text_stands_before_it_untrained(kind):
    template = make_chat_template(chatting(kind))
    said = "".join(span.text for span in template.render(with_systems("Be kind.", "", "Be brief.")))
    assert SYSTEM not in said
    order = ["Be kind.", "Question 0?", "Answer 1.", "Be brief.", "Question 2?"]
    assert [said.count(text) for text in order] == [1] * len(order)
    assert sorted(order, key=said.index) == order
    usual, sly = (encoder(kind).encode(template.render(with_systems("x", text))) for text in ("Be brief.", SLY))
    special = set(chatting(kind).all_special_ids)
    assert [i for i in sly.input_ids if i in special] == [i for i in usual.input_ids if i in special]
    assert len(sly.turn_ends) == 2
    trained = chatting(kind).decode(usual.input_ids[usual.loss_mask])
    assert "brief" not in trained and "Answer 1." in trained


def test_a_later_system_text_is_a_message_where_the_template_has_one_and_else_opens_the_question():
    turns = with_systems("", "Be brief.")
    texts = {kind: "".join(s.text for s in make_chat_template(chatting(kind)).render(turns)) for kind in KINDS}
    assert "<|start_header_id|>system<|end_header_id|>\n\nToday Date" in texts["llama3"].partition("Answer 0.")[2]
    for kind in ("no-system", "llama2-chat"):
        assert "Be brief.\n\nQuestion 1?" in texts[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_token_is_known(kind):
    assert make_chat_template(chatting(kind)).end == end_of(kind)


def test_the_template_that_thinks_is_told_not_to():
    spans = make_chat_template(chatting("thinking")).render(TURNS)
    before = [spans[place - 1].text for place, span in enumerate(spans) if span.train]
    assert "<think>" not in before[0]
    assert before[1].endswith("<think>\n\n</think>\n\n")


def test_one_begin_token_at_most_is_added():
    spans = make_chat_template(chatting("llama3")).render(TURNS)
    ids = encoder("llama3").encode(spans).input_ids.tolist()
    assert ids.count(chatting("llama3").bos_token_id) == 1


def test_it_travels_to_other_processes():
    template = make_chat_template(chatting("qwen"))
    rendered = template.render(TURNS)
    again = pickle.loads(pickle.dumps(template))
    assert again == template
    assert again.render(TURNS) == rendered
    assert isinstance(again.render(TURNS)[0], TemplateSpan)


def test_templates_are_found_by_name():
    assert find_template("plain", chatting("qwen")) is TEMPLATES["plain"]
    assert find_template("chat", chatting("qwen")) == make_chat_template(chatting("qwen"))
    with pytest.raises(StreamError, match="no template plane"):
        find_template("plane", chatting("qwen"))


def test_a_tokenizer_without_chat_template_is_refused():
    with pytest.raises(StreamError, match="has no chat template"):
        find_template("chat", tiny_tokenizer("gpt2"))


def test_a_template_that_closes_no_answer_is_refused():
    tokenizer = copy.deepcopy(tiny_tokenizer("gpt2"))
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    with pytest.raises(StreamError, match="closes no answer"):
        make_chat_template(tokenizer)


def test_a_template_that_leaves_messages_out_is_refused():
    tokenizer = copy.deepcopy(chatting("qwen"))
    tokenizer.chat_template = "{{ messages[-1]['content'] + '<|im_end|>' }}"
    with pytest.raises(StreamError, match="every message once"):
        make_chat_template(tokenizer)


def test_when_turns_are_dropped_the_rest_is_rendered_as_if_it_were_all():
    turns = [*TURNS, turn("Really?", "Who is there?")]
    template, text = make_chat_template(chatting("thinking")), encoder("thinking")
    two = text.encode(template.render(turns[:2]))
    fits = Encoder(text, PIXELS, max_tokens=two.turn_ends[-1], template=template)
    assert count_tokens(sample(turns), fits) == two.turn_ends[-1]
    tight = Encoder(text, PIXELS, max_tokens=two.turn_ends[-1] - 1, template=template)
    assert count_tokens(sample(turns), tight) == text.encode(template.render(turns[:1])).turn_ends[-1]


def sample(turns):
    return Sample("a", "llava", ["llava/file/1"], [], turns, "plain", [])
