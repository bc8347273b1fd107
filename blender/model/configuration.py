"""The configuration of the joined model: its two parts, how they are joined, and how images are normalised."""

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from blender.core.errors import ModelError
from blender.model.block_layout import ATTENTIONS
from blender.model.projector import PROJECTORS
from blender.model.vision import native_size, num_features


class VisualChatConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Configuration of a :class:`~blender.model.modeling.VisualChatModel`."""

    model_type = "visualchat"
    sub_configs_defaults = {}
    has_no_defaults_at_init = True

    #: the causal language model's configuration
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    #: the vision tower's configuration
    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    #: mmca, causal or cross
    attention: str = "mmca"
    #: with cross attention: a gated layer before every n-th layer of the decoder
    cross_every: int = 4
    #: linear, vit or perceiver
    projector: str = "linear"
    #: layers of the perceiver
    perceiver_layers: int = 2
    #: positions that an image takes; None for one per feature of the tower, or 256 with the perceiver
    image_positions: int | None = None
    #: pixels of an image's edge; None for the vision tower's own
    image_size: int | None = None
    #: which hidden states of the tower are taken; -2, those before the last layer, as LLaVA does
    vision_layer: int = -2
    #: whether class token and registers are kept
    keep_class_token: bool = False
    #: value of a pixel = (byte * image_scale - image_mean) / image_std
    image_scale: float = 1 / 255
    image_mean: list[float] | None = None
    image_std: list[float] | None = None
    #: token id at image positions
    image_token_id: int | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    #: per part that has low-rank adapters, what peft.LoraConfig is given
    lora: dict[str, dict[str, Any]] | None = None
    #: where the frozen parts come from, when they are not saved here: {"language": name or folder, "vision": ...}
    parts: dict[str, str] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Make configurations of dicts, and fill in what follows from the parts."""
        self.text_config = _as_config(self.text_config)
        self.vision_config = _as_config(self.vision_config)
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]
        if self.text_config is not None and self.vision_config is not None:
            self._complete()

    def _complete(self) -> None:
        _check_among("attention", self.attention, ATTENTIONS)
        _check_among("projector", self.projector, PROJECTORS)
        text: Any = self.text_config
        vision: Any = self.vision_config
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(text, name, None))
        self.image_size = self.image_size or native_size(vision)
        self._check_layers(text, vision)
        self.image_mean = self.image_mean or [0.5, 0.5, 0.5]
        self.image_std = self.image_std or [0.5, 0.5, 0.5]
        features = num_features(vision, self.image_size or 0, self.keep_class_token)
        if self.projector == "perceiver":
            self.image_positions = self.image_positions or 256
        elif self.image_positions not in (None, features):
            reason = (
                f"an image has {features} features with this vision tower and takes {self.image_positions} positions"
            )
            raise ModelError(reason, f"let it take {features}, or use the perceiver, which takes any number")
        else:
            self.image_positions = features

    def _check_layers(self, text: Any, vision: Any) -> None:
        if self.attention == "cross" and not 1 <= self.cross_every <= text.num_hidden_layers:
            reason = f"a cross layer is wanted before every {self.cross_every} layers"
            raise ModelError(f"{reason}, and the language model has {text.num_hidden_layers}", "set cross_every")
        layers = getattr(vision, "num_hidden_layers", None)
        if layers is not None and not -layers - 1 <= self.vision_layer <= layers:
            reason = f"the vision tower of {layers} layers has no hidden states {self.vision_layer}"
            raise ModelError(reason, f"set vision_layer to something from {-layers - 1} to {layers}")

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Any:
        """Return the language model's configuration."""
        return self.text_config if self.text_config is not None else self


def _as_config(config: Any) -> Any:
    if isinstance(config, dict):
        return AutoConfig.for_model(**config)
    return config


def _check_among(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ModelError(f"there is no {what} {value!r}", f"use one of {', '.join(known)}")
