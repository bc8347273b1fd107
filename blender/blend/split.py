"""Train and eval without a shared image.

Conversations hang together when they show the same image, directly or through others. Such a group goes to one side as
a whole; groups are drawn at random until the asked share of conversations is reached. A blend then works within each
side, so that no sample can join the two.

Pairs of images can tie a whole source into one group too large to be held out. Such a source would have no evaluation
at all; so some of its conversations are held out by themselves, and those that show an image of each side, which then
belong to neither, are dropped and told.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from blender.blend.pool import Bools, Ints, Pool
from blender.components import components


@dataclass(frozen=True)
class Split:
    """Which conversations are for evaluation, and which can be for neither side."""

    #: (N,)
    held_out: Bools
    #: (N,) show an image of each side
    straddling: Bools


def split_by_image(pool: Pool, num_images: int, share: float, random: np.random.Generator) -> Split:
    """Choose the conversations held out for evaluation.

    Args:
        pool: The conversations; only usable ones count.
        num_images: Number of images of the corpus.
        share: Wanted share of usable conversations, 0 to 1.
        random: Draws the groups.
    """
    nothing = np.zeros(len(pool.usable), dtype=bool)
    if share == 0 or not pool.usable.any():
        return Split(nothing, nothing)
    held_out = _whole_groups(pool, num_images, share, random)
    seeds = _unrepresented(pool, held_out, share, random)
    return _cut(pool, num_images, held_out, seeds) if len(seeds) else Split(held_out, nothing)


def _whole_groups(pool: Pool, num_images: int, share: float, random: np.random.Generator) -> Bools:
    usable = np.flatnonzero(pool.usable)
    _, group = np.unique(conversation_groups(pool, num_images)[usable], return_inverse=True)
    sizes = np.bincount(group)
    left = max(1, round(share * len(usable)))
    chosen = np.zeros(len(sizes), dtype=bool)
    for candidate in random.permutation(len(sizes)):
        if sizes[candidate] <= left:
            chosen[candidate] = True
            left -= sizes[candidate]
        if left == 0:
            break
    held_out = np.zeros(len(pool.usable), dtype=bool)
    held_out[usable] = chosen[group]
    return held_out


def _unrepresented(pool: Pool, held_out: Bools, share: float, random: np.random.Generator) -> Ints:
    """Draw conversations for evaluation from sources that have none there though their share asks for some."""
    drawn = [np.empty(0, dtype=np.int64)]
    for source in np.unique(pool.source[pool.usable]):
        own = np.flatnonzero(pool.usable & (pool.source == source))
        if not held_out[own].any():
            drawn.append(random.permutation(own)[: round(share * len(own))])
    return np.concatenate(drawn)


def _cut(pool: Pool, num_images: int, held_out: Bools, seeds: Ints) -> Split:
    """Hold out the images of some conversations as well, and with them all that shows no other image."""
    owner = np.repeat(np.arange(len(pool.num_images)), pool.num_images)
    chosen = held_out.copy()
    chosen[seeds] = True
    image_held_out = np.zeros(num_images, dtype=bool)
    image_held_out[pool.link_image[chosen[owner]]] = True
    shown = np.bincount(owner, weights=image_held_out[pool.link_image], minlength=len(pool.usable))
    inside = pool.usable & (pool.num_images > 0) & (shown == pool.num_images)
    return Split(chosen | inside, pool.usable & (shown > 0) & (shown < pool.num_images))


def conversation_groups(pool: Pool, num_images: int) -> Ints:
    """Number the groups of conversations that hang together through images; (N,)."""
    owner = np.repeat(np.arange(len(pool.num_images)), pool.num_images)
    used = pool.usable[owner]
    num_nodes = num_images + len(pool.num_images)
    return components(num_nodes, pool.link_image[used], num_images + owner[used])[num_images:]


def split_samples(num_samples: int, share: float, random: np.random.Generator) -> pl.Series:
    """Choose samples held out for evaluation, each as likely as any other."""
    held_out = np.zeros(num_samples, dtype=bool)
    held_out[random.permutation(num_samples)[: round(share * num_samples)]] = True
    return pl.Series("eval", held_out)
