"""The floor under planning: typed msgspec parsing of all annotation files, in one process, and nothing else.

Run as a program of its own, with the data root as its argument; prints the seconds of processor time it took.
"""

import sys
from pathlib import Path
from time import process_time

import msgspec
from msgspec import Struct, field


class _Message(Struct, gc=False):
    role: str = field(name="from")
    value: str


class _Llava(Struct, gc=False):
    conversations: list[_Message]
    image: str
    id: str


class _Instruction(Struct, gc=False):
    instruction: str
    answer: str
    image_ids: tuple[str, ...]
    rel_ins_ids: tuple[str, ...]


class _Mimicit(Struct):
    data: dict[str, _Instruction]


class _Image(Struct, gc=False):
    image_id: int


class _Said(Struct, gc=False):
    role: str
    content: str
    images: list[_Image] = []


class _Sparkles(Struct, gc=False):
    dialogue: list[_Said]


SHAPES: dict[str, type] = {
    "llava/*.json": list[_Llava],
    "MIMIC-IT/*_instructions.json": _Mimicit,
    "Sparkles*/annotations/*.json": list[_Sparkles],
}


def parse_all(folder: Path) -> float:
    """Parse every annotation file below a data root; return the seconds of processor time."""
    begin = process_time()
    for pattern, shape in SHAPES.items():
        for path in sorted(folder.glob(pattern)):
            msgspec.json.decode(path.read_bytes(), type=shape)
    return process_time() - begin


if __name__ == "__main__":
    print(parse_all(Path(sys.argv[1])))
