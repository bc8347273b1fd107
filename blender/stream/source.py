"""What to stream: one blend, or several with their shares, opened."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blender.core.errors import StreamError
from blender.stream.index import StreamBlend, open_stream_blend
from blender.stream.mixture import Group, Leaf, Node

_AMOUNTS = ("weight", "repeat", "samples")


@dataclass(frozen=True)
class Source:
    """Blends and how they are mixed."""

    root: Node
    #: by path in the mixture
    blends: Mapping[str, StreamBlend]
    split: str


def open_source(data: str | Mapping[str, Any], split: str = "train") -> Source:
    """Open the blends of a stream.

    Args:
        data: The folder or URL of one blend, or members by name. A member is a folder or URL, or a mapping with
            ``blend`` (folder or URL) or ``members`` (members by name, again), and at most one of ``weight``,
            ``repeat`` and ``samples``, as :mod:`blender.stream.mixture` explains them.
        split: Which split of each blend.

    Raises:
        StreamError: The mapping is not of this form, or a blend cannot be streamed.
        ShardError: A folder is not a finished blend.
    """
    blends: dict[str, StreamBlend] = {}
    if isinstance(data, str):
        leaf, blends[""] = _leaf("", data, {}, split)
        return Source(leaf, {leaf.name: blends[""]}, split)
    root = Group("", tuple(_members(data, "", split, blends)))
    return Source(root, blends, split)


def _members(data: Mapping[str, Any], path: str, split: str, blends: dict[str, StreamBlend]) -> Iterator[Node]:
    for name, member in data.items():
        here = f"{path}/{name}" if path else name
        said: dict[str, Any] = {"blend": member} if isinstance(member, str) else dict(member)
        amounts: dict[str, Any] = {key: said.pop(key) for key in _AMOUNTS if key in said}
        if set(said) == {"members"}:
            yield Group(name, tuple(_members(said["members"], here, split, blends)), **amounts)
        elif set(said) == {"blend"}:
            leaf, blends[here] = _leaf(name, said["blend"], amounts, split)
            yield leaf
        else:
            raise StreamError(
                f"{here} of the mixture has the keys {', '.join(sorted(said)) or 'of an amount alone'}",
                f"give it `blend` or `members`, and at most one of {', '.join(_AMOUNTS)}",
            )


def _leaf(name: str, location: str, amounts: Mapping[str, Any], split: str) -> tuple[Leaf, StreamBlend]:
    blend = open_stream_blend(location)
    sizes = tuple(blend.shard_sizes(split).tolist())
    return Leaf(name or blend.manifest.name, sizes, f"{split} {blend.identity}", **amounts), blend
