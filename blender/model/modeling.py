"""The joined model: vision tower, projector and decoder, with ``mmca``, causal or cross attention.

Training runs all samples of a batch as one row without padding (:mod:`blender.model.block_layout`); generation keeps
one row per sample and a KV cache. The decoder is an unchanged Hugging Face class, named by the configuration: it is
given embeddings and position numbers, and calls our attention by name. Its own input embedding embeds the text and its
own head makes the logits, in training and in generation, so what is trained is what generates. Where head and embedding
share their weight, training the embedding trains both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModel, AutoModelForCausalLM, DynamicCache, GenerationMixin
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils.generic import ModelOutput

from blender.core.errors import ModelError
from blender.model.block_layout import Attention
from blender.model.building import Part, build
from blender.model.configuration import VisualChatConfig
from blender.model.cross_attention import insert_before, make_cross_layers
from blender.model.decoder_attention import check_decoder, decoder_layers, use_our_attention
from blender.model.forward import ForwardResult, ProjectedImages, forward_cached, forward_packed
from blender.model.generation import ImageGeneration
from blender.model.inputs import complete_positions
from blender.model.kv_cache import positions_in
from blender.model.losses import find_trained, finish_logits, token_losses
from blender.model.projector import Projector, make_projector
from blender.model.saving import SavedModel, save_trained
from blender.model.trainable import add_adapters, set_trainable
from blender.model.vision import check_tower, normalise, tower_features


@dataclass
class VisualChatOutput(ModelOutput):
    """What a forward gives. ``B`` rows, ``T`` positions, ``K`` trained tokens, ``V`` ids, ``D`` width."""

    #: sum of the token losses over their number, or over 1 where there is none; None without labels
    loss: torch.Tensor | None = None
    #: (K,) float32: cross entropy of each trained token
    token_losses: torch.Tensor | None = None
    #: (K, 2) int64: row and position of the label of each trained token
    trained: torch.Tensor | None = None
    #: (B, T, V), or fewer positions when asked for the last ones; None with labels
    logits: torch.Tensor | None = None
    past_key_values: Any = None
    #: per layer and one more (B, T, D); zero at positions that do not run through the decoder
    hidden_states: tuple[torch.Tensor, ...] | None = None


class VisualChatModel(SavedModel, ImageGeneration, GenerationMixin):  # type: ignore[no-untyped-call]
    """A language model that sees images, as DeepSpeed-VisualChat (arXiv 2309.14327) joins them."""

    config: VisualChatConfig
    config_class = VisualChatConfig
    main_input_name = "input_ids"
    input_modalities: Any = ("image", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement: Any = ["past_key_values"]

    def __init__(self, config: VisualChatConfig, language: Any = None, vision: Any = None) -> None:
        super().__init__(config)
        text: Any = config.text_config
        check_decoder(text)
        if vision is None:
            check_tower(config.vision_config, config.image_size, config.keep_class_token)
        self.language: Any = _from_config(AutoModelForCausalLM, text) if language is None else language
        self.vision: Any = _from_config(AutoModel, config.vision_config) if vision is None else vision
        use_our_attention(self.language)
        self.projector = make_projector(
            cast(Projector, config.projector), self.vision.config.hidden_size, text.hidden_size, self.image_positions,
            config.perceiver_layers,
        )  # fmt: skip
        self.cross: nn.ModuleDict | None = None
        if config.attention == "cross":
            self.cross = make_cross_layers(text.hidden_size, text.num_hidden_layers, config.cross_every)
            insert_before(decoder_layers(self.language), self.cross)
        self.post_init()  # type: ignore[no-untyped-call]
        #: weights that differ from the frozen parts'
        self.own_weights: set[str] = set()
        if config.lora:
            add_adapters(self, config.lora)

    @classmethod
    def from_parts(
        cls,
        language: Part,
        vision: Part,
        *,
        attention: Attention = "mmca",
        projector: Projector = "linear",
        dtype: Any = None,
        seed: int = 0,
        **settings: Any,
    ) -> "VisualChatModel":
        """Join a pretrained language model and a pretrained vision tower; projector and embedding are trained.

        Args:
            language: Name or folder of a causal language model, or the model.
            vision: Name or folder of a vision tower, or the model.
            attention: ``mmca``, ``causal`` or ``cross``.
            projector: ``linear``, ``vit`` or ``perceiver``.
            dtype: Of all weights; by default that of the language model as it is stored.
            seed: Of the new weights.
            **settings: Further fields of :class:`~blender.model.VisualChatConfig`; None for its default.

        Raises:
            ModelError: A part cannot be loaded, or cannot be used.
        """
        made: VisualChatModel = build(
            cls, language, vision, dtype, seed, attention=attention, projector=projector, **settings
        )
        return set_trainable(made)  # type: ignore[no-any-return]

    def save_trained(self, folder: str | Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
        """Save trained weights only, and where the frozen parts are; see :func:`blender.model.saving.save_trained`."""
        save_trained(self, folder, weights)

    @property
    def image_positions(self) -> int:
        """Positions that an image takes."""
        return int(self.config.image_positions or 0)

    def get_input_embeddings(self) -> Any:
        """Return the language model's input embedding."""
        return self.language.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """Set the language model's input embedding."""
        self.language.set_input_embeddings(value)

    def get_output_embeddings(self) -> Any:
        """Return the language model's head."""
        return self.language.get_output_embeddings()

    def set_output_embeddings(self, value: Any) -> None:
        """Set the language model's head."""
        self.language.set_output_embeddings(value)

    def _init_weights(self, module: Any) -> None:
        """Leave everything as its own constructor made it."""

    def train(self, mode: bool = True) -> "VisualChatModel":
        """Set training mode; a vision tower of which nothing is trained stays in evaluation mode."""
        super().train(mode)
        if not _is_trained(self.vision):
            self.vision.eval()
        return self

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Any = None, **kwargs: Any) -> None:
        """Recompute activations of the decoder's layers, and of the cross layers, in the backward pass."""
        options = gradient_checkpointing_kwargs or {"use_reentrant": False}
        for part in [self.language, self.cross]:
            for module in part.modules() if part is not None else ():
                if isinstance(module, GradientCheckpointingLayer):
                    module._gradient_checkpointing_func = partial(checkpoint, **options)  # type: ignore[assignment]
                    module.gradient_checkpointing = True

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the vision tower sees, before the projector: (N, F, V).

        Args:
            pixels: (N, C, H, W) uint8, or normalised numbers.

        Raises:
            ModelError: Images of another size than the model's.
        """
        size = self.config.image_size
        if tuple(pixels.shape[-2:]) != (size, size):
            reason = f"images of {pixels.shape[-2]} x {pixels.shape[-1]} pixels for a model of {size} x {size}"
            raise ModelError(reason, "encode samples with the image size of the model")
        config = self.config
        normalised = normalise(pixels, config.image_scale, config.image_mean or [], config.image_std or [])
        with torch.set_grad_enabled(torch.is_grad_enabled() and _is_trained(self.vision)):
            return tower_features(self.vision, normalised, config.vision_layer, config.keep_class_token)

    def forward(
        self,
        input_ids: torch.Tensor,
        *,
        position_ids: torch.Tensor | None = None,
        segment_ids: torch.Tensor | None = None,
        image_index: torch.Tensor | None = None,
        pixels: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = True,
    ) -> VisualChatOutput:
        """Run the model.

        ``B`` rows, ``T`` positions, ``N`` images, ``C`` channels, ``H`` height, ``W`` width, ``F`` features of an
        image, ``V`` their width. ``position_ids``, ``segment_ids``, ``image_index`` and ``labels`` are wanted on the
        CPU and may stay there.

        Args:
            input_ids: (B, T) int64; anything at image positions.
            position_ids: (B, T) int64; by default from 0 in every sample.
            segment_ids: (B, T) int64; 0 at padding, else which sample of its row, from 1.
            image_index: (B, T) int64; which image has its features here, -1 at text. The first position that carries an
                image takes its first feature.
            pixels: (N, C, H, W) uint8, or normalised numbers; ``N`` may be 0.
            features: (N, F, V); what :meth:`encode_images` gave, instead of pixels.
            labels: (B, T) int64; -100 where nothing is trained; not shifted.
            attention_mask: (B, T) or longer; 0 at padding, where there are no ``segment_ids``.
            past_key_values: A cache. What is given continues it.
            use_cache: Fill a cache.
            logits_to_keep: Number of last positions that get logits; 0 for all.
            output_hidden_states: Return hidden states, too.
            return_dict: Not used; there is one kind of output.

        Raises:
            ModelError: The images do not fit the text.
        """
        cached = positions_in(past_key_values)
        positions = complete_positions(
            tuple(input_ids.shape), segment_ids, image_index, position_ids, attention_mask, cached
        )
        images = self._project(pixels, features, cached=cached is not None)
        if labels is None and (use_cache or past_key_values is not None):
            cache = DynamicCache() if past_key_values is None else past_key_values
            result = forward_cached(self, input_ids, positions, images, cache, cached)
        else:
            cache = None
            trained = None if labels is None else find_trained(labels.cpu(), positions.segment_ids)
            result = forward_packed(self, input_ids, positions, images, trained, bool(output_hidden_states))
        common: dict[str, Any] = {"past_key_values": cache, "hidden_states": result.hidden_states}
        if labels is not None:
            assert trained is not None
            return VisualChatOutput(**self._losses(result, labels, trained), **common)
        return VisualChatOutput(logits=self._logits(result, tuple(input_ids.shape), logits_to_keep), **common)

    def _project(self, pixels: Any, features: Any, cached: bool) -> ProjectedImages:
        """Return projected images; without any, one blank image, so that every rank computes the same gradients."""
        if features is None and pixels is not None and len(pixels):
            features = self.encode_images(pixels)
        if features is not None and len(features):
            return ProjectedImages(self.projector(features.to(_dtype(self.projector))), len(features))
        alone = not (torch.distributed.is_available() and torch.distributed.is_initialized())
        if cached or (alone and not torch.is_grad_enabled()):
            return ProjectedImages(None, 0)
        size = int(self.config.image_size or 0)
        channels = getattr(self.vision.config, "num_channels", 3)
        blank = torch.zeros((1, channels, size, size), dtype=torch.uint8, device=self.vision.device)
        return ProjectedImages(self.projector(self.encode_images(blank).to(_dtype(self.projector))), 0)

    def _losses(self, result: ForwardResult, labels: torch.Tensor, trained: torch.Tensor) -> dict[str, Any]:
        rows, columns = trained[:, 0], trained[:, 1]
        device = result.states.device
        before = result.layout.inverse_order(labels.numel())[rows * labels.shape[1] + columns - 1]
        logits = self._head(result.states.flatten(0, 1)[before.to(device)])
        losses = token_losses(logits, labels.cpu()[rows, columns].to(device))
        return {"loss": losses.sum() / max(1, len(trained)), "token_losses": losses, "trained": trained.to(device)}

    def _logits(self, result: ForwardResult, shape: tuple[int, ...], logits_to_keep: int) -> torch.Tensor:
        columns = result.layout.inverse_order(shape[0] * shape[1]).view(shape)[:, -logits_to_keep:]
        return self._head(result.states.flatten(0, 1)[columns.clamp(min=0).to(result.states.device)])

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        return finish_logits(self.config.text_config, self.get_output_embeddings()(states))


def _from_config(kind: Any, config: Any) -> Any:
    return kind.from_config(config)


def _dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
