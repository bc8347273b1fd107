"""Random changes to annotation files and pictures: of their structure where they have one, and of their bytes."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np

#: values of every JSON type, and texts that have given readers trouble
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    12,
    1e308,
    2**70,
    "",
    " ",
    "\u200b\ufeff",
    "\x00",
    "<image>",
    "<image>\n<image>",
    "IMAGE#12",
    "../../etc/passwd",
    "C:\\a.jpg",
    "a" * 5_000,
    "\u202e\x1b[31m",
    "\N{PILE OF POO}" * 3,
    [],
    [None],
    [[]],
    {},
    {"from": "human"},
    {"images": ["a.jpg"]},
)
_KEYS = ("image", "images", "video", "value", "from", "id", "conversations", "image_ids", "content", "role", "extra")

Bytes = Callable[[bytes, np.random.Generator], bytes]


def mutate_json(content: Any, random: np.random.Generator, num_changes: int) -> Any:
    """Return a copy of plain data with some nodes replaced, removed, renamed, repeated or swapped."""
    changed = copy.deepcopy(content)
    for _ in range(num_changes):
        holders = [holder for holder in _holders(changed) if len(holder)]
        if not holders:
            break
        _change(holders[random.integers(len(holders))], random)
    return changed


def _holders(content: Any) -> list[Any]:
    """List all lists and objects below a value, itself included."""
    holders = [content] if isinstance(content, (list, dict)) else []
    for holder in holders:
        children = holder.values() if isinstance(holder, dict) else holder
        holders += [child for child in children if isinstance(child, (list, dict))]
    return holders


def _change(holder: Any, random: np.random.Generator) -> None:
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key, strange = keys[random.integers(len(keys))], copy.deepcopy(STRANGE[random.integers(len(STRANGE))])
    kind = random.integers(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[_KEYS[random.integers(len(_KEYS))]] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[random.integers(len(holder))]))
    elif kind == 3 and isinstance(holder, dict):
        holder[_KEYS[random.integers(len(_KEYS))]] = strange
    else:
        holder[key] = strange


def mutate_bytes(content: bytes, random: np.random.Generator, num_changes: int) -> bytes:
    """Return bytes with some of them changed, cut out, put in, set to one value, or repeated."""
    for _ in range(num_changes):
        content = _BYTE_CHANGES[random.integers(len(_BYTE_CHANGES))](content, random)
    return content


def _range(content: bytes, random: np.random.Generator, longest: int = 64) -> tuple[int, int]:
    start = int(random.integers(max(1, len(content))))
    return start, min(len(content), start + int(random.integers(1, longest + 1)))


def _flip(content: bytes, random: np.random.Generator) -> bytes:
    start, _ = _range(content, random)
    changed = bytearray(content)
    if changed:
        changed[start] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _cut_out(content: bytes, random: np.random.Generator) -> bytes:
    start, end = _range(content, random)
    return content[:start] + content[end:]


def _put_in(content: bytes, random: np.random.Generator) -> bytes:
    start, end = _range(content, random)
    return content[:start] + random.bytes(end - start) + content[start:]


def _fill(content: bytes, random: np.random.Generator) -> bytes:
    start, end = _range(content, random, 256)
    return content[:start] + bytes([(0, 255, 32, 34)[random.integers(4)]]) * (end - start) + content[end:]


def _repeat(content: bytes, random: np.random.Generator) -> bytes:
    start, end = _range(content, random, 256)
    return content[:end] + content[start:end] + content[end:]


def _truncate(content: bytes, random: np.random.Generator) -> bytes:
    return content[: _range(content, random)[0]]


_BYTE_CHANGES: tuple[Bytes, ...] = (_flip, _flip, _cut_out, _put_in, _fill, _repeat, _truncate)


def mutate_file(content: Any, random: np.random.Generator) -> bytes:
    """Return the bytes of a JSON file after changes to its structure or, in a third of the cases, its bytes."""
    if random.integers(3):
        changed = mutate_json(content, random, int(random.integers(1, 6)))
        return json.dumps(changed, ensure_ascii=bool(random.integers(2))).encode("utf-8", "surrogatepass")
    return mutate_bytes(json.dumps(content).encode(), random, int(random.integers(1, 4)))
