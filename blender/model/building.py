"""Make a new model of a pretrained language model and a pretrained vision tower.

Whatever can be wrong is found from the configurations, before any weight is read (:func:`read_config`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from blender.core.errors import ModelError, StreamError
from blender.core.hub import load_named
from blender.encoding.image_processor import checked_pixel_spec, load_image_processor
from blender.model.configuration import VisualChatConfig
from blender.model.decoder_attention import ATTENTION_NAME, check_decoder
from blender.model.vision import check_tower, vision_part

#: a model's name, its folder, or the model itself
Part = str | Path | PreTrainedModel


def read_config(language: Part, vision: Part, **settings: Any) -> VisualChatConfig:
    """Make the configuration of a joined model, and check that the parts can be joined.

    Args:
        language: The language model.
        vision: The vision tower, or a model of a vision tower and a text tower, such as CLIP.
        **settings: Fields of :class:`~blender.model.VisualChatConfig`; None for its default.

    Raises:
        ModelError: A part cannot be found, or cannot be used.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    unknown = set(given) - set(VisualChatConfig.__dataclass_fields__)
    if unknown:
        raise ModelError(f"a model has no setting {sorted(unknown)[0]!r}", "see docs/model.md for those there are")
    text, tower = _config_of("language model", language), vision_part(_config_of("vision tower", vision))
    check_decoder(text)
    check_tower(tower)
    config = VisualChatConfig(**{**_image_settings(vision), **given, "text_config": text, "vision_config": tower})
    config.parts = {name: _name(part) for name, part in (("language", language), ("vision", vision)) if _name(part)}
    check_tower(tower, config.image_size, config.keep_class_token)
    return config


def check_vocabulary(config: VisualChatConfig, tokenizer: Any) -> None:
    """Check that every token has a row in the embedding.

    Raises:
        ModelError: It has not.
    """
    text: Any = config.text_config
    size = int(text.vocab_size)
    if len(tokenizer) > size:
        reason = f"the tokenizer has {len(tokenizer)} tokens, and the language model's embedding {size} rows"
        raise ModelError(reason, "use the tokenizer that belongs to the language model")


def build(cls: Any, language: Part, vision: Part, dtype: Any, seed: int, **settings: Any) -> Any:
    """Load both parts and join them.

    Args:
        cls: The model's class.
        language: The language model.
        vision: The vision tower.
        dtype: Of all weights; None for that of the language model as it is stored.
        seed: Of the new weights.
        **settings: As for :func:`read_config`.

    Raises:
        ModelError: A part cannot be loaded or used.
    """
    return join(cls, read_config(language, vision, **settings), language, vision, dtype, seed)


def join(cls: Any, config: VisualChatConfig, language: Part, vision: Part, dtype: Any, seed: int) -> Any:
    """Load both parts and join them as a configuration says."""
    lm: Any = language
    if not isinstance(language, PreTrainedModel):
        lm = _load("language model", AutoModelForCausalLM, language, config.text_config, dtype, ATTENTION_NAME)
    tower: Any = vision
    if not isinstance(vision, PreTrainedModel):
        tower = _load("vision tower", AutoModel, vision, config.vision_config, dtype or lm.dtype, None)
    config.dtype = dtype or lm.dtype
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls(config, lm, tower.vision_model if hasattr(tower.config, "vision_config") else tower)
    model.projector.to(config.dtype)
    if model.cross is not None:
        model.cross.to(config.dtype)
    if getattr(lm, "generation_config", None) is not None:
        model.generation_config = lm.generation_config
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Silence transformers' progress bars and warnings about missing weights, which are checked here."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _name(part: Part) -> str:
    """Return the name to load a part by later; of a folder its absolute path."""
    if isinstance(part, PreTrainedModel):
        return str(part.name_or_path or "")
    return str(Path(part).resolve()) if Path(part).is_dir() else str(part)


def _config_of(what: str, part: Part) -> Any:
    if isinstance(part, PreTrainedModel):
        return part.config
    return load_named(what, part, AutoConfig.from_pretrained)


def _image_settings(vision: Part) -> dict[str, Any]:
    """Return the settings of the configuration that the tower's image processor decides."""
    if isinstance(vision, PreTrainedModel):
        return {}
    try:
        spec = checked_pixel_spec(load_image_processor(vision, ModelError))
    except StreamError as error:
        raise ModelError(f"{vision}: {error.message}", error.hint) from error
    if spec.height != spec.width:
        reason = f"the image processor of {vision} makes images of {spec.height} x {spec.width} pixels"
        raise ModelError(reason, "use a vision tower whose images are square")
    return {
        "image_size": spec.height,
        "image_scale": spec.scale,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
    }


def _load(what: str, loader: Any, part: Part, config: Any, dtype: Any, attention: str | None) -> Any:
    options = {"dtype": dtype or "auto", **({} if attention is None else {"attn_implementation": attention})}

    def load(name: str) -> Any:
        with quietly():
            return loader.from_pretrained(name, config=config, output_loading_info=True, **options)

    assert not isinstance(part, PreTrainedModel)
    model, info = load_named(what, part, load)
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"the {what} {part} lacks {len(missing)} weights, such as {missing[0]}", "load it anew")
    return model
