"""One block of the corpus: its scenes, its pictures, and every text about them.

A block is made from the seed and its number alone, wherever it is made. Its texts are handed back already encoded,
entry by entry, so that the process which gathers them only joins bytes.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from blender.core.randomness import generator
from blender.demo.compose import alter_scene, compose_scene, pick
from blender.demo.describing import REQUESTS, caption, converse, describe, reason
from blender.demo.differing import ScenePair, instructions
from blender.demo.gathering import DialogueTurn, gather
from blender.demo.layout import Slot, block_slots, dialogues_before, num_dialogues
from blender.demo.looking import shuffled
from blender.demo.paint import paint
from blender.demo.question import CheckableTurn, QuestionRecord, file_question
from blender.demo.scene import Scene

#: image store → its folder in the corpus
FOLDERS = {
    "coco": "coco/train2017",
    "sparkles_cc": "SparklesDialogueCC/images",
    "sparkles_vg": "SparklesDialogueVG/images",
}
DETAIL = "llava/detail_23k.json"
REASONING = "llava/complex_reasoning_77k.json"
CONVERSATION = "llava/conversation_58k.json"
CGD = "MIMIC-IT/CGD_instructions.json"
SPARKLES = {
    "sparkles_cc": "SparklesDialogueCC/annotations/SparklesDialogueCC.json",
    "sparkles_vg": "SparklesDialogueVG/annotations/SparklesDialogueVG.json",
}
SCENES = "scenes.json"
QUESTIONS = "questions.json"

#: the most that a block has of pairs, and a pair of instructions; numbers of instructions are given out by them
_MOST_PAIRS, _MOST_INSTRUCTIONS = 12, 3


class BlockTask(Struct, frozen=True):
    """A block to be drawn."""

    folder: str
    seed: int
    block: int
    num_images: int


class DrawnBlock(Struct, frozen=True):
    """What a block adds to the files of the corpus."""

    block: int
    #: file → its entries, encoded; for :data:`CGD`, members of an object
    entries: dict[str, list[bytes]]
    #: image store → pictures drawn
    num_images: dict[str, int]
    #: pairs that have instructions
    num_pairs: int


class _BlockTexts:
    """Gathers the entries of a block and, beside them, the checkable questions."""

    def __init__(self) -> None:
        self.entries: dict[str, list[bytes]] = {}
        self._encode = msgspec.json.Encoder().encode

    def add(self, file: str, entry: object, id: str | None = None) -> None:
        """Add an entry to a file; with an id, as a member of an object."""
        line = self._encode(entry)
        self.entries.setdefault(file, []).append(line if id is None else self._encode(id) + b": " + line)

    def ask(self, records: Iterable[QuestionRecord]) -> None:
        """Add checkable questions."""
        for record in records:
            self.add(QUESTIONS, record)


def draw_block(task: BlockTask) -> DrawnBlock:
    """Write the pictures of a block and return its texts.

    Raises:
        OSError: A picture cannot be written.
    """
    slots = block_slots(task.seed, task.block, task.num_images)
    scenes: list[Scene] = []
    texts, num_pairs = _BlockTexts(), 0
    for slot in slots:
        rng = generator(task.seed, "demo", "picture", slot.index)
        scene, pair = compose_slot(slot, scenes, rng)
        Path(task.folder, FOLDERS[scene.store], scene.name).write_bytes(paint(scene, rng))
        scenes.append(scene)
        texts.add(SCENES, scene)
        if slot.store == "coco":
            _tell_scene(texts, slot, scene, rng)
        if pair:
            _tell_pair(texts, task.block * _MOST_PAIRS + num_pairs, pair, rng)
            num_pairs += 1
    for store in SPARKLES:
        _tell_dialogues(texts, task, store, [scene for scene in scenes if scene.store == store])
    return DrawnBlock(task.block, texts.entries, dict(Counter(slot.store for slot in slots)), num_pairs)


def compose_slot(slot: Slot, earlier: list[Scene], rng: np.random.Generator) -> tuple[Scene, ScenePair | None]:
    """Make up the scene of a slot.

    Args:
        slot: Which picture of its block.
        earlier: The scenes of the block's pictures before it.
        rng: The picture's own generator.

    Returns:
        The scene and, for an altered copy, the pair that it makes with its original.
    """
    if slot.original is None:
        return compose_scene(slot.store, slot.name, rng), None
    first = earlier[slot.original]
    second, changes = alter_scene(first, slot.name, rng)
    return second, ScenePair(first, second, changes) if changes else None


def _tell_scene(texts: _BlockTexts, slot: Slot, scene: Scene, rng: np.random.Generator) -> None:
    """Write about a COCO picture in LLaVA's files: in some, in all, or in none."""
    likelihood = 0.5 if slot.original is not None else 1.0 if rng.random() < 0.93 else 0.0
    in_all = slot.index == 0  # so that not even the smallest corpus has an empty file
    if in_all or rng.random() < 0.52 * likelihood:
        _add_llava(texts, DETAIL, scene, [(pick(rng, REQUESTS), describe(scene, rng))], rng)
    if in_all or rng.random() < 0.8 * likelihood:
        _add_asked(texts, REASONING, scene, (reason(scene, rng),), rng)
    if in_all or rng.random() < 0.8 * likelihood:
        _add_asked(texts, CONVERSATION, scene, converse(scene, rng), rng)


def _add_asked(
    texts: _BlockTexts, file: str, scene: Scene, asked: tuple[CheckableTurn, ...], rng: np.random.Generator
) -> None:
    record = _add_llava(texts, file, scene, [(each.question, each.answer) for each in asked], rng)
    texts.ask(file_question(each, file, record, turn, scene.store, (scene.name,)) for turn, each in enumerate(asked))


def _add_llava(
    texts: _BlockTexts, file: str, scene: Scene, rounds: list[tuple[str, str]], rng: np.random.Generator
) -> str:
    """Add a record in LLaVA's form; the image's tag stands at the head or at the tail of the first question."""
    record, (first, *_) = PurePath(scene.name).stem, rounds[0]
    tagged = pick(rng, (f"<image>\n{first}", f"{first}\n<image>"))
    turns = [
        {"from": speaker, "value": value}
        for question, answer in [(tagged, rounds[0][1]), *rounds[1:]]
        for speaker, value in (("human", question), ("gpt", answer))
    ]
    texts.add(file, {"id": record, "image": scene.name, "conversations": turns})
    return record


def _tell_pair(texts: _BlockTexts, ordinal: int, pair: ScenePair, rng: np.random.Generator) -> None:
    """Add the instructions of a pair, each naming the others; a few image ids are padded to 16 digits."""
    width = 16 if rng.random() < 0.06 else 12
    names = (pair.first.name, pair.second.name)
    image_ids = [f"CGD_IMG_{PurePath(name).stem:0>{width}}" for name in names]
    asked = instructions(pair, rng)
    ids = [f"CGD_INS_{ordinal * _MOST_INSTRUCTIONS + number:06d}" for number in range(len(asked))]
    for id, each in zip(ids, asked, strict=True):
        others = [other for other in ids if other != id]
        entry = {"instruction": each.question, "answer": each.answer, "image_ids": image_ids, "rel_ins_ids": others}
        texts.add(CGD, entry, id)
        texts.ask([file_question(each, CGD, id, 0, "coco", names)])


def _tell_dialogues(texts: _BlockTexts, task: BlockTask, store: str, scenes: list[Scene]) -> None:
    """Add dialogues over the Sparkles pictures of a block; every picture is in one or two of them."""
    rng = generator(task.seed, "demo", store, task.block)
    order, begin = shuffled(rng, scenes), 0
    for number in range(num_dialogues(len(scenes))):
        size = int(rng.integers(2, min(4, len(scenes)) + 1))
        album = tuple(order[(begin + step) % len(order)] for step in range(size))
        begin += size
        rounds = gather(album, rng)
        texts.add(SPARKLES[store], {"dialogue": [turn for each in rounds for turn in _messages(each, album)]})
        record = str(dialogues_before(store, task.block) + number)
        names = tuple(scene.name for scene in album)
        texts.ask(
            file_question(each.asked, SPARKLES[store], record, turn, store, names[: each.num_shown])
            for turn, each in enumerate(rounds)
        )


def _messages(each: DialogueTurn, album: tuple[Scene, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two turns of a round; ``images`` is left out where none is new."""
    user: dict[str, Any] = {"role": "user", "content": each.content}
    new = album[each.num_shown - each.num_new : each.num_shown]
    if new:
        user["images"] = [{"image_id": _image_id(scene), "caption": caption(scene)} for scene in new]
    return user, {"role": "assistant", "content": each.asked.answer}


def _image_id(scene: Scene) -> str | int:
    """CC's ids are text and VG's are numbers, as published."""
    stem = PurePath(scene.name).stem
    return stem if scene.store == "sparkles_cc" else int(stem)
