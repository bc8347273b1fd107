"""Open the folder of a trained model with everything needed to talk to it.

Template, image settings and tokenizer are in the folder. A user may choose the device and the precision of the weights.
A folder that holds no model is refused before any weight is read.
"""

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from blender.core.errors import ModelError
from blender.core.hub import locate
from blender.data.template import Template
from blender.encoding.chat import ChatTemplate
from blender.encoding.image_processor import read_pixel_spec
from blender.serve.folder import require_model_folder
from blender.stream.encode import Encoder
from blender.train.engine import choose_accelerator

DTYPES = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Quantize = Literal["8bit", "4bit"]
#: parts that are not quantized with the language model
_NOT_QUANTIZED = ["vision", "projector", "cross", "lm_head", "embed_out"]


@dataclass(frozen=True)
class LoadedModel:
    """A model, and what it takes to talk to it."""

    #: its name in tables
    name: str
    #: a ``VisualChatModel`` in evaluation mode
    model: Any
    tokenizer: Any
    #: text, pixels, template and, as ``max_tokens``, the positions that the language model was made for
    encoder: Encoder

    @property
    def template(self) -> Template | ChatTemplate:
        """The template that renders conversations."""
        assert self.encoder.template is not None
        return self.encoder.template

    @property
    def max_tokens(self) -> int | None:
        """Positions of a conversation at most, images and answers included; None if unknown."""
        return self.encoder.max_tokens

    @property
    def end_ids(self) -> list[int]:
        """Tokens that end an answer."""
        own = self.tokenizer.eos_token_id
        chat = isinstance(self.template, ChatTemplate)
        ends = {self.encoder.text.end_id, own, self.tokenizer.convert_tokens_to_ids(self.template.end) if chat else own}
        return sorted(end for end in ends if end is not None)


def open_model(
    folder: str | Path,
    *,
    name: str | None = None,
    device: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    dtype: str = "auto",
    quantize: Quantize | None = None,
) -> LoadedModel:
    """Open a trained model.

    Args:
        folder: What training wrote (a full save or a small one), or a name on the hub.
        name: Its name; the folder's by default.
        device: Such as ``cuda:1``; the first GPU, or else the CPU, by default.
        device_map: ``auto`` to distribute the layers over all GPUs and, if these are too small, main memory.
        dtype: Precision of the weights: ``auto`` as stored, ``float32``, ``bfloat16`` or ``float16``.
        quantize: Quantize the language model to 8 or 4 bits (bitsandbytes, on a GPU or the CPU).

    Raises:
        ModelError: The folder holds something else or is incomplete, or the options cannot be met.
    """
    _check_options(device, device_map, dtype, quantize)
    require_model_folder(folder)
    choose_accelerator()
    from blender.model import VisualChatModel, read_saved_config
    from blender.model.saving import check_damage

    name = name or Path(folder).resolve().name
    folder = locate("model", folder)
    # checksums of weights are compared when they are read
    check_damage(folder, weights=False)
    config = read_saved_config(folder)
    encoder, tokenizer = _open_processor(folder, config)
    options = _load_options(device, device_map, dtype, quantize)
    try:
        model = _open_weights(VisualChatModel, folder, config, options)
    except (OSError, ValueError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"the weights in {folder} cannot be loaded: {first}", "copy or save the folder again"
        ) from error
    model.eval()
    _reset_generation_defaults(model)
    return LoadedModel(name, model, tokenizer, encoder)


def limit_of(config: Any) -> int | None:
    """Return the positions of a model's language model; None if unknown.

    Args:
        config: A ``VisualChatConfig``.
    """
    limit = getattr(config.text_config, "max_position_embeddings", None)
    return int(limit) if limit else None


def _check_options(device: str | None, device_map: object, dtype: str, quantize: str | None) -> None:
    if dtype not in DTYPES:
        raise ModelError(f"there is no dtype {dtype!r}", f"use one of {', '.join(DTYPES)}")
    if quantize not in (None, "8bit", "4bit"):
        raise ModelError(f"weights cannot be quantised to {quantize!r}", "use 8bit or 4bit")
    if device is not None and device_map is not None:
        raise ModelError("a device and a device map exclude each other", "give one of them")
    if device is not None:
        _check_device(device)
    if quantize and importlib.util.find_spec("bitsandbytes") is None:
        hint = "pip install 'visualchat-blender[quantize]'"
        raise ModelError(f"{quantize} weights need bitsandbytes, which is not installed", hint)


def _check_device(device: str) -> None:
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"there is no device {device!r}", "use cpu, cuda or cuda:NUMBER") from error
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind.type == "cuda" and (kind.index or 0) >= present:
        raise ModelError(f"there is no device {device}: {present} GPUs are at hand", "use --device cpu")


def _open_processor(folder: str | Path, config: Any) -> tuple[Encoder, Any]:
    from blender.model import VisualChatProcessor

    try:
        processor: Any = VisualChatProcessor.from_pretrained(folder)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        first = str(error).strip().splitlines()[0]
        hint = "save the processor beside the model, as `visualchat train` does"
        raise ModelError(f"{folder} does not say how its model is talked to: {first}", hint) from error
    text, template = processor.text_encoder, processor.find_template()
    pixels = read_pixel_spec(processor.image_processor)
    if (text.image_positions, pixels.height) != (config.image_positions, config.image_size):
        given = f"{pixels.height} pixels and {text.image_positions} positions"
        expected = f"{config.image_size} and {config.image_positions}"
        message = f"{folder}: its processor gives an image {given}, and its model wants {expected}"
        raise ModelError(message, "save it anew")
    return Encoder(text, pixels, limit_of(config), template), processor.tokenizer


def _load_options(device: str | None, device_map: Any, dtype: str, quantize: str | None) -> dict[str, Any]:
    # never a pickle, which can run any code
    options: dict[str, Any] = {"dtype": DTYPES[dtype] or "auto", "use_safetensors": True}
    if quantize:
        from transformers import BitsAndBytesConfig

        # it warns for every layer and token that 8 bits are computed in float16
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=quantize == "8bit",
            load_in_4bit=quantize == "4bit",
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=DTYPES[dtype] or torch.bfloat16,
            llm_int8_skip_modules=_NOT_QUANTIZED,
        )
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    options["device_map"] = device_map if device_map is not None else {"": where}
    return options


def _open_weights(kind: Any, folder: str | Path, config: Any, options: dict[str, Any]) -> Any:
    from blender.model.saving import TRAINED

    if not Path(folder, TRAINED).is_file():
        if options["dtype"] != "auto":
            # the parts follow their own configurations
            for each in (config, config.text_config, config.vision_config):
                each.dtype = options["dtype"]
        return kind.from_pretrained(folder, config=config, **options)
    # in a small save only the language model is large: its layers are distributed, small parts join its embedding
    parts = {}
    if options.get("quantization_config") is not None or options["device_map"] == "auto":
        from transformers import AutoModelForCausalLM

        where = locate("language model", str((config.parts or {}).get("language")))
        parts["language"] = AutoModelForCausalLM.from_pretrained(where, **options)
    model = kind.from_pretrained(folder, dtype=None if options["dtype"] == "auto" else options["dtype"], **parts)
    if not parts:
        return model.to(options["device_map"][""])
    weight = model.get_input_embeddings().weight
    device = weight.device
    for part in (model.vision, model.projector, model.cross):
        if part is not None:
            part.to(device, weight.dtype)
    return model


def _reset_generation_defaults(model: Any) -> None:
    """Remove the generation defaults of the language model's publisher, which would change answers."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
