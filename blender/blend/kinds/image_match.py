"""Image-matched blends (``llava_otter_blend``): multi-image conversations led up to by single-image ones.

For a base conversation on images 1..m, conversations about image 1 alone are asked first, then those about image 2,
and so on, and turns of the base conversation at last. Every image but the last needs at least one conversation of its
own; of the last there may be none, and the base's first turn shows it then. Bases that show one image twice are left
out. So image n of the base is image n of the sample, and the base's texts stay true as they are.

Images are matched by what they are (``identity``), whatever they are called and wherever they lie; the sample shows the
base's own.

Source: arXiv 2309.14327, section 3.3 and the released code; the random subsets are uniform in size, then in content.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from blender.blend.conversations import ConversationArrays
from blender.blend.kinds.samples import DrawnSamples, in_order, left_out_for
from blender.blend.reasons import CUT
from blender.core.arrays import Bools, Floats, Ints, expand, group_starts, starts_of


@dataclass(frozen=True)
class _Leads:
    """Candidates: conversation ``lead`` is about image ``position`` of base ``base`` (an index into the bases)."""

    base: Ints
    position: Ints
    lead: Ints
    #: how many of its turns are asked
    num_turns: Ints

    def keep(self, mask: Bools) -> "_Leads":
        return _Leads(self.base[mask], self.position[mask], self.lead[mask], self.num_turns[mask])


def image_match(pool: ConversationArrays, bases: Ints, leads: Ints, random: np.random.Generator) -> DrawnSamples:
    """Lead up to each base conversation by conversations about its images.

    Args:
        pool: The conversations.
        bases: Base conversations, such as those of ``otter_mimicit_cgd``.
        leads: ConversationArrays to match; those that show one image alone are used.
        random: Draws the subsets.

    Returns:
        One sample per base conversation whose images but the last all have a match; the others are left out.
    """
    candidates = _candidates(pool, bases, leads)
    matched = _matched(pool, bases, candidates)
    chosen = _choose(pool, bases, candidates.keep(matched[candidates.base]), random)
    chosen, base_turns, fits = _fit(pool, bases, chosen)
    kept = np.flatnonzero(matched & fits)
    renumber = np.full(len(bases), -1)
    renumber[kept] = np.arange(len(kept))
    chosen = chosen.keep(renumber[chosen.base] >= 0)
    chosen = replace(chosen, base=renumber[chosen.base])
    left_out = [
        left_out_for(bases[~matched], "no_match"),
        left_out_for(bases[matched & ~fits], "over_limit"),
        left_out_for(_shortened(pool, bases[kept], base_turns[kept], chosen), CUT),
    ]
    return _assemble(pool, bases[kept], base_turns[kept], chosen, random, pl.concat(left_out))


def _shortened(pool: ConversationArrays, bases: Ints, base_turns: Ints, chosen: "_Leads") -> Ints:
    """List the conversations that lose turns to a limit, each once."""
    shorter = (bases[base_turns < pool.num_turns[bases]], chosen.lead[chosen.num_turns < pool.num_turns[chosen.lead]])
    return np.unique(np.concatenate(shorter))


def _candidates(pool: ConversationArrays, bases: Ints, leads: Ints) -> _Leads:
    """Pair each image of each base with every conversation about it, in the order of bases, images, conversations."""
    leads = leads[pool.num_images[leads] == 1]
    image_of = pool.ref_content[pool.first_ref[leads]]
    leads, image_of = (column[np.argsort(image_of, kind="stable")] for column in (leads, image_of))
    num_images = pool.num_images[bases]
    base = np.repeat(np.arange(len(bases)), num_images)
    position = expand(np.ones_like(num_images), num_images)
    image = pool.ref_content[expand(pool.first_ref[bases], num_images)]
    low, high = np.searchsorted(image_of, image, "left"), np.searchsorted(image_of, image, "right")
    lead = leads[expand(low, high - low)]
    found = _Leads(np.repeat(base, high - low), np.repeat(position, high - low), lead, pool.num_turns[lead])
    # behind other images only what can be renumbered, and never the base as its own lead
    return found.keep(((found.position == 1) | pool.renumberable[found.lead]) & (found.lead != bases[found.base]))


def _matched(pool: ConversationArrays, bases: Ints, candidates: _Leads) -> Bools:
    """Tell which bases have a candidate for every image but the last."""
    num_images = pool.num_images[bases]
    early = candidates.keep(candidates.position < num_images[candidates.base])
    most = int(num_images.max(initial=0)) + 1
    covered: Ints = np.bincount(np.unique(early.base * most + early.position) // most, minlength=len(bases))
    complete: Bools = (num_images > 0) & (covered == num_images - 1)
    # a dialogue's images may be led up to before it shows them itself; "both images" would count those too then
    stays_true = ~pool.ordered[bases] | pool.renumberable[bases]
    return complete & stays_true & ~_repeats_image(pool, bases)


def _repeats_image(pool: ConversationArrays, bases: Ints) -> Bools:
    """Tell which bases show one image twice: their images could not be told apart by what was asked about them."""
    num_images = pool.num_images[bases]
    base = np.repeat(np.arange(len(bases)), num_images)
    image = pool.ref_content[expand(pool.first_ref[bases], num_images)]
    most = int(image.max(initial=0)) + 1
    different: Bools = np.bincount(np.unique(base * most + image) // most, minlength=len(bases)) < num_images
    return different


def _choose(pool: ConversationArrays, bases: Ints, candidates: _Leads, random: np.random.Generator) -> _Leads:
    """Draw a random subset per image: at least one, but for the last image; in random order."""
    base, position = candidates.base, candidates.position
    starts = group_starts(base * (position.max(initial=0) + 1) + position)
    shuffled = np.lexsort((random.random(len(base)), position, base))
    firsts = np.flatnonzero(starts == np.arange(len(starts)))
    counts = np.diff(np.append(firsts, len(starts)))
    least = (position[firsts] < pool.num_images[bases[base[firsts]]]).astype(np.int64)
    sizes = np.repeat(random.integers(least, counts, endpoint=True), counts)
    rank = np.arange(len(starts)) - starts
    lead = candidates.lead[shuffled]
    return _Leads(base[shuffled], position[shuffled], lead, pool.num_turns[lead]).keep(rank < sizes)


def _fit(pool: ConversationArrays, bases: Ints, chosen: _Leads) -> tuple[_Leads, Ints, Bools]:
    """Make samples fit that would break a limit.

    Leads are given up, last ones first; where that is not enough, the leads that must stay lose turns at their ends,
    and then the base does, if its turns may be asked in any order. One turn of each stays.

    Returns:
        The leads; how many turns each base may be asked; which samples fit at all.
    """
    fits, keep = np.ones(len(bases), dtype=bool), np.ones(len(chosen.base), dtype=bool)
    lead_turns, base_turns = chosen.num_turns.copy(), pool.num_turns[bases]
    total = pool.weights(bases)
    np.add.at(total, chosen.base, pool.text_weights(chosen.lead))
    for base in np.flatnonzero((total > pool.capacity).any(axis=1)):
        rows = np.arange(*np.searchsorted(chosen.base, [base, base + 1]))
        left, num_images = total[base], pool.num_images[bases[base]]
        for row in rows[::-1]:
            position = chosen.position[row]
            needed = position < num_images and (keep[rows] & (chosen.position[rows] == position)).sum() == 1
            if (left > pool.capacity).any() and not needed:
                keep[row], left = False, left - pool.text_weights(chosen.lead[row : row + 1])[0]
        for row in rows[keep[rows]][::-1]:
            lead_turns[row], left = _shorten(pool, chosen.lead[row], left)
        if not pool.ordered[bases[base]]:
            base_turns[base], left = _shorten(pool, bases[base], left)
        fits[base] = not (left > pool.capacity).any()
    return replace(chosen, num_turns=lead_turns).keep(keep), base_turns, fits


def _shorten(pool: ConversationArrays, conversation: int, total: Floats) -> tuple[int, Floats]:
    """Take turns off a conversation's end until a sample fits, all but the first; return their number and the total."""
    first, num_turns = pool.first_turn[conversation], int(pool.num_turns[conversation])
    while pool.cut and num_turns > 1 and (total > pool.capacity).any():
        num_turns -= 1
        total = total - pool.turn_weight(first + num_turns)
    return num_turns, total


def _assemble(
    pool: ConversationArrays,
    bases: Ints,
    base_turns: Ints,
    chosen: _Leads,
    random: np.random.Generator,
    left_out: pl.DataFrame,
) -> DrawnSamples:
    """Put the turns of leads and bases in order and show each image with the first turn that needs it."""
    lead_use, lead_turn = _turns(pool, chosen.lead, chosen.num_turns, random)
    base_use, base_turn = _base_turns(pool, bases, base_turns, random)
    sample = np.concatenate([chosen.base[lead_use], base_use])
    position = np.concatenate([chosen.position[lead_use], np.zeros_like(base_use)])
    turn = np.concatenate([lead_turn, base_turn])
    order = np.argsort(sample, kind="stable")
    sample, position, turn = (column[order] for column in (sample, position, turn))
    shown_by = _shown_by(pool, bases, sample, position)
    return DrawnSamples.of(len(bases), (sample, turn, np.maximum(position - 1, 0)), shown_by, left_out)


def _turns(
    pool: ConversationArrays, conversations: Ints, counts: Ints, random: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return the first turns of conversations (use, turn): in order, or at random where they have none."""
    return np.repeat(np.arange(len(conversations)), counts), in_order(pool, conversations, counts, random)


def _base_turns(pool: ConversationArrays, bases: Ints, counts: Ints, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Return the turns asked of each base (base, turn): a random non-empty part, or all where their order matters."""
    use, turn = _turns(pool, bases, counts, random)
    sizes = np.where(pool.ordered[bases], counts, random.integers(1, np.maximum(counts, 1), endpoint=True))
    asked = np.arange(len(use)) - group_starts(use) < np.repeat(sizes, counts)
    return use[asked], turn[asked]


def _shown_by(pool: ConversationArrays, bases: Ints, sample: Ints, position: Ints) -> tuple[Ints, Ints, Ints]:
    """Find the turn that shows each image of each sample: (sample, turn, image), in the order of image numbers.

    Args:
        pool: All conversations.
        bases: Of each sample.
        sample: (T,) the sample of each turn, not falling.
        position: (T,) the image that it leads up to, from 1; 0 for turns of the base.
    """
    turn_in_sample = np.arange(len(sample)) - group_starts(sample)
    num_images = pool.num_images[bases]
    ref = expand(pool.first_ref[bases], num_images)
    first_image = starts_of(num_images)
    first_base_turn = np.full(len(bases), -1)
    asked = np.flatnonzero(position == 0)[::-1]
    first_base_turn[sample[asked]] = turn_in_sample[asked]
    shown = np.repeat(first_base_turn, num_images) + np.where(
        np.repeat(pool.ordered[bases], num_images), pool.ref_turn[ref], 0
    )
    led = np.flatnonzero(position > 0)[::-1]
    shown[first_image[sample[led]] + position[led] - 1] = turn_in_sample[led]
    return np.repeat(np.arange(len(bases)), num_images), shown, pool.ref_image[ref]
