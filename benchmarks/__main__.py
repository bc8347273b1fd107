"""``python -m benchmarks [NAME ...]``: measure, print Markdown tables; ``--keep`` puts them into RESULTS.md."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import memory, plan, report, streaming, writing
from blender.demo import draw_corpus

_DRAWN = 1_500
_PACKAGES = ("polars", "pyarrow", "msgspec", "numpy", "pillow")
_DECODED = ("pillow", "simplejpeg", "numpy")
_STREAMED = ("torch", "pillow", "tokenizers", "webdataset", "megatron-energon", "datasets")


def _plan(options: argparse.Namespace) -> str:
    return plan.run(options.rounds, (1, 10) if options.large else (1,))


def _write(options: argparse.Namespace) -> str:
    told = report.circumstances(_PACKAGES, "python -m benchmarks write --peers-python PYTHON")
    rates = "\n".join(writing.run(rounds=options.rounds, peers_python=options.peers_python))
    return f"{told}\n\n{rates}\n\nPeak resident memory of `visualchat blend --workers 2`:\n\n{memory.run()}"


def _demo(options: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory(prefix="drawn-") as folder:
        begun = time.perf_counter()
        draw_corpus(Path(folder) / "corpus", num_images=_DRAWN, workers=2)
        rate = _DRAWN / (time.perf_counter() - begun)
    told = report.circumstances(_PACKAGES, "python -m benchmarks demo")
    return (
        f"{told}\n\nTarget: 300 images/s on 2 cores, texts included.\n\n{_DRAWN:,} images drawn, {rate:.0f} a second."
    )


def _stream(options: argparse.Namespace) -> str:
    told = report.circumstances(
        _STREAMED, f"python -m benchmarks stream --peers-python PYTHON --rounds {options.rounds}"
    )
    return f"{told}\n\n{streaming.run(rounds=options.rounds, peers_python=options.peers_python)}"


def _attention(options: argparse.Namespace) -> str:
    from benchmarks import attention

    return attention.run(options.rounds, small=True)


def _step(options: argparse.Namespace) -> str:
    from benchmarks import step

    return step.run(options.rounds)


def _chat(options: argparse.Namespace) -> str:
    from benchmarks import chat

    return chat.run(options.rounds)


def _inspection(options: argparse.Namespace) -> str:
    from benchmarks import inspection

    return inspection.run()


def _split(options: argparse.Namespace) -> str:
    from benchmarks import splitting

    return splitting.run()


def _pinned(options: argparse.Namespace) -> str:
    from benchmarks import pinned

    return pinned.run(Path(options.data) if options.data else None)


def _damage(options: argparse.Namespace) -> str:
    from benchmarks import damage

    told = report.circumstances(_DECODED, f"python -m benchmarks damage --rounds {options.rounds} --pictures FOLDER")
    return f"{told}\n\n{damage.run(options.rounds, options.mutants, options.pictures)}"


BENCHMARKS: dict[str, Callable[[argparse.Namespace], str]] = {
    "plan": _plan,
    "write": _write,
    "demo": _demo,
    "stream": _stream,
    "attention": _attention,
    "step": _step,
    "chat": _chat,
    "inspection": _inspection,
    "split": _split,
    "pinned": _pinned,
    "damage": _damage,
}


def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="measure each so many times, in turn")
    parser.add_argument("--small", dest="large", action="store_false", help="leave out ten times the published size")
    parser.add_argument("--peers-python", help="a Python in whose environment other people's packages are installed")
    parser.add_argument("--data", help="a folder of the published layout, for what is measured on texts")
    parser.add_argument("--pictures", type=Path, help="a folder of real JPEGs, to be damaged beside drawn ones")
    parser.add_argument("--mutants", type=int, default=1_500, help="damage so many pictures of each format")
    parser.add_argument("--keep", action="store_true", help="put the results into benchmarks/RESULTS.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    for name in options.names or BENCHMARKS:
        text = BENCHMARKS[name](options)
        print(f"## {name}\n\n{text}\n")
        if options.keep:
            report.keep(name, text)


if __name__ == "__main__":
    main()
