"""Folders of models: full ones, and small ones with the trained weights and the names of the frozen parts.

A full folder is an ordinary Hugging Face folder. A small one has ``trained.safetensors`` in place of
``model.safetensors``, and ``parts`` in its configuration. Both open with ``from_pretrained``, and in both a weight that
is missing or not expected is an error: a model with random weights is worse than none.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel

from blender.core.checksums import require_undamaged
from blender.core.errors import ModelError
from blender.model.building import Part, join, quietly
from blender.model.configuration import VisualChatConfig

#: weights of a small folder
TRAINED = "trained.safetensors"
_HINT = "the folder is incomplete, or of another model; save it again"


def trained_names(model: Any) -> list[str]:
    """Return the weights that a small folder holds: all that the frozen parts do not."""
    names = [name for name, _ in model.named_parameters()]
    return [name for name in names if name in model.own_weights or not name.startswith(("language.", "vision."))]


def save_trained(model: Any, folder: str | Path, weights: Mapping[str, torch.Tensor] | None = None) -> None:
    """Save what the frozen parts do not hold, and where they are.

    Args:
        model: The model, built of parts that have a name or folder.
        folder: Where to; made if it is not there.
        weights: Weights by name, where the model does not hold them whole (ZeRO-3); at least :func:`trained_names`.

    Raises:
        ModelError: A part has no name to find it again by, or a weight is not given.
    """
    config: VisualChatConfig = model.config
    nameless = sorted({"language", "vision"} - set(config.parts or {}))
    if nameless:
        raise ModelError(f"the {nameless[0]} part of the model was not loaded by a name", "save the model in full")
    held = dict(model.named_parameters()) if weights is None else weights
    names = trained_names(model)
    lacking = [name for name in names if name not in held]
    if lacking:
        raise ModelError(f"the weight {lacking[0]} is not among those to be saved", _HINT)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = {name: held[name].detach().cpu().contiguous() for name in names}
    save_file(tensors, folder / TRAINED, metadata={"format": "pt"})


class SavedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Opening of both kinds of folder."""

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, folder: Any, *arguments: Any, **options: Any
    ) -> Any:
        """Open a folder, or a model by name.

        Args:
            folder: Of a full save or a small one.
            *arguments: As ``PreTrainedModel.from_pretrained`` takes them.
            **options: The same; and ``language`` and ``vision``, for a small save whose frozen parts are elsewhere now.

        Raises:
            ModelError: It is damaged, of another model, or weights are missing or not expected.
        """
        check_damage(folder)
        parts = {name: options.pop(name, None) for name in ("language", "vision")}
        wants_info = options.pop("output_loading_info", False)
        if Path(folder, TRAINED).is_file():
            model = open_trained(cls, Path(folder), parts, options.get("dtype"))
            return (model, {"missing_keys": [], "unexpected_keys": []}) if wants_info else model
        given = options.get("config")
        config = given if isinstance(given, VisualChatConfig) else read_saved_config(folder)
        with quietly():
            opened: Any = super().from_pretrained(
                folder, *arguments, **{**options, "config": config}, output_loading_info=True
            )
        model, info = opened
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            _expect_none(folder, what.removesuffix("_keys"), sorted(map(str, info[what])))
        # the weights of the parts may differ from those in this folder
        model.config.parts = None
        return (model, info) if wants_info else model


def check_damage(folder: Any, *, weights: bool = True) -> None:
    """Compare the files of a folder with the checksums that training wrote into it, if there are any.

    Args:
        folder: The folder; names on the hub have none.
        weights: Whether files of weights are read, too.

    Raises:
        ModelError: A file is damaged, cut short or missing.
    """
    require_undamaged(Path(folder), lambda name: weights or not name.endswith(".safetensors"))


def read_saved_config(folder: Any) -> VisualChatConfig:
    """Read the configuration of a saved model.

    Raises:
        ModelError: There is none, or it is of another kind of model.
    """
    try:
        content, _ = VisualChatConfig.get_config_dict(folder)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"{folder} is no folder of a model: {first}", "name a folder that train wrote") from error
    kind = content.get("model_type")
    if kind != VisualChatConfig.model_type:
        raise ModelError(f"{folder} holds a {kind or 'nameless'} model and no visualchat model", _HINT)
    return VisualChatConfig.from_dict(content)


def open_trained(cls: Any, folder: Path, parts: Mapping[str, Part | None], dtype: Any) -> Any:
    """Open a small folder."""
    config = read_saved_config(folder)
    where = {name: parts.get(name) or (config.parts or {}).get(name) for name in ("language", "vision")}
    for name, part in where.items():
        if part is None:
            raise ModelError(f"{folder} does not say where its {name} part is", f"pass {name}=NAME_OR_FOLDER")
    language, vision = where["language"], where["vision"]
    assert language is not None and vision is not None
    model = join(cls, config, language, vision, dtype or config.dtype, 0)
    try:
        with safe_open(folder / TRAINED, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ModelError(f"{folder / TRAINED} is damaged: {error}", "save it again") from error
    _take(model, folder, stored)
    return model


def _take(model: Any, folder: Path, stored: Mapping[str, torch.Tensor]) -> None:
    held = dict(model.named_parameters())
    needed = [name for name in held if "lora_" in name or not name.startswith(("language.", "vision."))]
    _expect_none(folder, "missing", [name for name in needed if name not in stored])
    _expect_none(folder, "unexpected", [name for name in stored if name not in held])
    with _whole([held[name] for name in stored]), torch.no_grad():
        shapes = [name for name, tensor in stored.items() if held[name].shape != tensor.shape]
        _expect_none(folder, "mismatched", shapes)
        for name, tensor in stored.items():
            held[name].copy_(tensor)
    model.own_weights.update(stored)


def _whole(weights: list[Any]) -> AbstractContextManager[Any]:
    """Gather weights that ZeRO-3 has partitioned while they were loaded."""
    if not any(hasattr(weight, "ds_id") for weight in weights):
        return nullcontext()
    from deepspeed.zero import GatheredParameters  # type: ignore[import-untyped,unused-ignore]

    gathered: Any = GatheredParameters(weights, modifier_rank=0)
    return gathered  # type: ignore[no-any-return]


def _expect_none(folder: Any, what: str, names: list[str]) -> None:
    if names:
        raise ModelError(f"{folder} has {len(names)} {what} weights, such as {names[0]}", _HINT)
