"""visualchat: blend vision-language instruction data into multi-round, multi-image conversations.

What the commands use is here to be imported::

    from blender import load_recipe, make_plan, open_blend, write_blend

    recipe = load_recipe("deepspeed-visualchat", ["data=/mnt/data"])
    write_blend(recipe, Path("blend"))
    print(open_blend("blend")[0].sample.turns)

Names are looked up when they are first used, so that ``import blender`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blender.blend.plan import Plan, make_plan
    from blender.blend.summary import PlanSummary, summarise
    from blender.core.errors import BlenderError
    from blender.recipe import Recipe, load_recipe
    from blender.shards.blend import write_blend
    from blender.shards.reader import Blend, open_blend
    from blender.shards.unpack import StoredSample
    from blender.shards.verify import verify_blend

_HOMES = {
    "BlenderError": "blender.core.errors",
    "Recipe": "blender.recipe",
    "load_recipe": "blender.recipe",
    "Plan": "blender.blend.plan",
    "make_plan": "blender.blend.plan",
    "PlanSummary": "blender.blend.summary",
    "summarise": "blender.blend.summary",
    "write_blend": "blender.shards.blend",
    "Blend": "blender.shards.reader",
    "StoredSample": "blender.shards.unpack",
    "open_blend": "blender.shards.reader",
    "verify_blend": "blender.shards.verify",
}

__all__ = [
    "Blend",
    "BlenderError",
    "Plan",
    "PlanSummary",
    "Recipe",
    "StoredSample",
    "load_recipe",
    "make_plan",
    "open_blend",
    "summarise",
    "verify_blend",
    "write_blend",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'blender' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
