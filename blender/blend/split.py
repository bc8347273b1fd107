"""Train and eval without a shared image.

In: the usable conversations, and which images are the same. Out: which conversations are held out for evaluation, and
which can be in neither split.

Conversations hang together when they show the same image, directly or through others. Such a group goes to one side as
a whole (``deal``), so that each source has as many conversations in eval as are wanted of it. Conversations without
images hang together with none and are drawn one by one. A blend then works within each side, so that no sample can join
the two.

Pairs of images can tie a source into groups of which each is larger than all that is wanted. Such groups are cut
(``partition``): some of their images are held out, with all that shows no others. Conversations that show an image of
each side then belong to neither; they are dropped, and a warning gives their number.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl

from blender.blend.conversations import ConversationArrays
from blender.blend.deal import Counts, deal
from blender.blend.partition import cut_groups
from blender.blend.targets import Amount, count_targets
from blender.core.arrays import Bools, Ints
from blender.core.components import components
from blender.core.errors import PlanError

#: a source that lacks a larger share of what is wanted of it has its groups cut
_LACKING = 0.1


@dataclass(frozen=True)
class ImageSplit:
    """Which conversations are for evaluation, and which can be for neither side."""

    #: (N,)
    held_out: Bools
    #: (N,) show an image of each side
    straddling: Bools
    #: (S,) conversations wanted of each source of the pool
    wanted: Ints
    #: (S,) conversations in the largest group that was cut for a source; 0 where none was
    cut: Ints


@dataclass(frozen=True)
class _Groups:
    """The usable conversations with images, by the groups that they hang together in. ``n`` conversations."""

    #: (n,) numbers in the pool
    conversations: Ints
    #: (n,) number of each one's group
    group: Ints
    counts: Counts
    #: (G,) can be held out: no conversation of an excluded source is in it, nor all that a source has
    free: Bools


def split_by_image(
    pool: ConversationArrays,
    num_images: int,
    amount: Amount,
    random: np.random.Generator,
    exclude: Collection[str] = (),
) -> ImageSplit:
    """Choose the conversations held out for evaluation.

    Args:
        pool: The conversations; only usable ones count.
        num_images: Number of images.
        amount: What is wanted: a share from 0 to 1, a number of conversations, or one of these for each source.
        random: Draws the groups.
        exclude: Sources of which nothing is held out; the images that they show are train's.

    Raises:
        PlanError: More is asked for than there is.
    """
    if not pool.usable.any():
        nothing, none = np.zeros(len(pool.usable), dtype=bool), np.zeros(len(pool.sources), dtype=np.int64)
        return ImageSplit(nothing, nothing, none, none)
    excluded = np.isin(pool.sources, list(exclude))
    wanted = count_targets(pool, amount, excluded)
    held_out = _without_images(pool, wanted, random)
    still = np.maximum(0, wanted - _per_source(pool, held_out))
    groups = _groups(pool, num_images, excluded, wanted)
    chosen = deal(groups.counts, still, groups.free, random)
    lacking = _lacking(groups, chosen, still, ~excluded)
    image_held_out = np.zeros(num_images, dtype=bool)
    cut: Ints = np.zeros(len(pool.sources), dtype=np.int64)
    if lacking.any():
        missing = np.where(lacking, still - groups.counts.sums(chosen, len(still)), 0)
        image_held_out = _cut_sparing_some(pool, num_images, groups, chosen, missing, excluded, wanted, random)
        inside, straddling = _sides(pool, image_held_out)
        broken = np.zeros(groups.counts.num_groups, dtype=bool)
        broken[groups.group[(inside | straddling)[groups.conversations]]] = True
        cut = _largest(groups, broken, lacking)
        # what came along of other sources need not be dealt
        still = np.maximum(0, still - _per_source(pool, inside))
        chosen = deal(groups.counts, still, groups.free & ~broken, random)
    held_out[groups.conversations[chosen[groups.group]]] = True
    inside, straddling = _sides(pool, image_held_out)
    return ImageSplit(held_out | inside, straddling, wanted, cut)


def split_by_list(pool: ConversationArrays, image_held_out: Bools, listed: Bools) -> ImageSplit:
    """Hold out what a list names: some images, with all that shows no others, and some conversations.

    Args:
        pool: The conversations; only usable ones count.
        image_held_out: (I,) images of the list.
        listed: (N,) conversations of the list; their images are held out, too.
    """
    owner = pool.owners()
    image_held_out = image_held_out.copy()
    image_held_out[pool.ref_content[(listed & pool.usable)[owner]]] = True
    inside, straddling = _sides(pool, image_held_out)
    held_out = inside | (listed & pool.usable)
    return ImageSplit(held_out, straddling, _per_source(pool, held_out), np.zeros(len(pool.sources), dtype=np.int64))


def _per_source(pool: ConversationArrays, chosen: Bools) -> Ints:
    return np.bincount(pool.source[chosen], minlength=len(pool.sources))


def _without_images(pool: ConversationArrays, wanted: Ints, random: np.random.Generator) -> Bools:
    """Draw, of the conversations of each source that show no image, the share that is wanted of all of it."""
    held_out = np.zeros(len(pool.usable), dtype=bool)
    sizes = _per_source(pool, pool.usable)
    for source in np.flatnonzero(wanted):
        own = np.flatnonzero(pool.usable & (pool.num_images == 0) & (pool.source == source))
        held_out[random.permutation(own)[: round(int(wanted[source]) * len(own) / int(sizes[source]))]] = True
    return held_out


def _groups(pool: ConversationArrays, num_images: int, excluded: Bools, wanted: Ints) -> _Groups:
    conversations = np.flatnonzero(pool.usable & (pool.num_images > 0))
    labels, group = np.unique(conversation_groups(pool, num_images)[conversations], return_inverse=True)
    source = pool.source[conversations]
    counts = Counts.of(group, source, len(labels))
    free = np.ones(len(labels), dtype=bool)
    free[group[excluded[source]]] = False
    # something of every source is left for train
    sizes = _per_source(pool, pool.usable)
    free[counts.group[(counts.count == sizes[counts.source]) & (wanted < sizes)[counts.source]]] = False
    return _Groups(conversations, group, counts, free)


def _lacking(groups: _Groups, chosen: Bools, wanted: Ints, may: Bools) -> Bools:
    """Tell which sources lack more than all groups have that are left and not larger than what is wanted; (S,)."""
    counts = groups.counts
    missing = wanted - counts.sums(chosen, len(wanted))
    small = (groups.free & ~chosen)[counts.group] & (counts.count <= wanted[counts.source])
    left = np.bincount(counts.source[small], weights=counts.count[small], minlength=len(wanted))
    return may & (missing > _LACKING * wanted) & (left < missing)


def _largest(groups: _Groups, broken: Bools, sources: Bools) -> Ints:
    """Return the size of the largest broken group that has conversations of each source; (S,)."""
    sizes = np.bincount(groups.group, minlength=groups.counts.num_groups)
    largest = np.zeros(len(sources), dtype=np.int64)
    rows = np.flatnonzero(broken[groups.counts.group] & sources[groups.counts.source])
    np.maximum.at(largest, groups.counts.source[rows], sizes[groups.counts.group[rows]])
    return largest


def _cut_sparing_some(
    pool: ConversationArrays,
    num_images: int,
    groups: _Groups,
    chosen: Bools,
    missing: Ints,
    spared: Bools,
    wanted: Ints,
    random: np.random.Generator,
) -> Bools:
    """Choose images as :func:`_cut` does, so that each source of which some are wanted keeps some for train; (I,)."""
    sizes = _per_source(pool, pool.usable)
    dealt = np.zeros(len(pool.usable), dtype=bool)
    dealt[groups.conversations[chosen[groups.group]]] = True
    while True:
        image_held_out = _cut(pool, num_images, groups, chosen, missing, spared, random)
        inside, straddling = _sides(pool, image_held_out)
        left = sizes - _per_source(pool, inside | straddling | dealt)
        emptied = (left == 0) & (wanted > 0) & (wanted < sizes) & ~spared & (_per_source(pool, inside) > 0)
        if not emptied.any():
            return image_held_out
        spared = spared | emptied


def _cut(
    pool: ConversationArrays,
    num_images: int,
    groups: _Groups,
    chosen: Bools,
    missing: Ints,
    excluded: Bools,
    random: np.random.Generator,
) -> Bools:
    """Choose images to be held out of groups that were not dealt; (I,)."""
    wanted_here = np.zeros(groups.counts.num_groups, dtype=bool)
    wanted_here[groups.counts.group[missing[groups.counts.source] > 0]] = True
    open_conversations = np.zeros(len(pool.usable), dtype=bool)
    open_conversations[groups.conversations[(wanted_here & ~chosen)[groups.group]]] = True
    owner = pool.owners()
    kept = open_conversations[owner]
    forbidden = np.zeros(num_images, dtype=bool)
    forbidden[pool.ref_content[kept & excluded[pool.source[owner]]]] = True
    return cut_groups(owner[kept], pool.ref_content[kept], pool.source, missing, forbidden, random)


def _sides(pool: ConversationArrays, image_held_out: Bools) -> tuple[Bools, Bools]:
    """Tell which conversations show only images that are held out, and which show some of each side; (N,) each."""
    owner = pool.owners()
    shown = np.bincount(owner, weights=image_held_out[pool.ref_content], minlength=len(pool.usable))
    return (
        pool.usable & (pool.num_images > 0) & (shown == pool.num_images),
        pool.usable & (shown > 0) & (shown < pool.num_images),
    )


def conversation_groups(pool: ConversationArrays, num_images: int) -> Ints:
    """Number the groups of conversations that hang together through images; (N,)."""
    owner = pool.owners()
    used = pool.usable[owner]
    num_nodes = num_images + len(pool.num_images)
    return components(num_nodes, pool.ref_content[used], num_images + owner[used])[num_images:]


def split_samples(num_samples: int, amount: float | int, random: np.random.Generator) -> pl.Series:
    """Choose samples held out for evaluation, each as likely as any other.

    Args:
        num_samples: How many there are.
        amount: A share of them, or a number.
        random: Draws them.

    Raises:
        PlanError: There are no more than the number that is asked for.
    """
    if isinstance(amount, int) and amount >= num_samples:
        raise PlanError(
            f"split.eval asks for {amount:,} samples; there are {num_samples:,}",
            "ask for fewer; something must be left for train",
        )
    count = amount if isinstance(amount, int) else round(amount * num_samples)
    held_out = np.zeros(num_samples, dtype=bool)
    held_out[random.permutation(num_samples)[:count]] = True
    return pl.Series("eval", held_out)
