"""How fast a blend is streamed, beside other people's streams over the same images and texts.

Everything is measured in turn, several times, over the same warm files: raw bytes, train-ready batches with the same
functions for all (:mod:`benchmarks.ready`), the first batch, and opening ten million samples.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec

from benchmarks import ready, report, starting
from benchmarks.images import write_images, write_recipe
from blender import load_recipe, open_blend, write_blend
from blender.shards.energon import write_energon
from blender.shards.reader import Blend

IN_OTHER_PYTHON = ("mosaicml", "litdata")
PEERS = ("webdataset", "energon", *IN_OTHER_PYTHON)
_OURS = "visualchat"
_NUM_PIXELS = 24


@dataclass
class Contest:
    """Contestants in their processes, and what they reached."""

    root: Path
    site: str | None
    processes: "dict[str, subprocess.Popen[str]]" = field(default_factory=dict)
    #: by kind of run, by contestant: samples a second in each round, and milliseconds of processor time for one
    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    costs: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def measure(self, kind: str, label: str, name: str, command: str) -> None:
        """Have a contestant run once more; those that cannot are told and left out."""
        process = self._process(name)
        assert process.stdin and process.stdout
        try:
            print(command, file=process.stdin, flush=True)
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            for kept, value in zip((self.rates, self.costs), json.loads(answer), strict=True):
                kept.setdefault(kind, {}).setdefault(label, []).append(value)
        else:
            print(f"{name} cannot run `{command}`, left out", file=sys.stderr)

    def close(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            process.communicate()

    def _process(self, name: str) -> "subprocess.Popen[str]":
        if name not in self.processes:
            command = [sys.executable, "-m", "benchmarks.contestants", name, str(self.root)]
            command += [self.site] if self.site and name in IN_OTHER_PYTHON else []
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        return self.processes[name]


def run(num_images: int = 3_000, rounds: int = 3, peers_python: str | None = None) -> str:
    """Measure, and return Markdown."""
    with tempfile.TemporaryDirectory(prefix="visualchat-bench-") as folder:
        root = Path(folder)
        blend = _prepare(root, num_images)
        errors = ready.pixel_errors([stored.images[0] for stored in islice(blend, _NUM_PIXELS)])
        peers = [peer for peer in PEERS if peer not in IN_OTHER_PYTHON or _write_peer(root, peer, peers_python)]
        contest = Contest(root, _site(peers_python))
        for _ in range(rounds):
            _round(contest, peers)
        contest.close()
        first = starting.first_batches(root, rounds)
        large = starting.ten_million(root)
    return "\n\n".join([*_tables(contest, errors), first, large])


def _prepare(root: Path, num_images: int) -> Blend:
    write_images(root / "images", num_images)
    write_blend(load_recipe(write_recipe(root, num_images)), root / "blend", workers=2)
    blend = open_blend(root / "blend")
    write_energon(blend)
    pairs = []
    for stored in blend:
        text = msgspec.json.encode(stored.sample).decode()
        pairs.append((text, str(root / "images" / stored.sample.images[0].name)))
    (root / "pairs.json").write_text(json.dumps(pairs))
    ready.save(root, [text for text, _ in pairs[:500]])
    return blend


def _write_peer(root: Path, peer: str, python: str | None) -> bool:
    """Have a peer write its own format of the same samples; tell whether it could."""
    if python is None:
        return False
    script = Path(__file__).with_name("peers.py")
    command = [python, str(script), f"{peer}-pairs", str(root / "pairs.json"), str(root / "images"), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{peer} cannot write, left out:\n{done.stderr[-600:]}", file=sys.stderr)
    return done.returncode == 0


def _site(python: str | None) -> str | None:
    """Return where another Python's packages lie: all contestants run in this one, with the same torch and Pillow."""
    if python is None:
        return None
    told = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


def _round(contest: Contest, peers: Sequence[str]) -> None:
    for name in (_OURS, *peers, "tarfile"):
        contest.measure("raw", name, name, "raw 0")
    for name in (_OURS, *peers):
        contest.measure("raw, 2 workers", name, name, "raw 2")
    for mode in ("pillow", "own", "draft"):
        contest.measure("ready", f"bare loop, {mode}", "bare", f"ready {mode}")
    for mode in ("own", "draft"):
        contest.measure("ready", f"{_OURS}, {mode}", _OURS, f"ready {mode}")
    for name in peers:
        for mode in ("own", "pillow"):
            contest.measure("ready", f"{name}, {mode}", name, f"ready {mode}")


def _tables(contest: Contest, errors: dict[str, float]) -> Iterator[str]:
    yield "Raw samples a second, the bytes in order (ms: processor time of a sample, all processes):"
    inside, outside, costs = contest.rates["raw"], contest.rates["raw, 2 workers"], contest.costs
    beside, best = "litdata" if "litdata" in inside else "tarfile", _best(outside)
    rows = [
        [name, _median(each), _ratio(each, inside[beside]), _milliseconds(costs["raw"][name])]
        + (
            [_median(outside[name]), _ratio(outside[name], outside[best]), _milliseconds(costs["raw, 2 workers"][name])]
            if name in outside
            else [""] * 3
        )
        for name, each in inside.items()
    ]
    yield report.table(["", "in-process", f"/ {beside}", "ms", "2 workers", f"/ {best}", "ms"], rows)
    yield (
        "Train-ready samples a second, 2 workers: decode, 224 px, tokenise, mask, collate; the same functions for all. "
        f"Mean distance from the Hugging Face processor's pixels, in steps of 1/255: {errors['own']:.3f} (own), "
        f"{errors['pillow']:.3f} (pillow), {errors['draft']:.1f} (draft)."
    )
    made = contest.rates["ready"]
    others = ["bare loop, pillow", "bare loop, own", _best(made)]
    rows = [
        [name, _median(each), *(_ratio(each, made[other]) for other in others), _milliseconds(costs["ready"][name])]
        for name, each in made.items()
    ]
    yield report.table(["", "a second", *(f"/ {other}" for other in others), "ms"], rows)


def _best(rates: dict[str, list[float]]) -> str:
    """Return the fastest peer."""
    theirs = [name for name in rates if name.startswith(PEERS)]
    return max(theirs, key=lambda name: statistics.median(rates[name]))


def _milliseconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}"


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f}"


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    ratios = [own / other for own, other in zip(ours, theirs, strict=False)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
