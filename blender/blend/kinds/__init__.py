"""Kinds of blend: one function each, from conversations to samples.

In: the conversations (:mod:`blender.blend.conversations`) that an entry of the recipe may use. Out: ``sample_turns``,
``sample_images`` and ``left_out`` (:mod:`blender.blend.kinds.samples`). A new kind is a module with such a function, a
key of the recipe's blend entries, and a line in :func:`draw_once`.
"""

import numpy as np

from blender.blend.conversations import ConversationArrays
from blender.blend.kinds.concatenate import concatenate
from blender.blend.kinds.image_match import image_match
from blender.blend.kinds.samples import DrawnSamples, join_conversations
from blender.core.arrays import Bools
from blender.recipe import BlendEntry


def draw_once(pool: ConversationArrays, entry: BlendEntry, side: Bools, random: np.random.Generator) -> DrawnSamples:
    """Make one copy of an entry's samples.

    Args:
        pool: The conversations.
        entry: The recipe's entry.
        side: (N,) the conversations of the split.
        random: Draws everything that is random.
    """
    if entry.image_match is not None:
        bases, leads = (pool.of(sources) for sources in (entry.image_match.base, entry.image_match.with_))
        return image_match(pool, bases[side[bases]], leads[side[leads]], random)
    conversations = pool.of(entry.sources)
    conversations = conversations[side[conversations]]
    if entry.concatenate is not None:
        return concatenate(pool, conversations, entry.concatenate, random)
    # plain: each conversation is a sample
    return join_conversations(pool, conversations, np.arange(len(conversations)), random)
