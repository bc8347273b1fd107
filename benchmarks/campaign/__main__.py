"""``python -m benchmarks.campaign [PART ...]``: run parts of the campaign and print a table of tries and failures."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks import report
from benchmarks.campaign.outcome import Outcome

_PACKAGES = ("polars", "msgspec", "pillow", "torch", "deepspeed")


@dataclass(frozen=True)
class Part:
    """A part of the campaign."""

    #: called with the numbers of the tries, and the seed
    run: Callable[[Iterable[int], int], Outcome]
    #: of the whole campaign
    num_tries: int


def _parts() -> dict[str, Part]:
    # heavy imports stay here: `--help` answers at once
    from benchmarks.campaign.clients import annoy
    from benchmarks.campaign.kills import kill_blends
    from benchmarks.campaign.mutations import mutate_annotations, mutate_pictures
    from benchmarks.campaign.remote import stream_remotely
    from benchmarks.campaign.streams import cut_streams
    from benchmarks.campaign.training import kill_training

    return {
        "kills": Part(kill_blends, 1_000),
        "annotations": Part(mutate_annotations, 10_000),
        "pictures": Part(mutate_pictures, 10_000),
        "streams": Part(cut_streams, 200),
        "remote": Part(stream_remotely, 300),
        "training": Part(kill_training, 50),
        "clients": Part(annoy, 200),
    }


def main() -> None:
    """Run the parts named on the command line, or all; exit with 1 when a try failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="kills, annotations, pictures, streams, remote, …; all"
    )
    parser.add_argument("--tries", type=int, help="so many tries of each part, in place of the whole campaign's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="repeat one try")
    parser.add_argument("--keep", action="store_true", help="put the table into benchmarks/RESULTS.md")
    options = parser.parse_args()
    # the tries are many and small: threads of libraries would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parts = _parts()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    outcomes = []
    for name in options.parts or parts:
        numbers = range(options.tries or parts[name].num_tries) if options.only is None else [options.only]
        outcomes.append(parts[name].run(numbers, options.seed))
        print(report.table(_HEAD, [outcomes[-1].row()]), *outcomes[-1].complaints(), sep="\n", flush=True)
    text = _text(outcomes, options)
    if options.keep:
        report.keep("campaign", text)
    sys.exit(any(outcome.failures for outcome in outcomes))


_HEAD = ("part", "how tries ended", "tries", "failures", "seconds")


def _text(outcomes: list[Outcome], options: argparse.Namespace) -> str:
    told = report.circumstances(_PACKAGES, f"python -m benchmarks.campaign --seed {options.seed}")
    return f"{told}\n\n{report.table(_HEAD, [outcome.row() for outcome in outcomes])}"


if __name__ == "__main__":
    main()
