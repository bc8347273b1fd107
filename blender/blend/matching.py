"""Why an image match gives nothing, where the reason is that its sources keep their images in different stores."""

from collections.abc import Sequence

import numpy as np

from blender.blend.mix import Drawn
from blender.blend.pool import Ints, Pool
from blender.recipe import ImageMatch, Recipe


def match_hints(pool: Pool, recipe: Recipe, drawn: Sequence[Drawn]) -> dict[str, str]:
    """Say what to do about each entry that matches nothing because its sources have their images in different stores.

    Args:
        pool: The conversations.
        recipe: The recipe.
        drawn: The samples of every entry.
    """
    given = {part.dataset for part in drawn if part.draft.num_samples}
    matches = {entry.name: entry.image_match for entry in recipe.blend if entry.name not in given}
    hints = {name: _hint(pool, recipe, match) for name, match in matches.items() if match}
    return {name: hint for name, hint in hints.items() if hint}


def _hint(pool: Pool, recipe: Recipe, match: ImageMatch) -> str | None:
    """Say what to do when no image of the base is one of those that it is matched with; None when some are."""
    of_base, of_others = (_contents(pool, names) for names in (match.base, match.with_))
    if not len(of_base) or not len(of_others) or len(np.intersect1d(of_base, of_others)):
        return None
    stores = [{recipe.sources[name].images or "" for name in names} for names in (match.base, match.with_)]
    if stores[0] & stores[1]:
        return None
    base, others = (" and ".join(sorted(names)) for names in stores)
    return (
        f"no image of store {base} is one of store {others}; if they are the same pictures under the same names, "
        f"say so: images: {{{base}: {{path: …, same_as: {others}}}}}"
    )


def _contents(pool: Pool, sources: tuple[str, ...]) -> Ints:
    chosen = pool.usable & pool.is_from(*sources)
    return np.unique(pool.link_content[np.repeat(chosen, pool.num_images)])
