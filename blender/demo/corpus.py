"""Drawing a corpus: blocks in parallel, then the annotation files, joined in order.

The folder says itself whether it is finished: ``corpus.json`` is written first, with the request, and once more at the
end, with the counts. A finished corpus is not drawn again; an interrupted one, or one that is to grow, is drawn over,
which changes no picture, since a picture does not depend on how many there are.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from blender.core.errors import BlenderError, FolderError
from blender.core.files import write_whole
from blender.core.folder import FolderKind
from blender.core.pool import map_unordered, num_cores
from blender.demo.block import (
    CGD,
    CONVERSATION,
    DETAIL,
    FOLDERS,
    QUESTIONS,
    REASONING,
    SCENES,
    SPARKLES,
    BlockTask,
    DrawnBlock,
    draw_block,
)
from blender.demo.layout import BLOCK

LEAST_IMAGES = 8
CORPUS = "corpus.json"
#: goes up whenever a change of the code changes what is drawn
VERSION = 1
#: a corpus smaller than this is drawn before other processes have started
_WORTH_A_PROCESS = 96

_ARRAYS = (DETAIL, REASONING, CONVERSATION, *SPARKLES.values(), SCENES, QUESTIONS)


def is_corpus(folder: Path) -> bool:
    """Tell whether a folder holds a drawn corpus, finished or not."""
    try:
        msgspec.json.decode((folder / CORPUS).read_bytes(), type=_DrawnRequest)
    except (OSError, msgspec.DecodeError):
        return False
    return True


#: everything of a demo has a folder of its own kind in it
DEMO = FolderKind(
    name="demo",
    noun="a demo",
    busy="another demo is at work in",
    own=(),
    is_proven=lambda folder: is_corpus(folder / "corpus"),
)


class CorpusError(BlenderError):
    """A corpus that cannot be drawn as asked."""


@dataclass(frozen=True)
class CorpusSummary:
    """What was drawn."""

    num_images: int
    #: of them, in ``coco/train2017``
    num_coco: int
    #: of them, in ``SparklesDialogueCC/images``
    num_sparkles_cc: int
    #: of them, in ``SparklesDialogueVG/images``
    num_sparkles_vg: int
    #: records of the annotation files
    num_detail: int
    num_reasoning: int
    num_conversation: int
    num_cgd_instructions: int
    num_dialogues_cc: int
    num_dialogues_vg: int
    #: pairs of pictures that the CGD instructions are about
    num_cgd_pairs: int
    #: entries of ``questions.json``
    num_questions: int


@dataclass(frozen=True)
class _DrawnRequest:
    """What ``corpus.json`` holds."""

    seed: int
    num_images: int
    version: int = VERSION
    #: None until all is drawn
    summary: CorpusSummary | None = None


def draw_corpus(folder: Path, num_images: int = 200, seed: int = 0, workers: int | None = None) -> CorpusSummary:
    """Draw a corpus in the layouts of LLaVA, MIMIC-IT and SparklesDialogue over COCO-like pictures.

    Beside them, ``scenes.json`` lists what is in every picture (:class:`blender.demo.scene.Scene`) and
    ``questions.json`` every question that can be checked (:class:`blender.demo.question.QuestionRecord`).

    Args:
        folder: Where to; made if missing.
        num_images: Pictures in all, at least 8; three quarters are COCO's.
        seed: Decides everything; the number of workers decides nothing.
        workers: Number of processes; all cores by default.

    Raises:
        CorpusError: The request makes no sense.
        FolderError: The folder holds something else, or cannot be written to.
    """
    if num_images < LEAST_IMAGES:
        raise CorpusError(
            f"a corpus of {num_images} pictures cannot hold all four datasets", f"ask for {LEAST_IMAGES} or more"
        )
    if seed < 0:
        raise CorpusError(f"a seed cannot be negative, as {seed} is", "use 0 or more")
    request = _DrawnRequest(seed, num_images)
    try:
        earlier = _earlier(folder, request)
        if earlier and earlier.summary and earlier.num_images == num_images:
            return earlier.summary
        return _draw(folder, request, _num_workers(num_images, workers))
    except OSError as error:
        raise FolderError(
            f"cannot draw a corpus into {folder}: {error.strerror or error}", "check its permissions and free space"
        ) from error


def _num_workers(num_images: int, workers: int | None) -> int:
    wanted = num_cores() if workers is None else workers
    return min(wanted, -(-num_images // BLOCK)) if num_images >= _WORTH_A_PROCESS else 1


def _earlier(folder: Path, request: _DrawnRequest) -> _DrawnRequest | None:
    """Read what an earlier run left in the folder.

    Raises:
        FolderError: It is not a corpus, or one that drawing over would leave pieces of.
    """
    ours = {Path(name).parts[0] for name in (*FOLDERS.values(), *_ARRAYS, CGD, CORPUS)}
    present = sorted(name for name in ours if (folder / name).exists())
    if not present:
        return None
    try:
        earlier = msgspec.json.decode((folder / CORPUS).read_bytes(), type=_DrawnRequest)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        raise FolderError(
            f"{folder} already holds {present[0]}, which is not of a drawn corpus", "choose an empty folder"
        ) from None
    grown = earlier.num_images <= request.num_images
    if (earlier.seed, earlier.version) != (request.seed, request.version) or not grown:
        raise FolderError(
            f"{folder} holds another drawn corpus: {earlier.num_images} pictures of seed {earlier.seed}",
            "choose another folder, or delete this one",
        )
    return earlier


def _draw(folder: Path, request: _DrawnRequest, workers: int) -> CorpusSummary:
    for name in (*FOLDERS.values(), *_ARRAYS, CGD):
        (folder / name if name in FOLDERS.values() else (folder / name).parent).mkdir(parents=True, exist_ok=True)
    write_whole(folder / CORPUS, [msgspec.json.encode(request)])
    num_blocks = -(-request.num_images // BLOCK)
    tasks = [BlockTask(str(folder), request.seed, block, request.num_images) for block in range(num_blocks)]
    blocks = sorted(map_unordered(draw_block, tasks, workers), key=lambda drawn: drawn.block)
    for file in _ARRAYS:
        write_whole(folder / file, _joined(b"[\n", _entries(blocks, file), b"\n]\n"))
    meta = msgspec.json.encode({"version": str(VERSION), "time": "", "author": "visualchat demo"})
    write_whole(folder / CGD, _joined(b'{"meta": ' + meta + b', "data": {\n', _entries(blocks, CGD), b"\n}}\n"))
    summary = _summary(blocks, request.num_images)
    finished = _DrawnRequest(request.seed, request.num_images, summary=summary)
    write_whole(folder / CORPUS, [msgspec.json.encode(finished)])
    return summary


def _entries(blocks: list[DrawnBlock], file: str) -> list[bytes]:
    return [entry for block in blocks for entry in block.entries.get(file, [])]


def _joined(head: bytes, entries: list[bytes], tail: bytes) -> Iterable[bytes]:
    """An array or object with an entry a line."""
    yield head
    yield b",\n".join(entries)
    yield tail


def _summary(blocks: list[DrawnBlock], num_images: int) -> CorpusSummary:
    stores: Counter[str] = Counter()
    for block in blocks:
        stores.update(block.num_images)
    records: dict[str, Any] = {file: len(_entries(blocks, file)) for file in (*_ARRAYS, CGD)}
    return CorpusSummary(
        num_images=num_images,
        num_coco=stores["coco"],
        num_sparkles_cc=stores["sparkles_cc"],
        num_sparkles_vg=stores["sparkles_vg"],
        num_detail=records[DETAIL],
        num_reasoning=records[REASONING],
        num_conversation=records[CONVERSATION],
        num_cgd_instructions=records[CGD],
        num_dialogues_cc=records[SPARKLES["sparkles_cc"]],
        num_dialogues_vg=records[SPARKLES["sparkles_vg"]],
        num_cgd_pairs=sum(block.num_pairs for block in blocks),
        num_questions=records[QUESTIONS],
    )
