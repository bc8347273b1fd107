"""How long a report takes to make and to open, and how a page over a large blend answers.

The blends are synthetic: samples as long as the published ones, in real shards with real JPEGs. The report's pictures
are photographs' size and drawn with noise, which compresses worse than photographs do; the large blend's are small.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import polars as pl
from PIL import Image, ImageFilter

from benchmarks import report
from benchmarks.measure import measure
from benchmarks.published import write_published
from blender.data.sample import ImageRef, Sample, Turn
from blender.data.template import TEMPLATES
from blender.shards import tar
from blender.shards.index import SCHEMA
from blender.shards.manifest import Manifest, ManifestCount, ManifestShard, encode_manifest

ROOT = Path(__file__).parents[1]
_PER_SHARD = 1_000
_PACKAGES = ("polars", "pyarrow", "pillow", "vl-convert-python", "playwright")
_DATASETS = ("llava", "llava_dial", "otter_mimicit_cgd", "llava_otter_blend", "sparkles_dialogue")


def write_synthetic(folder: Path, num_samples: int, size: tuple[int, int], num_images: int) -> None:
    """Write a blend of made-up samples.

    Args:
        folder: A new folder.
        num_samples: How many.
        size: Of the images.
        num_images: Distinct images.
    """
    random = np.random.default_rng(0)
    pictures = [_picture(random, size) for _ in range(min(num_images, 64))]
    words = ["".join(random.choice(list("abcdefghijklmnop"), random.integers(2, 10))) for _ in range(6_000)]
    (folder / "train").mkdir(parents=True)
    frames, shards = [], []
    for number, first in enumerate(range(0, num_samples, _PER_SHARD)):
        path = folder / "train" / f"train-{number:06d}.tar"
        last = min(first + _PER_SHARD, num_samples)
        rows = list(_write_shard(path, first, last, random, words, pictures, num_images, size))
        frames.append(pl.DataFrame(rows, schema=SCHEMA))
        shards.append(ManifestShard(f"train/{path.name}", "train", last - first, 0, path.stat().st_size, "0" * 64))
    index = pl.concat(frames)
    index.write_parquet(folder / "train" / "index.parquet")
    ledger = pl.DataFrame(
        {
            "source": "made_up",
            "num_samples": pl.Series([1] * num_samples, dtype=pl.UInt32),
            "emitted": [[{"dataset": name, "split": "train", "samples": 1}] for name in index["dataset"]],
            "reason": pl.Series([None] * num_samples, dtype=pl.String),
        }
    )
    ledger.write_parquet(folder / "ledger.parquet")
    (folder / "manifest.json").write_bytes(encode_manifest(_manifest(index, shards)))


def _picture(random: np.random.Generator, size: tuple[int, int]) -> bytes:
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), np.uint8))
    mixed = Image.blend(coarse, grain.filter(ImageFilter.GaussianBlur(1)), 0.3)
    buffer = io.BytesIO()
    mixed.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _write_shard(
    path: Path,
    first: int,
    last: int,
    random: np.random.Generator,
    words: list[str],
    pictures: list[bytes],
    num_images: int,
    size: tuple[int, int],
) -> Iterator[dict[str, object]]:
    position = 0
    with path.open("wb") as file:
        for number in range(first, last):
            shown = random.integers(0, num_images, random.integers(1, 4)).tolist()
            sample = _sample(number, shown, random, words, size)
            members = [(f"{sample.key}.json", msgspec.json.encode(sample))]
            members += [
                (f"{sample.key}.image{place}.jpg", pictures[image % len(pictures)])
                for place, image in enumerate(shown, 1)
            ]
            start, places = position, []
            for name, content in members:
                places.append({"name": name, "offset": position + tar.BLOCK, "size": len(content)})
                block = tar.header(name, len(content)) + content + tar.padding(len(content))
                position += file.write(block)
            yield {
                "key": sample.key,
                "shard": path.name,
                "dataset": sample.dataset,
                "offset": start,
                "size": position - start,
                "members": places,
                "num_images": len(shown),
                "num_turns": len(sample.turns),
                "num_sources": 1,
                "question_characters": sum(len(turn.question) for turn in sample.turns),
                "answer_characters": sum(len(turn.answer) for turn in sample.turns),
            }
        file.write(tar.END)


def _sample(
    number: int, shown: list[int], random: np.random.Generator, words: list[str], size: tuple[int, int]
) -> Sample:
    def text(length: int) -> str:
        return " ".join(words[place] for place in random.integers(0, len(words), length))

    images = [ImageRef("coco", f"{image:012d}.jpg", *size) for image in shown]
    turns = [
        Turn(list(range(1, len(shown) + 1)) if place == 0 else [], text(12), text(60), 0)
        for place in range(int(random.integers(1, 5)))
    ]
    template = TEMPLATES["deepspeed-visualchat"]
    spans = template.render(turns)
    dataset = _DATASETS[number % len(_DATASETS)]
    return Sample(f"train-{number:09d}", dataset, [f"made_up/a.json/{number}"], images, turns, template.name, spans)


def _manifest(index: pl.DataFrame, shards: list[ManifestShard]) -> Manifest:
    counts = [ManifestCount(name, "train", index["dataset"].eq(name).sum(), 0, 0, 0, 0) for name in _DATASETS]
    recipe = {"name": "synthetic", "blend": [{"name": name} for name in _DATASETS], "limits": {"image_tokens": 256}}
    ledger = {
        "read": index.height,
        "emitted": index.height,
        "dropped": {},
        "uses": index.height,
        "references_rewritten": 0,
    }
    return Manifest("synthetic", 1, "0", "deepspeed-visualchat", recipe, "0", "0", [], counts, shards, ledger, [])


def measure_report(folder: Path) -> list[list[object]]:
    """Make a report of 2,000 samples with 640 × 480 images, and open it in a headless browser."""
    blend, page = folder / "photographs", folder / "report.html"
    write_synthetic(blend, 2_000, (640, 480), 4_000)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    taken = measure([sys.executable, ROOT / "cli.py", "inspect", blend, "--html", page], ROOT)
    rows: list[list[object]] = [
        ["report of 2,000 samples: made", f"{taken.seconds:.1f} s", "20 s"],
        ["processor time of that", f"{taken.processor_seconds:.1f} s", ""],
        ["its size", f"{page.stat().st_size / 1e6:.1f} MB", "60 MB"],
        ["opened in headless Chromium", f"{_open(page.as_uri()):.2f} s", "3 s"],
    ]
    return rows


def _open(address: str) -> float:
    """Return the seconds until a page shows its samples, drawn; the browser runs already."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page()
        begun = time.perf_counter()
        page.goto(f"{address}#samples")
        page.wait_for_selector("article img")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seconds = time.perf_counter() - begun
        browser.close()
    return seconds


def measure_serving(folder: Path, num_samples: int) -> list[list[object]]:
    """Serve a large blend with small pictures, and ask it for pages and searches."""
    blend = folder / "large"
    write_synthetic(blend, num_samples, (64, 48), 2 * num_samples)
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, ROOT / "cli.py", "inspect", blend, "--serve", "--port", "0", "--workers", "2"]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout
        url = process.stdout.readline().split(": ")[1].split()[0]
        _get(url)
        start = time.perf_counter() - begun
        while _status(f"{url}api/samples?q=nothing") == 503:
            time.sleep(0.2)
        gathered = time.perf_counter() - begun
        pages = [
            _seconds(f"{url}api/samples?page={number}") for number in range(0, num_samples // 50, num_samples // 500)
        ]
        searches = [_seconds(f"{url}api/samples?q={word}") for word in ("abc", "dog", "no+such+thing", "000000012345")]
        _get(f"{url}api/overview")
        thumbs = [
            _seconds(f"{url}image/train-{number:09d}/1?thumb") for number in range(0, num_samples, num_samples // 50)
        ]
        memory = _peak(process.pid)
        process.terminate()
    size = f"{num_samples:,} samples"
    return [
        [f"page over {size}: first answer", f"{start:.2f} s", "2 s"],
        ["a page of 50, median of 10", f"{median(pages) * 1e3:.0f} ms", "300 ms"],
        ["a page of 50, slowest of them", f"{max(pages) * 1e3:.0f} ms", "300 ms"],
        ["a text search with its first page, slowest of 4", f"{max(searches) * 1e3:.0f} ms", "1,000 ms"],
        ["a picture, median of 50", f"{median(thumbs) * 1e3:.0f} ms", ""],
        ["texts read for searching, once per blend", f"{gathered:.0f} s", ""],
        ["memory of the server, at most", f"{memory / 1e6:.0f} MB", "500 MB"],
    ]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        content: bytes = answer.read()
    return content


def _status(url: str) -> int:
    try:
        json.loads(_get(url))
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def _seconds(url: str) -> float:
    begun = time.perf_counter()
    _get(url)
    return time.perf_counter() - begun


def _peak(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1_000 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def measure_preview(folder: Path) -> list[list[object]]:
    """Preview the paper's full recipe, on annotation files of the published sizes and without images."""
    data = folder / "published"
    write_published(data)
    recipe = "deepspeed-visualchat-nine"
    taken = measure([sys.executable, ROOT / "cli.py", "preview", recipe, "--set", f"data={data}"], ROOT)
    return [["preview of the paper's full recipe", f"{taken.seconds:.1f} s", "15 s"]]


def run(num_samples: int = 200_000) -> str:
    """Measure everything and return the results as Markdown."""
    with tempfile.TemporaryDirectory(prefix="inspection-") as name:
        folder = Path(name)
        rows = [*measure_report(folder), *measure_serving(folder, num_samples), *measure_preview(folder)]
    told = report.circumstances(_PACKAGES, "python -m benchmarks.inspection")
    return f"{told}\n\n{report.table(['what', 'measured', 'target'], rows)}"


def main() -> None:
    """Measure, print and, with ``--keep``, keep the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspection", description=__doc__)
    parser.add_argument("--samples", type=int, default=200_000, help="samples of the large blend")
    parser.add_argument("--keep", action="store_true", help="put the results into benchmarks/RESULTS.md")
    options = parser.parse_args()
    text = run(options.samples)
    print(text)
    if options.keep:
        report.keep("inspection", text)


if __name__ == "__main__":
    main()
