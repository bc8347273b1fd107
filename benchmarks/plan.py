"""How long planning takes, and how much memory, on annotation files of the published sizes and ten times those.

Beside it, in the same rounds, typed parsing of the same files by msgspec alone: no plan can take less processor time.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks import report
from benchmarks.measure import Measured, measure
from benchmarks.published import write_published

ROOT = Path(__file__).parents[1]
RECIPES = ("deepspeed-visualchat-nine", "deepspeed-visualchat")
_PACKAGES = ("msgspec", "polars", "pyarrow", "numpy")


def run(rounds: int = 3, times: Sequence[float] = (1, 10)) -> str:
    """Measure and return the results as Markdown.

    Args:
        rounds: How often each is measured; the median counts.
        times: Multiples of the published sizes.
    """
    rows: list[list[object]] = []
    for factor in times:
        with tempfile.TemporaryDirectory(prefix="published-") as folder:
            write_published(Path(folder), factor)
            rows += _measure_all(Path(folder), factor, rounds if factor <= 1 else 1)
    head = ["what", "size", "seconds", "processor seconds", "ratio to parsing", "MB, all processes", "MB, largest"]
    text = "Target at the published size, on 2 cores: under 5 s and 1 GB, reading included.\n\n"
    told = report.circumstances(_PACKAGES, "python -m benchmarks plan")
    return f"{told}\n\n{text}{report.table(head, rows)}\n\n{_growth(rows)}"


def _measure_all(folder: Path, factor: float, rounds: int) -> list[list[object]]:
    commands: dict[str, list[str | Path]] = {
        "typed parsing alone": [sys.executable, "-m", "benchmarks.parsing", folder]
    }
    for recipe in RECIPES:
        options = ["--no-images", "--json", "--set", f"data={folder}"]
        commands[f"plan {recipe}"] = [sys.executable, ROOT / "cli.py", "plan", recipe, *options]
    taken: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            taken[name].append(measure(command, ROOT))
    floor = median(float(one.output) for one in taken["typed parsing alone"])
    return [_row(name, factor, all_of_it, floor) for name, all_of_it in taken.items()]


def _row(name: str, factor: float, taken: list[Measured], floor: float) -> list[object]:
    processor = median(one.processor_seconds for one in taken)
    return [
        name,
        f"× {factor:g}",
        f"{median(one.seconds for one in taken):.1f}",
        f"{processor:.1f}",
        f"{processor / floor:.1f}",
        f"{max(one.peak_bytes for one in taken) / 1e6:,.0f}",
        f"{max(one.peak_bytes_of_one for one in taken) / 1e6:,.0f}",
    ]


def _growth(rows: list[list[object]]) -> str:
    """Say how processor time grew from the smallest size to the largest."""
    said = []
    for recipe in RECIPES:
        own = [row for row in rows if row[0] == f"plan {recipe}"]
        if len(own) > 1:
            grown = float(str(own[-1][3])) / float(str(own[0][3]))
            said.append(f"- plan {recipe}: {own[-1][1]} the records take {grown:.1f} times the processor time")
    return "\n".join(said)
