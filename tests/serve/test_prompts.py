"""Three doors, one prompt: what the processor makes, what a session asks, what training has before an answer."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor, CLIPImageProcessor

from blender.data.sample import ImageRef, Sample, Turn
from blender.encoding.image_processor import read_pixel_spec
from blender.encoding.marked_text import MARK
from blender.model import VisualChatProcessor
from blender.serve.loading import LoadedModel
from blender.serve.session import Session
from blender.stream.encode import Encoder
from blender.stream.models import load_text_encoder
from tests.stream.chat_templates import CHAT_TEMPLATES, chatting
from tests.stream.tiny_tokenizers import KINDS, tiny_tokenizer

POSITIONS = 3
PIXELS = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
#: every kind of tokenizer with templates of ours, and every chat template
DOORS = [(kind, name) for kind in KINDS for name in ("deepspeed-visualchat", "plain")]
DOORS += [(kind, "chat") for kind in CHAT_TEMPLATES]

words = st.sampled_from(
    ["</s>", "<s>", "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<|begin_of_text|>", "<image>"]
    + ["### Answer:", "A cat", "42", " ", "  ", "\n\n", ".", "?", "é", "日本語", "\u2581", "\u200b", "[INST]", "user\n"]
)
texts = st.lists(words | st.text(max_size=5), max_size=5).map("".join).filter(lambda text: MARK not in text)
#: what a session may be asked; no answer begins with white space, which belongs to the template
questions = texts.filter(str.strip)
answers = texts.filter(lambda text: text and not text[0].isspace() and text.strip())


@cache
def doors(kind, template):
    """Processor, session and training encoder, each opened from a folder by its own way."""
    folder = Path(mkdtemp())
    tokenizer = chatting(kind) if template == "chat" else tiny_tokenizer(kind)
    VisualChatProcessor(PIXELS, tokenizer, POSITIONS, template).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "visualchat"}')
    processor = AutoProcessor.from_pretrained(folder)
    encoder = Encoder(processor.text_encoder, read_pixel_spec(PIXELS), None, processor.find_template())
    session = Session(LoadedModel("tiny", None, processor.tokenizer, encoder))
    training, _ = load_text_encoder(folder, POSITIONS, template=template)
    return processor, session, training


def ids_before_the_last_answer(training, rounds):
    """Encode a conversation as training does; return what comes before its last answer."""
    count = sum(len(one.images) for one in rounds)
    images = [ImageRef("s", str(number), 9, 9) for number in range(count)]
    whole = training.encode(Sample("k", "d", ["s"], images, rounds, "t", []))
    before = whole.turn_ends[-2] if len(whole.turn_ends) > 1 else 0
    start = before + int(whole.loss_mask[before:].argmax())
    return whole.input_ids[:start].tolist(), whole.image_index[:start].tolist()


@pytest.mark.parametrize(("kind", "template"), DOORS)
@settings(deadline=None, max_examples=12)
@given(st.lists(st.tuples(questions, answers, st.integers(0, 2)), min_size=1, max_size=3))
def test_processor_session_and_training_give_the_same_tokens(kind, template, said):
    processor, session, training = doors(kind, template)
    picture, rounds, messages, count = Image.new("RGB", (20, 20)), [], [], 0
    for question, answer, num_images in said:
        numbers = list(range(count + 1, count + 1 + num_images))
        rounds.append(Turn(numbers, question, answer, 0))
        parts = [{"type": "image", "image": picture}] * num_images
        messages.append({"role": "user", "content": [*parts, {"type": "text", "text": question}]})
        messages.append({"role": "assistant", "content": answer})
        count += num_images
    session.reset()
    session._turns, session._images = rounds[:-1], [None] * (count - len(rounds[-1].images))
    asked = session.prompt_tokens(rounds[-1].question, len(rounds[-1].images))
    batch = processor.apply_chat_template(messages[:-1], tokenize=True, return_dict=True, add_generation_prompt=True)
    ids, image = ids_before_the_last_answer(training, rounds)
    assert asked.input_ids.tolist() == batch["input_ids"][0].tolist() == ids
    assert asked.image_index.tolist() == batch["image_index"][0].tolist() == image
    assert len(batch.get("pixels", ())) == count
    whole = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    kept = training.text.encode(training.template.render(rounds)).keep_turns(None)
    assert whole["input_ids"][0].tolist() == kept.input_ids.tolist()
    assert whole["assistant_masks"][0].tolist() == kept.loss_mask.tolist()


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=12)
@given(questions)
def test_a_prompt_written_as_text_gives_them_too_with_and_without_its_last_space(kind, question):
    processor, session, _ = doors(kind, "deepspeed-visualchat")
    session.reset()
    session._turns, session._images = [], []
    asked = session.prompt_tokens(question, 1).input_ids.tolist()
    text = "".join(span.text for span in processor.find_template().render_prompt([Turn([1], question, "", 0)]))
    for written in (text, text.removesuffix(" ")):
        assert processor(written, [Image.new("RGB", (20, 20))])["input_ids"][0].tolist() == asked


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_in_a_text_stay_the_characters_they_are_written_with(kind):
    processor, _, _ = doors(kind, "plain")
    special = processor.tokenizer.all_special_tokens
    ids = processor(" ".join(special) + "\n")["input_ids"][0].tolist()
    first = 0 if processor.text_encoder.begin_id is None else 1
    ends = {processor.tokenizer.bos_token_id, processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id}
    assert ends.isdisjoint(ids[first:])
    assert all(token in processor.tokenizer.decode(ids[first:]) for token in special)


def test_a_tokenizer_is_read_once_and_again_when_it_has_changed():
    processor = VisualChatProcessor(PIXELS, chatting("llama3"), POSITIONS, "plain")
    first = processor.text_encoder
    processor("a\n"), processor("b\n")
    assert processor.text_encoder is first
    processor.tokenizer = tiny_tokenizer("qwen")
    assert processor("a\n")["input_ids"][0].tolist() == doors("qwen", "plain")[0]("a\n")["input_ids"][0].tolist()
