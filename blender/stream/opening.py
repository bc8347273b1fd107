"""Open the blends of a mixture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blender.core.errors import StreamError
from blender.stream.index import StreamBlend, open_stream_blend
from blender.stream.mixture import Component, Mixture, MixtureGroup, MixtureNode, mix

_AMOUNTS = ("weight", "repeat", "samples")


@dataclass(frozen=True)
class OpenMixture:
    """A mixture whose blends are open for reading. Made by :func:`open_mixture`."""

    mixture: Mixture
    #: the blend of each component, by its path, in the order of the mixture
    blends: Mapping[str, StreamBlend]
    split: str


def open_mixture(data: str | Mapping[str, Any], split: str = "train") -> OpenMixture:
    """Open one blend, or several that are streamed together.

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
        component, blend = _component("", data, {}, split)
        return OpenMixture(mix(component), {component.name: blend}, split)
    root = MixtureGroup("", tuple(_members(data, "", split, blends)))
    return OpenMixture(mix(root), blends, split)


def _members(data: Mapping[str, Any], group: str, split: str, blends: dict[str, StreamBlend]) -> Iterator[MixtureNode]:
    """Yield the members of the group of a path, and enter their blends."""
    for name, member in data.items():
        path = f"{group}/{name}" if group else name
        settings: dict[str, Any] = {"blend": member} if isinstance(member, str) else dict(member)
        amounts: dict[str, Any] = {key: settings.pop(key) for key in _AMOUNTS if key in settings}
        if set(settings) == {"members"}:
            yield MixtureGroup(name, tuple(_members(settings["members"], path, split, blends)), **amounts)
        elif set(settings) == {"blend"}:
            component, blends[path] = _component(name, settings["blend"], amounts, split)
            yield component
        else:
            raise StreamError(
                f"{path} of the mixture has the keys {', '.join(sorted(settings)) or 'of an amount alone'}",
                f"give it `blend` or `members`, and at most one of {', '.join(_AMOUNTS)}",
            )


def _component(name: str, location: str, amounts: Mapping[str, Any], split: str) -> tuple[Component, StreamBlend]:
    blend = open_stream_blend(location)
    sizes = tuple(blend.shard_sizes(split).tolist())
    return Component(name or blend.manifest.name, sizes, f"{split} {blend.identity}", **amounts), blend
