"""The conversations as arrays, in the form in which kinds of blend and splits draw from them.

In: ``conversations``, ``turns``, ``image_refs`` and the images' ``content``. Index n of every array is conversation n.
The arrays are those of the tables wherever these need no other form.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from blender.blend.join import Tables
from blender.core.arrays import Bools, Floats, Ints, bounds_of, starts_of
from blender.recipe import Limits


@dataclass(frozen=True)
class ConversationArrays:
    """``N`` conversations, ``T`` turns, ``R`` image references of the usable ones."""

    #: names of the sources, sorted
    sources: tuple[str, ...]
    #: (N,) number of each conversation's source among them
    source: Ints
    ordered: Bools
    #: may stand behind other images
    renumberable: Bools
    usable: Bools
    #: (N,) turns of conversation n are the kept ones first_turn[n] : first_turn[n] + num_turns[n]
    num_turns: Ints
    first_turn: Ints
    #: (N,) 0 where it is not usable
    num_images: Ints
    #: (N,) of its texts
    characters: Ints
    #: (N,) of its texts; None where nobody counted them
    tokens: Ints | None
    #: numbers of the turns that are kept; None: all are
    kept_turns: Ints | None
    #: (T,)
    turn_characters: Ints
    turn_tokens: Ints | None
    #: (3,) how many images, characters and tokens a sample may have; infinite where there is no limit
    capacity: Floats
    #: tokens that an image takes
    image_tokens: int
    #: whether conversations may lose turns to keep the limits
    cut: bool
    #: (N + 1,) image references of conversation n are first_ref[n]:first_ref[n + 1]
    first_ref: Ints
    #: (R,) turn of the conversation, from 0, that shows the image
    ref_turn: Ints
    #: (R,) image number
    ref_image: Ints
    #: (R,) number of the first image that is the same
    ref_content: Ints

    def of(self, sources: tuple[str, ...]) -> Ints:
        """Return the usable conversations of some sources, in the order of the files."""
        return np.flatnonzero(self.usable & self.is_from(*sources))

    def is_from(self, *sources: str) -> Bools:
        """Tell of each conversation whether it is from one of some sources."""
        return np.isin(self.source, [number for number, name in enumerate(self.sources) if name in sources])

    def owners(self) -> Ints:
        """Return the conversation of each image reference."""
        return np.repeat(np.arange(len(self.source), dtype=np.int32), self.num_images)

    def turn_numbers(self, turns: Ints) -> Ints:
        """Return the numbers of turns, given which of the kept ones they are."""
        return turns if self.kept_turns is None else self.kept_turns[turns].astype(np.int64)

    def text_weights(self, conversations: Ints) -> Floats:
        """Return what texts of conversations take of the limits: (n, 3) no images, characters, tokens."""
        characters = self.characters[conversations]
        tokens = self.tokens[conversations] if self.tokens is not None else np.zeros(len(conversations))
        return np.column_stack([np.zeros(len(conversations)), characters, tokens]).astype(np.float64)

    def weights(self, conversations: Ints) -> Floats:
        """Return the same with the images: (n, 3) images, characters, tokens."""
        num_images = self.num_images[conversations].astype(np.float64)
        return self.text_weights(conversations) + num_images[:, None] * [1.0, 0.0, self.image_tokens]

    def turn_weight(self, turn: int) -> Floats:
        """Return what the texts of one of the kept turns take: (3,)."""
        number = self.turn_numbers(np.array([turn]))
        tokens = self.turn_tokens[number] if self.turn_tokens is not None else np.zeros(1)
        return np.concatenate([np.zeros(1), self.turn_characters[number], tokens]).astype(np.float64)


def arrange_conversations(tables: Tables, contents: Ints, limits: Limits) -> ConversationArrays:
    """Lay the selected conversations out as arrays.

    Args:
        tables: The tables, with reasons.
        contents: (I,) of each image the number of the first that is the same.
        limits: The recipe's limits.
    """
    frame, turns, refs = tables.conversations, tables.turns, tables.image_refs
    usable = frame["reason"].is_null().to_numpy()
    num_turns, num_images = frame["num_turns"].to_numpy(), frame["num_images"].to_numpy()
    if not usable.all():
        refs = refs.filter(pl.Series(usable[tables.owners()]))
        num_images = np.where(usable, num_images, np.int32(0))
    ref_image = refs["image"].to_numpy()
    kept = turns["kept"].to_numpy() if "kept" in turns.columns else None
    return ConversationArrays(
        sources=tables.sources,
        source=frame["source"].to_numpy(),
        ordered=frame["ordered"].to_numpy(),
        renumberable=frame["renumberable"].to_numpy(),
        usable=usable,
        num_turns=num_turns,
        first_turn=starts_of(num_turns).astype(np.int32),
        num_images=num_images,
        characters=frame["characters"].to_numpy(),
        tokens=frame["tokens"].to_numpy() if "tokens" in frame.columns else None,
        kept_turns=None if kept is None else np.flatnonzero(kept).astype(np.int32),
        turn_characters=turns["characters"].to_numpy(),
        turn_tokens=turns["tokens"].to_numpy() if "tokens" in turns.columns else None,
        capacity=np.array([limits.images, limits.characters or np.inf, limits.tokens or np.inf], dtype=np.float64),
        image_tokens=limits.image_tokens,
        cut=limits.cut,
        first_ref=bounds_of(num_images).astype(np.int32),
        ref_turn=refs["turn"].to_numpy(),
        ref_image=ref_image,
        ref_content=contents[ref_image].astype(np.int32),
    )
