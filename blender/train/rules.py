"""Rules between the keys of a training recipe.

They are checked on plain data, before pydantic, so that their faults are reported together with faults of types.
"""

from collections.abc import Iterator, Mapping

from blender.data.template import CHAT, TEMPLATES
from blender.recipe.document import KeyPath, Plain, Problem, quoted, suggestion

#: an amount of a blend
_AMOUNTS = ("weight", "repeat", "samples")


def broken_rules(data: Plain) -> Iterator[Problem]:
    """Yield the rules that a recipe breaks."""
    recipe = _mapping(data)
    template = recipe.get("template")
    if isinstance(template, str) and template not in (*TEMPLATES, CHAT):
        yield Problem(("template",), f"unknown template {quoted(template)}{suggestion(template, (*TEMPLATES, CHAT))}")
    yield from _schedule(_mapping(recipe.get("schedule")), "schedule" in recipe)
    yield from _batch(_mapping(recipe.get("batch")))
    yield from _deepspeed(recipe)
    yield from _trained(_mapping(recipe.get("train")), recipe.get("vision_cache") is not None)
    yield from _members(("data", "blends"), _mapping(_mapping(recipe.get("data")).get("blends")))


def _schedule(schedule: Mapping[str, Plain], given: bool) -> Iterator[Problem]:
    given_keys = [key for key in ("epochs", "steps") if schedule.get(key) is not None]
    if given and not given_keys:
        yield Problem(("schedule",), "epochs or steps must say how long to train")
    if len(given_keys) == 2:
        yield Problem(("schedule", "steps"), "epochs and steps cannot both be given")
    steps, warmup = schedule.get("steps"), schedule.get("warmup")
    if type(steps) is int and type(warmup) is int and warmup > steps:
        yield Problem(("schedule", "warmup"), f"a warm-up of {warmup} steps is longer than the {steps} steps of all")


def _batch(batch: Mapping[str, Plain]) -> Iterator[Problem]:
    rows, micro = batch.get("global"), batch.get("micro")
    if type(rows) is int and type(micro) is int and micro > 0 and rows % micro:
        yield Problem(("batch", "micro"), f"{rows} rows cannot be cut into micro-batches of {micro}")


def _deepspeed(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    deepspeed, key_path = _mapping(recipe.get("deepspeed")), ("deepspeed", "stage")
    stage, offload = deepspeed.get("stage", 2), deepspeed.get("offload")
    if stage == 0 and recipe.get("precision", "bf16") != "fp32":
        # DeepSpeed's own optimizer for this case adds gradients up in 16 bits and begins at the second step
        yield Problem(
            key_path, "stage 0 works in fp32 alone; stage 1 is the same on one device, and keeps weights in fp32"
        )
    if stage == 3 and recipe.get("vision_cache") is not None:
        yield Problem(("vision_cache",), "features cannot be kept at stage 3, where all ranks run the tower together")
    if offload == "all" and stage != 3:
        yield Problem(("deepspeed", "offload"), "weights can only be offloaded at stage 3; offload the optimizer")
    if offload == "optimizer" and stage == 0:
        yield Problem(("deepspeed", "offload"), "the optimizer can only be offloaded at stage 1, 2 or 3")


def _trained(trained: Mapping[str, Plain], cached: bool) -> Iterator[Problem]:
    if cached and trained.get("vision", "frozen") != "frozen":
        yield Problem(("vision_cache",), "features of a vision tower that is trained cannot be kept")
    idle = trained.get("projector") is False and trained.get("embedding") is False
    if idle and all(trained.get(part, "frozen") == "frozen" for part in ("language", "vision")):
        yield Problem(("train",), "nothing is trained: projector, embedding, language and vision are all frozen")


def _members(key_path: KeyPath, members: Mapping[str, Plain]) -> Iterator[Problem]:
    for name, member in members.items():
        here, keys = (*key_path, name), _mapping(member)
        if (not name and len(members) > 1) or "/" in name:
            yield Problem(here, f"the name {quoted(name)} cannot be used: names are not empty and have no '/'")
        if not isinstance(member, dict):
            continue
        if (keys.get("blend") is None) == (keys.get("members") is None):
            yield Problem(here, "a member has either blend or members")
        amounts = [key for key in _AMOUNTS if keys.get(key) is not None]
        if len(amounts) > 1:
            yield Problem((*here, amounts[1]), f"{amounts[0]} and {amounts[1]} cannot both be given")
        yield from _members((*here, "members"), _mapping(keys.get("members")))


def _mapping(value: Plain) -> Mapping[str, Plain]:
    return value if isinstance(value, dict) else {}
