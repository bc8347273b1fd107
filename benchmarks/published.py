"""Annotation files of the published sizes, in the official layouts, generated to give the counts of Table 1.

The texts are made up; how many records there are, how long they are and how many images they share is as published.
Which images they share is not: the counts of the real files were not checked here.

LLaVA-Instruct is about 81,479 of COCO's 118,287 training images, that is 68.88 % of them. Of CGD's 70,940
conversations the paper's image-matched blend kept 48,869, that is 68.89 %: each pair whose first image happens to be in
LLaVA. So these files have exactly that many such pairs. CGD's 141,869 instructions are two to nearly every pair. Pairs
form chains (a, b), (b, c) over all images of COCO, so that images are shared, in small groups alone.

Of SN, TVC and VST the paper has 487, 2 and 115 conversations, those with at most 8 images. Here are more, as many as
MIMIC-IT's own table of statistics tells in round numbers: 6,000 instructions in SN, 92,000 in TVC, 33,000 in VST (and
15,000 in SD, all about pairs of images). The others show 9 to 16 frames each and must be dropped for that.

The paper has 6,520 Sparkles dialogues: 2,000 of VG are published, and 4.5K of CC, which are taken to be 4,520.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.prose import Prose, draw

Ints = npt.NDArray[np.int64]

NUM_COCO_IMAGES = 118_287
NUM_LLAVA_IMAGES = 81_479
NUM_DETAIL, NUM_COMPLEX, NUM_CONVERSATION = 23_240, 76_643, 56_681
NUM_CGD, NUM_CGD_INSTRUCTIONS, NUM_MATCHED = 70_940, 141_869, 48_869
NUM_SPARKLES_CC, NUM_SPARKLES_VG = 4_520, 2_000


@dataclass(frozen=True)
class _Video:
    """One of MIMIC-IT's parts with images of its own."""

    prefix: str
    num_instructions: int
    num_conversations: int
    #: conversations with at most 8 images
    num_few: int
    #: fewest and most images of those
    few: tuple[int, int]
    #: images between the first ones of two neighbouring conversations with more; small steps share images
    step: float = 1.0


_VIDEOS = (
    _Video("SD", 15_000, 8_006, 8_006, (2, 2)),
    _Video("SN", 6_000, 3_500, 487, (4, 8), step=3),
    _Video("TVC", 92_000, 86_000, 2, (7, 8), step=6.7),
    _Video("VST", 33_000, 17_000, 115, (5, 8), step=1),
)


def write_published(folder: Path, times: float = 1.0, seed: int = 0) -> None:
    """Write all annotation files of ``recipes/deepspeed-visualchat-nine.yaml``, and no image.

    Args:
        folder: The data root; made when it does not exist.
        times: How many times the published sizes, images included.
        seed: Draws texts and images.
    """
    random = np.random.default_rng(seed)
    prose = Prose(random)
    pairs, covered = _coco(random, times)
    _write_llava(folder / "llava", random, prose, covered, times)
    mimicit = folder / "MIMIC-IT"
    names = [b'"CGD_IMG_%012d", "CGD_IMG_%012d"' % pair for pair in map(tuple, pairs.tolist())]
    _write_mimicit(mimicit / "CGD_instructions.json", b"CGD", names, round(NUM_CGD_INSTRUCTIONS * times), random, prose)
    for video in _VIDEOS:
        names = list(_video_images(video, random, times))
        path = mimicit / f"{video.prefix}_instructions.json"
        _write_mimicit(path, video.prefix.encode(), names, round(video.num_instructions * times), random, prose)
    for name, count in (("SparklesDialogueCC", NUM_SPARKLES_CC), ("SparklesDialogueVG", NUM_SPARKLES_VG)):
        path = folder / name / "annotations" / f"{name}.json"
        _write_array(path, _sparkles(round(count * times), random, prose))


def _coco(random: np.random.Generator, times: float) -> tuple[Ints, Ints]:
    """Draw CGD's pairs of images, and the images that LLaVA is about."""
    num_images, num_pairs, num_matched, num_covered = (
        round(count * times) for count in (NUM_COCO_IMAGES, NUM_CGD, NUM_MATCHED, NUM_LLAVA_IMAGES)
    )
    order = random.permutation(num_images)
    # every chain has one image more than it has pairs, and at least two
    num_chains = num_images - num_pairs
    sizes = 2 + np.bincount(random.integers(num_chains, size=num_images - 2 * num_chains), minlength=num_chains)
    begins_pair = np.ones(num_images, dtype=bool)
    begins_pair[np.cumsum(sizes) - 1] = False
    first = np.flatnonzero(begins_pair)
    pairs = np.column_stack([order[first], order[first + 1]])
    covered = np.concatenate(
        [
            random.permutation(order[begins_pair])[:num_matched],
            random.permutation(order[~begins_pair])[: num_covered - num_matched],
        ]
    )
    return random.permutation(pairs), random.permutation(covered)


# --- LLaVA -----------------------------------------------------------------------------------------------------------

_TURN = b'      {\n        "from": "%b",\n        "value": %b\n      }'
_RECORD = b'  {\n    "id": "%012d",\n    "image": "%012d.jpg",\n    "conversations": [\n%b\n    ]\n  }'
#: rounds of a conversation_58k record, and how likely they are
_ROUNDS = ([3, 4, 5, 6], [0.05, 0.32, 0.58, 0.05])


def _write_llava(folder: Path, random: np.random.Generator, prose: Prose, covered: Ints, times: float) -> None:
    num_detail, num_complex, num_dial = (round(count * times) for count in (NUM_DETAIL, NUM_COMPLEX, NUM_CONVERSATION))
    # between them the two large files show every covered image
    of_complex, left = covered[:num_complex], covered[num_complex:]
    of_dial = random.permutation(np.concatenate([left, random.permutation(of_complex)[: num_dial - len(left)]]))
    of_detail = random.permutation(covered)[:num_detail]
    one = np.ones(len(covered), dtype=np.int64)
    rounds = random.choice(_ROUNDS[0], num_dial, p=_ROUNDS[1])
    files = (
        ("detail_23k", of_detail, one[:num_detail], prose.paragraphs(580)),
        ("complex_reasoning_77k", of_complex, one[:num_complex], prose.paragraphs(735)),
        ("conversation_58k", of_dial, rounds, prose.paragraphs(268)),
    )
    for name, images, sizes, answers in files:
        _write_array(folder / f"{name}.json", _llava(images, sizes, answers, random, prose))


def _llava(
    images: Ints, rounds: Ints, answers: list[bytes], random: np.random.Generator, prose: Prose
) -> Iterator[bytes]:
    total = int(rounds.sum())
    first = prose.questions(head="<image>\n") + prose.questions(tail="\n<image>")
    openings = iter(draw(random, first, len(images)))
    questions, replies = iter(draw(random, prose.questions(), total)), iter(draw(random, answers, total))
    for image, num_rounds in zip(images.tolist(), rounds.tolist(), strict=True):
        asked = [next(openings), *(next(questions) for _ in range(num_rounds - 1))]
        turns = (turn for question in asked for turn in (_TURN % (b"human", question), _TURN % (b"gpt", next(replies))))
        yield _RECORD % (image, image, b",\n".join(turns))


# --- MIMIC-IT --------------------------------------------------------------------------------------------------------

_INSTRUCTION = b'"%b_INS_%06d": {"instruction": %b, "answer": %b, "image_ids": [%b], "rel_ins_ids": [%b]}'
_PAIR_QUESTIONS = (
    "Looking at both images: ",
    "What differs between the two images? ",
    "In the second image, unlike the first image: ",
)
_PAIR_ANSWERS = (
    "In the first image, this differs from the second image. ",
    "The second image has it, the first image has not. ",
    "Both images share it. ",
    "",
)


def _video_images(video: _Video, random: np.random.Generator, times: float) -> Iterator[bytes]:
    """Yield the images of each conversation: those with few images have theirs to themselves."""
    form = b'"' + video.prefix.encode() + b'_IMG_%07d"'
    num_conversations, num_few = round(video.num_conversations * times), round(video.num_few * times)
    few = random.integers(*video.few, size=num_few, endpoint=True).tolist()
    many = random.integers(9, 16, size=num_conversations - num_few, endpoint=True).tolist()
    lists, start = [], 0
    for size in few:
        lists.append(range(start, start + size))
        start += size
    lists += [range(first := start + int(place * video.step), first + size) for place, size in enumerate(many)]
    for place in random.permutation(num_conversations).tolist():
        yield b", ".join([form % image for image in lists[place]])


def _write_mimicit(
    path: Path, prefix: bytes, images: list[bytes], num_instructions: int, random: np.random.Generator, prose: Prose
) -> None:
    """Write a file with one or two instructions on each list of images, ``num_instructions`` in all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    questions = [text for head in _PAIR_QUESTIONS for text in prose.questions(head)]
    replies = draw(random, prose.paragraphs(160, _PAIR_ANSWERS), num_instructions)
    asked = draw(random, questions, num_instructions)
    sizes = random.permutation(np.where(np.arange(len(images)) < num_instructions - len(images), 2, 1))
    content, number = [], 0
    for names, size in zip(images, sizes.tolist(), strict=True):
        for place in range(size):
            other = b'"%b_INS_%06d"' % (prefix, number + 1 - 2 * place) if size == 2 else b""
            content.append(_INSTRUCTION % (prefix, number, asked[number], replies[number], names, other))
            number += 1
    meta = b'{"meta": {"version": "0.0.1", "time": "2023-06", "author": "made up"}, "data": {'
    path.write_bytes(meta + b", ".join(content) + b"}}")


# --- Sparkles --------------------------------------------------------------------------------------------------------

_SHOWN = b'{"image_id": %d, "caption": %b}'
_DIALOGUE = (
    b'{"dialogue": [{"role": "user", "images": [%b, %b], "content": "Can you link what is seen in '
    b'IMAGE#%d<Img><ImageHere></Img> and the scene in IMAGE#%d<Img><ImageHere></Img>?"}, {"role": "assistant", '
    b'"content": "In IMAGE#%d, %b\\n\\nIn IMAGE#%d, %b"}, {"role": "user", "images": [%b], "content": "How does '
    b'IMAGE#%d<Img><ImageHere></Img> go with IMAGE#%d?"}, {"role": "assistant", "content": "%b IMAGE#%d shows that."}]}'
)


def _sparkles(count: int, random: np.random.Generator, prose: Prose) -> Iterator[bytes]:
    """Yield dialogues of two rounds, on three images; two neighbours share one."""
    captions = iter(draw(random, prose.paragraphs(300), 3 * count))
    texts = iter([text[1:-1] for text in draw(random, prose.paragraphs(1_200), 3 * count)])
    for number in range(count):
        a, b, c = (1_000 + 3 * number - number % 2 + place for place in range(3))
        shown = [_SHOWN % (image, next(captions)) for image in (a, b, c)]
        yield _DIALOGUE % (*shown[:2], a, b, a, next(texts), b, next(texts), shown[2], c, a, next(texts), c)


def _write_array(path: Path, records: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=1 << 20) as file:
        for place, record in enumerate(records):
            file.write(b",\n" if place else b"[\n")
            file.write(record)
        file.write(b"\n]\n")
