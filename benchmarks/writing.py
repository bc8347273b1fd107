"""How fast shards are written, against ``tar cf`` over the same files and against other people's writers.

All run in turn, several times, over the same warm files; what is told is the median of each and of its ratio to tar.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.images import write_images, write_recipe
from blender import load_recipe, write_blend
from blender.shards.blend import WriteProgress

PEERS = ("webdataset", "mosaicml", "litdata", "datasets")


def run(num_images: int = 12_000, rounds: int = 5, peers_python: str | None = None) -> list[str]:
    """Measure, and return the lines of a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="visualchat-bench-") as folder:
        root = Path(folder)
        num_bytes = write_images(root / "images", num_images)
        recipe = write_recipe(root, num_images)
        contestants = _contestants(root, recipe, peers_python)
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(rounds + 1):
            for name, contestant in list(contestants.items()):
                taken = contestant(root / "out")
                shutil.rmtree(root / "out", ignore_errors=True)
                if taken is None:
                    print(f"{name} cannot write, left out", file=sys.stderr)
                    del contestants[name], seconds[name]
                elif turn:  # the first turn warms the page cache
                    seconds[name].append(taken)
    return _table(seconds, num_bytes, num_images)


def _contestants(root: Path, recipe: Path, peers_python: str | None) -> dict[str, Callable[[Path], float | None]]:
    made: dict[str, Callable[[Path], float | None]] = {
        "tar cf": lambda out: _tar(root / "images", out),
        "visualchat, writing": lambda out: _ours(recipe, out, whole=False),
        "visualchat, whole command": lambda out: _ours(recipe, out, whole=True),
    }
    for peer in PEERS if peers_python else ():
        made[peer] = lambda out, peer=peer: _peer(str(peers_python), peer, root, out)  # type: ignore[misc]
    return made


def _tar(images: Path, out: Path) -> float:
    out.mkdir()
    begun = time.perf_counter()
    subprocess.run(["tar", "cf", out / "all.tar", "-C", images, "."], check=True)
    return time.perf_counter() - begun


def _ours(recipe: Path, out: Path, *, whole: bool) -> float:
    planned: list[float] = []
    progress = WriteProgress(on_plan=lambda *_: planned.append(time.perf_counter()))
    begun = time.perf_counter()
    if whole:
        command = [sys.executable, "cli.py", "blend", str(recipe), "--out", str(out), "--workers", "2", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun
    write_blend(load_recipe(recipe), out, workers=2, progress=progress)
    return time.perf_counter() - planned[0]


def _peer(python: str, peer: str, root: Path, out: Path) -> float | None:
    script = Path(__file__).with_name("peers.py")
    command = [python, str(script), peer, str(root / "records.json"), str(root / "images"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        # not installed, or its own dependencies do not fit together
        print(done.stderr[-600:], file=sys.stderr)
        return None
    return float(done.stdout.split()[-1])


def _table(seconds: dict[str, list[float]], num_bytes: int, num_images: int) -> list[str]:
    lines = [
        f"{num_images:,} JPEGs, {num_bytes / 1e6:,.0f} MB",
        "",
        "| writer | MB/s | rate / tar's |",
        "|---|---:|---:|",
    ]
    for name, taken in seconds.items():
        ratios = [tar / own for tar, own in zip(seconds["tar cf"], taken, strict=True)]
        rate = num_bytes / 1e6 / statistics.median(taken)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        lines.append(f"| {name} | {rate:,.0f} | {spread} |")
    return lines
