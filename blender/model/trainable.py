"""Which weights are trained, their learning rates, and low-rank adapters of frozen weights.

The published way trains the projector and the language model's input embedding, in place: there is one embedding, the
decoder's own, so what is trained is what generates. Where the head is tied to it they are one weight, which then learns
from both ends.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import nn

from blender.core.errors import ModelError

How = Literal["frozen", "full", "lora"]
HOWS: tuple[How, ...] = ("frozen", "full", "lora")
#: groups of weights, in the order in which they are listed
GROUPS = ("projector", "cross", "embedding", "language", "vision")
_ADAPTER = "lora_"


def set_trainable(
    model: Any,
    *,
    projector: bool = True,
    embedding: bool = True,
    language: How = "frozen",
    vision: How = "frozen",
    lora: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Any:
    """Set which weights of a model are trained; everything else is frozen.

    Args:
        model: The joined model; it is changed.
        projector: Train the projector, and the layers of cross attention.
        embedding: Train the language model's input embedding.
        language: ``full`` trains all of the language model, ``lora`` low-rank adapters of its linear layers.
        vision: The same for the vision tower.
        lora: Settings of the adapters, as ``peft.LoraConfig`` takes them; by default rank 8 in all linear layers.
        seed: Of new adapters.

    Returns:
        The model.

    Raises:
        ModelError: There is no such way of training, or the adapters' settings do not fit.
    """
    hows = {"language": language, "vision": vision}
    for part, how in hows.items():
        if how not in HOWS:
            raise ModelError(f"there is no way {how!r} to train the {part}", f"use one of {', '.join(HOWS)}")
    wanted = {part: dict(lora or {}) for part, how in hows.items() if how == "lora"}
    if wanted and model.config.lora not in (None, wanted):
        raise ModelError("the model has adapters with other settings", "merge them first, or use the same settings")
    if wanted and model.config.lora is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            add_adapters(model, wanted)
    chosen = {"projector": projector, "cross": projector, "embedding": embedding}
    for group, name, weight in _grouped(model):
        how = hows.get(group, "frozen")
        adapter = _ADAPTER in name
        weight.requires_grad = chosen.get(group, False) or how == "full" or (adapter and how == "lora")
        if how == "full" and adapter:
            raise ModelError(f"the {group} has adapters, and is to be trained in full", "merge the adapters first")
        if weight.requires_grad:
            model.own_weights.add(name)
    model.train(model.training)
    return model


def add_adapters(model: Any, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Put low-rank adapters into parts of a model, and note them in its configuration.

    Args:
        model: The joined model; it is changed.
        settings: Per part, ``language`` or ``vision``, what ``peft.LoraConfig`` takes.

    Raises:
        ModelError: peft takes no such settings.
    """
    from peft import LoraConfig, inject_adapter_in_model

    for part, given in settings.items():
        module: Any = getattr(model, part)
        try:
            config = LoraConfig(**{"target_modules": _linear_names(module), **given})
            inject_adapter_in_model(config, module)
        except (TypeError, ValueError) as error:
            raise ModelError(f"adapters of the {part} cannot be made: {error}", "see peft.LoraConfig") from error
    model.config.lora = {part: dict(given) for part, given in settings.items()}


def _linear_names(module: nn.Module) -> list[str]:
    """Return the last names of all linear layers but the head."""
    head = getattr(module, "get_output_embeddings", lambda: None)()
    names = (name for name, child in module.named_modules() if isinstance(child, nn.Linear) and child is not head)
    return sorted({name.rsplit(".", 1)[-1] for name in names})


def merge_adapters(model: Any) -> Any:
    """Add the adapters to the weights that they adapt, and remove them; returns the model."""
    from peft.tuners.lora import LoraLayer

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LoraLayer):
                child.merge()
                setattr(parent, name, child.get_base_layer())
    if model.config.lora is not None:
        changed = {part for part in model.config.lora}
        model.config.lora = None
        kept = {name for name in model.own_weights if _ADAPTER not in name}
        merged = {name for name, _ in model.named_parameters() if name.split(".", 1)[0] in changed}
        model.own_weights = kept | merged
    return model


def _grouped(model: Any) -> Iterator[tuple[str, str, nn.Parameter]]:
    embedding = model.get_input_embeddings().weight
    for name, weight in model.named_parameters():
        yield "embedding" if weight is embedding else name.split(".", 1)[0], name, weight


def trainable_parameters(model: Any) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """Return name and weight of all that is trained, by group: projector, cross, embedding, language, vision."""
    groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for group, name, weight in _grouped(model):
        if weight.requires_grad:
            groups.setdefault(group, []).append((name, weight))
    return {group: groups[group] for group in GROUPS if group in groups}


def parameter_groups(
    model: Any,
    *,
    lr: float,
    lr_projector: float | None = None,
    lr_embedding: float | None = None,
    lr_vision: float | None = None,
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Return what is trained as an optimizer takes it: ``params``, ``lr``, ``weight_decay`` and ``name`` of each group.

    Norms, biases, gates and the embedding do not decay.

    Args:
        model: The joined model.
        lr: Learning rate of the language model, and of all that has no other.
        lr_projector: Of the projector and the layers of cross attention.
        lr_embedding: Of the embedding.
        lr_vision: Of the vision tower.
        weight_decay: Of the weights that decay.
    """
    rates = {"projector": lr_projector, "cross": lr_projector, "embedding": lr_embedding, "vision": lr_vision}
    groups = []
    for group, members in trainable_parameters(model).items():
        rate = rates.get(group)
        split: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for _, weight in members:
            split[group != "embedding" and _num_dimensions(weight) > 1].append(weight)
        for decays, weights in split.items():
            if weights:
                groups.append({
                    "name": group if decays else f"{group} (no decay)",
                    "params": weights,
                    "lr": lr if rate is None else rate,
                    "weight_decay": weight_decay if decays else 0.0,
                })  # fmt: skip
    return groups


def _num_dimensions(weight: nn.Parameter) -> int:
    """Return how many dimensions a weight has; one that ZeRO-3 holds in pieces remembers its shape."""
    return len(getattr(weight, "ds_shape", weight.shape))
