"""A system text of a conversation gives the tokens that it had in training, where it was the first turn's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.data.sample import Turn
from blender.encoding.chat import find_template
from blender.encoding.encoder import make_text_encoder
from blender.encoding.marked_text import MARK
from tests.stream.chat_templates import CHAT_TEMPLATES, chatting
from tests.stream.tiny_tokenizers import KINDS, tiny_tokenizer

TEMPLATES = [(kind, name) for kind in KINDS for name in ("deepspeed-visualchat", "plain")]
TEMPLATES += [(kind, "chat") for kind in CHAT_TEMPLATES]
ENCODERS = {}
#: special tokens, markers, placeholders and white space among the words
words = st.sampled_from(
    ["Be brief.", "</s>", "<|im_end|>", "<|eot_id|>", "<image>", "### Answer:", "\ufdd10\ufdd2", "\ufdd3", " ", "\n\n"]
)
systems = (
    (st.lists(words | st.text(max_size=5), min_size=1, max_size=5)).map("".join).filter(lambda s: s and MARK not in s)
)


def encoder_of(kind, name):
    if (kind, name) not in ENCODERS:
        tokenizer = chatting(kind) if name == "chat" else tiny_tokenizer(kind)
        ENCODERS[kind, name] = make_text_encoder(tokenizer, 3), find_template(name, tokenizer)
    return ENCODERS[kind, name]


def turns_with(system):
    asked = Turn([1], "What is it?", "A cat.", 0, system)
    return [asked, Turn([2], "And here?", "42 dogs", 0)]


@pytest.mark.parametrize(("kind", "name"), TEMPLATES)
@settings(max_examples=15)
@given(systems)
def test_a_conversations_system_text_is_asked_as_the_first_turns_was_trained(kind, name, system):
    encoder, template = encoder_of(kind, name)
    for count in (1, 2):
        trained = encoder.encode(template.render(turns_with(system)[:count]))
        prompt = encoder.encode_prompt(template.with_system(system).render_prompt(turns_with("")[:count]))
        assert prompt.input_ids.tolist() == trained.input_ids[: len(prompt)].tolist()
        assert prompt.image_index.tolist() == trained.image_index[: len(prompt)].tolist()
        assert trained.loss_mask[len(prompt)]
        assert not trained.loss_mask[len(prompt) - 1]
