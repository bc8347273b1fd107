"""How many records keep their place in front of other images, source by source, and what asking them costs.

On the drawn corpus, and on other data of the published layout where a folder of such is given.
"""

import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks import report
from blender.data.references import find_unclear_reference
from blender.data.sources import open_source_file, read_batches
from blender.demo import draw_corpus

_SOURCES = {
    "llava detail": ("llava", "llava/detail_23k.json"),
    "llava complex": ("llava", "llava/complex_reasoning_77k.json"),
    "llava conversation": ("llava", "llava/conversation_58k.json"),
    "cgd": ("mimicit", "MIMIC-IT/CGD_instructions.json"),
    "sd": ("mimicit", "MIMIC-IT/SD_instructions.json"),
    "sparkles cc": ("sparkles", "SparklesDialogueCC/annotations/SparklesDialogueCC.json"),
    "sparkles vg": ("sparkles", "SparklesDialogueVG/annotations/SparklesDialogueVG.json"),
}
_DRAWN = 600
#: what the rules before gave on the same data, of which the project keeps no copy
_BEFORE = (
    "Before (ae0548d, where only what could be read as a reference pinned): none drawn; of the real texts 13 of 26 and "
    "18 of 26 Sparkles dialogues, none of the others."
)
_HEAD = [
    "source",
    "conversations",
    "of several images",
    "pinned",
    "share",
    "of several images, may move",
    "µs a text",
    "reasons",
]


def run(data: Path | None = None) -> str:
    """Measure and return the results as Markdown.

    Args:
        data: A folder of the published layout, with texts of other people.
    """
    with tempfile.TemporaryDirectory(prefix="drawn-") as folder:
        draw_corpus(Path(folder) / "corpus", num_images=_DRAWN, workers=2)
        parts = [f"Drawn corpus of {_DRAWN} images:\n\n{_table(Path(folder) / 'corpus')}"]
    if data:
        parts.append(f"Real texts and texts derived from annotations ({data.name}):\n\n{_table(data)}")
    told = report.circumstances(("polars",), "python -m benchmarks pinned --data FOLDER")
    return "\n\n".join([told, *parts, _BEFORE])


def _table(root: Path) -> str:
    found = [(name, form, root / path) for name, (form, path) in _SOURCES.items() if (root / path).is_file()]
    return report.table(_HEAD, [[name, *_measure(form, path)] for name, form, path in found])


def _measure(form: str, path: Path) -> list[object]:
    reasons, num_several, num_moving, num_texts, seconds = Counter[str](), 0, 0, 0, 0.0
    num_conversations = 0
    for turns, num_images in _conversations(form, path):
        begun = time.process_time()
        pins = [find_unclear_reference(text, shown, num_images > 1) for text, shown in turns]
        seconds += time.process_time() - begun
        first = next(filter(None, pins), None)
        reasons.update([first.reason] if first else [])
        num_conversations, num_texts = num_conversations + 1, num_texts + len(turns)
        num_several, num_moving = num_several + (num_images > 1), num_moving + (num_images > 1 and not first)
    pinned = reasons.total()
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none"
    share, moving = f"{pinned / num_conversations:.1%}", f"{num_moving} of {num_several}"
    return [num_conversations, num_several, pinned, share, moving, f"{seconds / num_texts * 1e6:.0f}", told]


def _conversations(form: str, path: Path) -> list[tuple[list[tuple[str, int]], int]]:
    """List the texts of each conversation, with the images shown by then, and how many it shows in all."""
    found = []
    for batch in read_batches(open_source_file(form, str(path))):
        start = 0
        for num_turns in batch.num_turns:
            texts, shown = list[tuple[str, int]](), 0
            for turn in range(start, start + num_turns):
                shown += batch.num_shown[turn]
                texts += [(batch.questions[turn], shown), (batch.answers[turn], shown)]
            found.append((texts, shown))
            start += num_turns
    return found
