"""Which picture of the corpus is what: its image store, its file name, and the picture it is a copy of.

Pictures come in blocks of 32. All that is said about a picture stays within its block, so that blocks can be drawn by
separate processes and the pictures that share a text never grow into one large component, which a split by image could
not cut. What picture ``i`` is depends on the seed and on ``i`` alone, never on how many pictures are asked for.
"""

from msgspec import Struct

from blender.core.randomness import generator

BLOCK = 32
#: pictures of a block: c for COCO, s for Sparkles' CC part, v for its VG part
_STORES = "ccccssvvccccccccccccsscccccscvcc"
_NAMES = {"c": "coco", "s": "sparkles_cc", "v": "sparkles_vg"}
#: COCO picture of a block (counted among the block's COCO pictures) → the one that it is an altered copy of
_COPIES = {1: 0, 3: 2, 5: 4, 6: 4, 8: 7, 10: 9, 11: 10, 13: 12, 15: 14, 17: 16, 18: 16, 20: 19}
#: pictures of a block that are in Sparkles' two parts
_PER_BLOCK = {letter: _STORES.count(letter) for letter in _NAMES}
#: COCO's numbers have six digits; this prime makes each come once
_PRIME = 999_983


class Slot(Struct, frozen=True):
    """The place of one picture in the corpus."""

    #: from 0, through the whole corpus
    index: int
    store: str
    #: file name
    name: str
    #: place, in the block, of the picture that this one is an altered copy of
    original: int | None


def block_slots(seed: int, block: int, num_images: int) -> tuple[Slot, ...]:
    """The pictures of a block, in order.

    Args:
        seed: Of the corpus.
        block: Which block, from 0.
        num_images: Pictures in the whole corpus; the last block may have fewer than the others.
    """
    size = min(BLOCK, num_images - block * BLOCK)
    coco = [place for place in range(BLOCK) if _STORES[place] == "c"]
    copies = {coco[copy]: coco[original] for copy, original in _COPIES.items()}
    return tuple(
        Slot(block * BLOCK + place, _NAMES[_STORES[place]], _file_name(seed, block, place), copies.get(place))
        for place in range(size)
    )


def num_dialogues(num_images: int) -> int:
    """How many dialogues a number of Sparkles pictures of one block is good for; one alone has nothing beside it."""
    return 0 if num_images < 2 else (num_images + 1) // 2


def dialogues_before(store: str, block: int) -> int:
    """How many dialogues the blocks before one have."""
    letter = next(letter for letter, name in _NAMES.items() if name == store)
    return block * num_dialogues(_PER_BLOCK[letter])


def _file_name(seed: int, block: int, place: int) -> str:
    letter = _STORES[place]
    if letter == "c":
        return f"{_coco_number(seed, block * BLOCK + place):012d}.jpg"
    ordinal = block * _PER_BLOCK[letter] + _STORES[:place].count(letter)
    return f"{_sparkles_number(ordinal, 12 if letter == 's' else 233_012)}.jpg"


def _coco_number(seed: int, index: int) -> int:
    start = int(generator(seed, "demo", "coco numbers").integers(_PRIME))
    rounds, rest = divmod(index, _PRIME)
    return rounds * 1_000_000 + (rest * 413_158 + start) % _PRIME + 1


def _sparkles_number(ordinal: int, first: int) -> int:
    """Numbers in twos, such as 12 and 123: an even one, and the same with an odd digit after it; none comes twice."""
    stem = first + 2 * (ordinal // 2)
    return stem * 10 + 2 * (ordinal // 2 + 1) % 10 + 1 if ordinal % 2 else stem
