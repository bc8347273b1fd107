"""Why an image match gives nothing, where the reason is that its sources keep their images in different stores."""

import numpy as np

from blender.blend.conversations import ConversationArrays
from blender.core.arrays import Ints
from blender.recipe import BlendEntry, Recipe


def hint_of_match(pool: ConversationArrays, recipe: Recipe, entry: BlendEntry) -> str | None:
    """Say what to do when no image of an entry's base is one of those that it is matched with; None when some are."""
    match = entry.image_match
    if match is None or len(np.intersect1d(_contents(pool, match.base), _contents(pool, match.with_))):
        return None
    stores = [{recipe.sources[name].images or "none" for name in names} for names in (match.base, match.with_)]
    base, others = (" and ".join(sorted(names)) for names in stores)
    if stores[0] & stores[1] or "none" in stores[0] | stores[1]:
        return f"no image of {' and '.join(match.base)} is shown by {' or '.join(match.with_)}"
    return (
        f"no image of store {base} is one of store {others}; if they are the same pictures under the "
        f"same names, say so: images: {{{base}: {{path: …, same_as: {others}}}}}"
    )


def _contents(pool: ConversationArrays, sources: tuple[str, ...]) -> Ints:
    chosen = pool.usable & pool.is_from(*sources)
    return np.unique(pool.ref_content[np.repeat(chosen, pool.num_images)])
