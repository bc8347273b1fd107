"""The blends that are broken: small, of every kind of source, in many shards."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import corpora

ROOT = Path(__file__).parents[2]
#: of the program as its user starts it
PROGRAM = (sys.executable, str(ROOT / "cli.py"))


def write_recipe(folder: Path, num_images: int = 120, samples_per_shard: int = 3) -> Path:
    """Write a corpus and its recipe; return the recipe's path."""

    def change(recipe: dict[str, Any]) -> None:
        recipe["shards"].update(max_samples=samples_per_shard)

    corpora.write_corpus(folder, num_images=num_images)
    return Path(corpora.write_recipe(folder, change))


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a blend by its path; what is local to a machine is left out."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in named if not name.startswith(".")}


def run(*arguments: object, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
    """Run the program to its end.

    Raises:
        subprocess.TimeoutExpired: It does not end.
    """
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT, check=False)


def complaint(stderr: str) -> str | None:
    """Return a traceback's last line, if there is a traceback."""
    return stderr.strip().splitlines()[-1] if "Traceback (most recent call last)" in stderr else None
