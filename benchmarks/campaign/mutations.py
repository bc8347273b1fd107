"""Mutated annotation files and pictures through plan and write.

Each try ends with one sentence (a ``BlenderError``) or with a blend that ``verify`` finds whole and whose ledger has
every record of the file; never with a traceback, and within seconds.
"""

import json
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.campaign.mutate import mutate_bytes, mutate_file
from benchmarks.campaign.outcome import CheckFailed, Outcome, expect, repeat
from benchmarks.campaign.sources import files
from blender import load_recipe, open_blend, verify_blend, write_blend
from blender.core.errors import BlenderError
from tests import corpora

_NUM_IMAGES = 8
#: far more than any of these tiny blends takes
_SECONDS = 20
_KINDS = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tiff", "PPM": "ppm"}


@dataclass(frozen=True)
class Bench:
    """A folder with pictures under all the names that the formats use."""

    folder: Path
    contents: dict[str, Any]

    @property
    def pictures(self) -> Path:
        """Folder of the pictures."""
        return self.folder / "pictures"


def make_bench(folder: Path) -> Bench:
    """Draw the pictures."""
    bench = Bench(folder, files())
    for number in range(_NUM_IMAGES):
        drawn = bench.pictures / corpora.coco_name(number)
        corpora.draw(drawn, number)
        shutil.copy(drawn, bench.pictures / f"{number}.jpg")
    return bench


def mutate_annotations(numbers: Iterable[int], seed: int) -> Outcome:
    """Blend mutated annotation files of every format."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        bench = make_bench(Path(folder))
        return repeat("annotations", lambda random: _try_annotations(bench, random), numbers, seed)


def mutate_pictures(numbers: Iterable[int], seed: int) -> Outcome:
    """Blend mutated pictures of every format that is read; a try is one picture."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        bench = make_bench(Path(folder))
        return repeat("pictures", lambda random: _try_picture(bench, random), numbers, seed)


def _try_annotations(bench: Bench, random: np.random.Generator) -> str:
    formats = sorted(bench.contents)
    format = formats[random.integers(len(formats))]
    content = mutate_file(bench.contents[format], random)
    (bench.folder / "data.json").write_bytes(content)
    bad = ("stop", "skip")[random.integers(2)]
    recipe = _recipe(bench, format, bench.pictures, on_bad_record=bad)
    ending, num_records = _blend(bench, recipe)
    known = _num_records(format, content)
    if num_records is not None and known is not None:
        expect(num_records == known, f"{format}: the file has {known} records, the ledger {num_records}")
    return ending


def _try_picture(bench: Bench, random: np.random.Generator) -> str:
    kind = list(_KINDS)[random.integers(len(_KINDS))]
    name, check = f"mutated.{_KINDS[kind]}", ("header", "auto", "decode")[random.integers(3)]
    folder = bench.folder / "mutated"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(mutate_bytes(_picture(kind, random), random, int(random.integers(1, 4))))
    shutil.copy(bench.pictures / corpora.coco_name(0), folder / corpora.coco_name(0))
    records = [corpora.llava(0), {**corpora.llava(1), "image": name}]
    (bench.folder / "data.json").write_text(json.dumps(records))
    ending, num_records = _blend(bench, _recipe(bench, "llava", folder, pixels={"check": check}))
    expect(num_records in (None, 2), f"two records were read, the ledger has {num_records}")
    decodable = _decodes((folder / name).read_bytes())
    shutil.rmtree(folder)
    kept = ending == "blended, nothing dropped"
    if kept and not decodable:
        expect(check != "decode", f"a {kind} that cannot be decoded passes the check `decode`")
        return f"damaged, but passed `{check}`"
    return ending


def _recipe(bench: Bench, format: str, pictures: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "mutated",
        "images": {"pictures": str(pictures)},
        "sources": {"mutated": {"format": format, "files": str(bench.folder / "data.json"), "images": "pictures"}},
        "blend": [{"name": "mutated", "from": "mutated", "concatenate": [1, 2]}],
        "split": {"eval": 0},
        "limits": {"dropped": "100%"},
        **more,
    }


def _blend(bench: Bench, recipe: dict[str, Any]) -> tuple[str, int | None]:
    """Blend and verify; return how it ended, and the number of records in the ledger."""
    path, out = bench.folder / "recipe.yaml", bench.folder / "out"
    path.write_text(json.dumps(recipe))
    try:
        with _deadline(_SECONDS):
            write_blend(load_recipe(path), out, workers=1)
            problems = [problem for verdict in verify_blend(out, workers=1) for problem in verdict.problems]
            expect(not problems, f"verify finds: {problems[:1]}")
            ledger = open_blend(out).ledger
    except BlenderError as error:
        # one sentence, but for tables of what is lost
        expect("\n" not in error.message.strip() or "faults" in error.message or "record" in error.message, error)
        return f"refused ({type(error).__name__})", None
    except CheckFailed:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CheckFailed("".join(traceback.format_exception(error)[-3:]).strip()) from error
    finally:
        shutil.rmtree(out, ignore_errors=True)
    num_dropped = ledger["reason"].is_not_null().sum()
    return "blended, some dropped" if num_dropped else "blended, nothing dropped", ledger.height


@contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class _Pairs(list[tuple[str, Any]]):
    """An object, of whose keys one may come twice."""


def _num_records(format: str, content: bytes) -> int | None:
    """Count the records of a file that JSON can read; None where what a record is cannot be told from outside."""
    try:
        top = json.loads(content, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    if format in ("llava", "sparkles", "aokvqa"):
        return len(top) if isinstance(top, list) and not isinstance(top, _Pairs) else None
    if format == "mimicit":
        data = dict(top).get("data") if isinstance(top, _Pairs) else None
        return len(data) if isinstance(data, _Pairs) else None
    return len(top) if format == "ocr_vqa" and isinstance(top, _Pairs) else None


_OPTIONS: dict[str, tuple[Callable[[np.random.Generator], dict[str, Any]], ...]] = {
    "JPEG": (lambda random: {"quality": int(random.integers(20, 98)), "progressive": bool(random.integers(2))},),
    "TIFF": (lambda random: {"compression": ("raw", "tiff_lzw", "jpeg")[random.integers(3)]},),
    "WEBP": (lambda random: {"lossless": bool(random.integers(2))},),
}


def _picture(kind: str, random: np.random.Generator) -> bytes:
    small = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image, file = Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC), BytesIO()
    options = {key: value for make in _OPTIONS.get(kind, ()) for key, value in make(random).items()}
    image.save(file, kind, **options)
    return file.getvalue()


def _decodes(content: bytes) -> bool:
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
    except Exception:
        return False
    return True
