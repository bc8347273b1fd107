"""Whether writing takes more memory when there are more samples: the same images once, and four times over."""

import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.images import write_images, write_recipe
from benchmarks.measure import measure

_ROOT = Path(__file__).parents[1]


def run(num_images: int = 3_000, times: tuple[int, ...] = (1, 4)) -> str:
    """Measure and return a Markdown table.

    Args:
        num_images: Samples at the smallest size.
        times: How often each image is written.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="visualchat-bench-") as folder:
        root = Path(folder)
        write_images(root / "images", num_images)
        recipe = write_recipe(root, num_images)
        for repeat in times:
            options: list[str | Path] = [
                "--workers",
                "2",
                "--json",
                "--set",
                f"blend.0.repeat={repeat}",
                "--out",
                root / f"out-{repeat}",
            ]
            command: list[str | Path] = [sys.executable, "cli.py", "blend", recipe, *options]
            taken = measure(command, _ROOT)
            sizes = (f"{size / 1e6:,.0f}" for size in (taken.peak_bytes, taken.peak_bytes_of_one))
            rows.append([f"{num_images * repeat:,}", *sizes])
    return report.table(["samples", "MB, all processes", "MB, largest"], rows)
