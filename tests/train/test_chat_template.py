"""Training with the tokenizer's own chat template, and talking to what was trained."""

import shutil

import pytest
from transformers import AutoTokenizer

from blender import open_blend
from blender.core.errors import StreamError
from blender.serve.loading import open_model
from blender.serve.session import Session
from blender.stream.models import load_encoder
from blender.train.run import train

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '[' + m['role'] + ']\n' + m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def chat_parts(parts, tmp_path_factory):
    """The parts with a tokenizer that can chat."""
    language = tmp_path_factory.mktemp("chat") / "language"
    shutil.copytree(parts[0], language)
    tokenizer = AutoTokenizer.from_pretrained(language)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(language)
    return language, parts[1]


def test_what_is_asked_is_what_was_trained(make, chat_parts, blend, tmp_path):
    language, vision = map(str, chat_parts)
    model = {"language": language, "vision": vision}
    recipe = make(template="chat", model=model, schedule={"steps": 1})
    train(recipe, tmp_path / "run")
    loaded = open_model(tmp_path / "run" / "model", device="cpu")
    assert loaded.template.name == "chat"

    encoder, _, _ = load_encoder(language, vision, image_positions=loaded.model.image_positions, template="chat")
    stored = next(one for one in open_blend(blend) if len(one.sample.turns) > 1)
    first, second = stored.sample.turns[:2]
    trained = encoder.text.encode(encoder.template.render(stored.sample.turns))
    session = Session(loaded)
    shown = len(first.images)
    session.record(first.question, first.answer, stored.images[:shown])
    asked = session.prompt_tokens(second.question, len(second.images)).input_ids.tolist()
    assert asked == trained.input_ids[: len(asked)].tolist()
    assert trained.loss_mask[len(asked)]
    assert not trained.loss_mask[len(asked) - 1]


def test_a_tokenizer_that_cannot_chat_is_refused_before_weights_are_loaded(make, tmp_path):
    with pytest.raises(StreamError, match="has no chat template"):
        train(make(template="chat"), tmp_path / "run")
