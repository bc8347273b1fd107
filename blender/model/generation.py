"""transformers' ``generate`` with images: they come with the prompt, once, and repeated rows share them."""

from typing import Any

import torch
from transformers import DynamicCache, GenerationMixin

from blender.core.errors import ModelError
from blender.model.prefill import only_shown
from blender.model.sliding_windows import layer_windows


class ImageGeneration(GenerationMixin):
    """transformers' generation, with images in the prompt."""

    def generate(  # type: ignore[override]
        self, inputs: torch.Tensor | None = None, generation_config: Any = None, **options: Any
    ) -> Any:
        """Generate as transformers does, with a KV cache that keeps keys outside of sliding windows.

        transformers would drop old keys in windowed layers. Keys of images are among them, and stay visible here.

        Args:
            inputs: (B, T) token ids, unless given as ``input_ids``.
            generation_config: As ``GenerationMixin.generate`` takes it.
            **options: As ``GenerationMixin.generate`` takes them.

        Raises:
            ModelError: Another kind of cache is asked for, and the decoder has sliding windows.
        """
        model: Any = self
        config = generation_config or model.generation_config
        wants = {name: options.get(name, getattr(config, name, None)) for name in ("use_cache", "cache_implementation")}
        windowed = any(layer_windows(model.config.get_text_config()))
        if windowed and options.get("past_key_values") is None and wants["use_cache"] is not False:
            if wants["cache_implementation"] is not None:
                kind = wants["cache_implementation"]
                reason = f"a cache of the kind {kind!r} drops images that a sliding window has passed"
                raise ModelError(reason, "leave cache_implementation out")
            options["past_key_values"] = DynamicCache()
        parent: Any = super()
        return parent.generate(inputs, generation_config, **options)

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Any = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the inputs of one step: images only with the positions that show them.

        Args:
            input_ids: (B, T); the whole sequence so far.
            next_sequence_length: Number of last positions that the cache lacks; None for all.
            past_key_values: The cache.
            attention_mask: (B, T).
            inputs_embeds: Not taken.
            is_first_iteration: Whether this is the prompt.
            **kwargs: ``pixels`` or ``features``, ``image_index`` and ``segment_ids`` of the prompt, and options.
        """
        if inputs_embeds is not None:
            raise ValueError("this model generates from token ids, pixels and image_index")
        images = {name: kwargs.pop(name, None) for name in ("pixels", "features")}
        given = {name: kwargs.pop(name, None) for name in ("image_index", "segment_ids")}
        # position numbers are counted from padding and cache in the forward
        kwargs.pop("position_ids", None)
        parent: Any = super()
        step: dict[str, Any] = parent.prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        step.pop("position_ids", None)
        has_cache = past_key_values is not None and past_key_values.get_seq_length() > 0
        if has_cache and not is_first_iteration:
            return step
        length, num_new = input_ids.shape[1], step["input_ids"].shape[1]
        for name, fill in (("image_index", -1), ("segment_ids", 1)):
            if given[name] is not None:
                missing = length - given[name].shape[1]
                step[name] = torch.nn.functional.pad(given[name], (0, missing), value=fill)[:, length - num_new :]
        if has_cache and "image_index" in step:
            images = only_shown(step["image_index"], images)
        return {**step, **images}

    @staticmethod
    def _expand_inputs_for_generation(
        expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Any = None, **model_kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Repeat rows, for beams or several answers; not images, which all rows of a prompt share."""
        repeated = {
            name: value.repeat_interleave(expand_size, dim=0)
            if isinstance(value, torch.Tensor) and name not in ("pixels", "features")
            else value
            for name, value in model_kwargs.items()
        }
        return None if input_ids is None else input_ids.repeat_interleave(expand_size, dim=0), repeated
