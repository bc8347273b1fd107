"""Cut images out of a group of conversations that is too large to be held out as a whole, and lose few of them.

Images are nodes; a conversation joins those that it shows. Once some images are held out, conversations that show only
these are held out, and those that show others, too, are lost. Finding the fewest losses is a graph partition problem,
and hard; this is the greedy growing that partitioners begin with (Karypis and Kumar, "A fast and high quality
multilevel scheme for partitioning irregular graphs", 1998, section 3.2): from an image on, always take the neighbour by
which the number of lost conversations grows least. Regions are grown from many images, and of each the part is kept
that loses least for what it holds; the best are held out, until enough is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain
from typing import NamedTuple

import numpy as np
import polars as pl

from blender.blend.pool import Bools, Ints

#: images to grow from in each round
_STARTS = 48
#: images of a region, but for those few that may fill the graph
_LEAST_REGION, _REGION = 24, 300
#: regions whose losses are worse than the best's by this share of them are held out in the same round
_NEARLY_BEST = 0.25


def cut_groups(
    owner: Ints, image: Ints, source: Ints, missing: Ints, forbidden: Bools, random: np.random.Generator
) -> Bools:
    """Choose images to hold out.

    Args:
        owner: (L,) the conversation of each link, and
        image: (L,) the image that it shows.
        source: Of every conversation.
        missing: (S,) conversations still wanted of each source.
        forbidden: (I,) images that may not be held out.
        random: Draws where regions begin.

    Returns:
        (I,) the images that are held out.
    """
    conversations, edge, members = _edges(owner, image)
    graph = _Graph.of(members, np.bincount(edge, minlength=len(members)), len(forbidden), forbidden)
    for wanted in np.flatnonzero(missing).tolist():
        graph.want(np.bincount(edge[source[conversations] == wanted], minlength=len(members)))
        _hold_out(graph, int(missing[wanted]), random)
    return np.frombuffer(graph.inside, dtype=np.uint8).astype(bool)


def _edges(owner: Ints, image: Ints) -> tuple[Ints, Ints, list[list[int]]]:
    """Make one edge of all conversations that show the same images.

    Returns:
        The conversations, the edge of each, and the images of each edge.
    """
    links = pl.DataFrame({"conversation": owner, "image": image}).unique().sort("conversation", "image")
    shown = links.group_by("conversation", maintain_order=True).agg("image")
    distinct = shown.select("image").unique(maintain_order=True).with_row_index("edge")
    edge = shown.join(distinct, on="image", how="left", maintain_order="left")["edge"]
    return shown["conversation"].to_numpy(), edge.to_numpy().astype(np.int64), distinct["image"].to_list()


@dataclass
class _Graph:
    """Images as nodes, conversations as edges, and which images are held out so far."""

    #: images of each edge
    members: list[list[int]]
    #: edges of each image
    edges: list[list[int]]
    #: conversations of each edge
    weight: list[int]
    #: the same of the wanted source alone
    worth: list[int]
    #: images of each edge that are held out
    num_inside: list[int]
    #: by how many the lost conversations grow when this image is held out
    cost: list[int]
    #: 1 where an image is held out
    inside: bytearray
    forbidden: list[bool]
    #: wanted conversations that are held out
    held: int = 0

    @classmethod
    def of(cls, members: list[list[int]], weight: Ints, num_images: int, forbidden: Bools) -> "_Graph":
        flat = np.fromiter(chain.from_iterable(members), np.int64)
        edge = np.repeat(np.arange(len(members)), [len(images) for images in members])
        order = np.argsort(flat, kind="stable")
        ends = np.cumsum(np.bincount(flat, minlength=num_images))[:-1]
        several = np.array([len(images) > 1 for images in members], dtype=bool)
        cost = np.bincount(flat, weights=(weight * several)[edge], minlength=num_images).astype(np.int64)
        edges = [part.tolist() for part in np.split(edge[order], ends)]
        inside, nothing = bytearray(num_images), [0] * len(members)
        return cls(members, edges, weight.tolist(), nothing, nothing.copy(), cost.tolist(), inside, forbidden.tolist())

    def want(self, worth: Ints) -> None:
        """Say of which conversations some are wanted now."""
        self.worth = worth.tolist()
        counts = zip(self.members, self.num_inside, self.worth, strict=True)
        self.held = sum(worth for images, num_inside, worth in counts if num_inside == len(images))

    def starts(self) -> Ints:
        """List the images that a region may begin with: those of wanted conversations."""
        nodes = {image for images, worth in zip(self.members, self.worth, strict=True) if worth for image in images}
        return np.array(sorted(node for node in nodes if not self.forbidden[node]), dtype=np.int64)

    def take(self, image: int) -> None:
        """Hold an image out."""
        self.inside[image] = 1
        for edge in self.edges[image]:
            self.num_inside[edge] += 1
            if self.num_inside[edge] == len(self.members[edge]):
                self.held += self.worth[edge]
            step = self._step(edge, self.num_inside[edge])
            if step:
                for other in self.members[edge]:
                    self.cost[other] -= step

    def _step(self, edge: int, num_inside: int) -> int:
        """Tell by how much the other images of an edge get cheaper when ``num_inside`` of its images are held out."""
        size, weight = len(self.members[edge]), self.weight[edge]
        # the first image makes the conversation lost, and the last one saves it
        return (weight if num_inside == 1 else 0) + (weight if num_inside == size - 1 else 0) if size > 1 else 0

    def grow(self, start: int, most_images: int, most_held: int) -> "_Region":
        """Grow a region from an image, on top of what is held out, until it is large or holds enough."""
        num_inside: dict[int, int] = {}
        cost: dict[int, int] = {}
        taken: dict[int, None] = {}
        held, lost = 0, 0
        region = _Region([], [], [])
        heap = [(self.cost[start], 0, start)]
        count = 0
        while heap and len(taken) < most_images and held < most_held:
            price, _, image = heappop(heap)
            if image in taken or price != cost.get(image, self.cost[image]):
                continue
            taken[image] = None
            lost += price
            for edge in self.edges[image]:
                inside = num_inside.get(edge, self.num_inside[edge]) + 1
                num_inside[edge] = inside
                if inside == len(self.members[edge]):
                    held += self.worth[edge]
                step = self._step(edge, inside)
                for other in self.members[edge] if step else ():
                    if other not in taken and not self.inside[other] and not self.forbidden[other]:
                        cost[other] = cost.get(other, self.cost[other]) - step
                        count += 1
                        # of equals the one reached last: regions stay together
                        heappush(heap, (cost[other], -count, other))
            region.add(image, held, lost)
        return region


@dataclass
class _Region:
    """Images in the order in which they were taken, and what is held out and lost after each."""

    images: list[int]
    held: list[int]
    lost: list[int]

    def add(self, image: int, held: int, lost: int) -> None:
        self.images.append(image)
        self.held.append(held)
        self.lost.append(lost)

    def best(self, most_held: int) -> "_Part":
        """Cut the region off where it loses least for each conversation that it holds."""
        held, lost = np.array(self.held), np.array(self.lost)
        # a first image that holds more than is wanted is better than nothing
        fitting = np.flatnonzero((held > 0) & ((held <= most_held) | (held == held[np.argmax(held > 0)])))
        if not len(fitting):
            return _Part(np.inf, 0, [])
        losses = lost[fitting] / held[fitting]
        # of equals the largest
        end = int(fitting[len(losses) - 1 - int(np.argmin(losses[::-1]))])
        return _Part(float(losses.min()), int(held[end]), self.images[: end + 1])


class _Part(NamedTuple):
    """The first images of a region."""

    #: lost conversations for each that is held
    losses: float
    held: int
    images: list[int]


def _hold_out(graph: _Graph, wanted: int, random: np.random.Generator) -> None:
    """Hold out regions until so many wanted conversations are."""
    starts, size = graph.starts(), _Sizes()
    while graph.held < wanted:
        starts = starts[np.frombuffer(graph.inside, dtype=np.uint8)[starts] == 0]
        parts = sorted(_parts(graph, starts, wanted - graph.held, size, random), key=lambda part: part.losses)
        if not parts or not parts[0].images:
            return
        for number, part in enumerate(parts):
            fits = part.held <= wanted - graph.held
            # joining two regions can lose less than nothing
            nearly_best = part.losses <= parts[0].losses + _NEARLY_BEST * abs(parts[0].losses)
            if number == 0 or (nearly_best and fits):
                _take(graph, part.images)
        size = size.after(parts[0])


@dataclass(frozen=True)
class _Sizes:
    """How large regions may grow: growing them takes nearly all the time, and most of a large one is cut off again."""

    num_large: int = 4
    most_images: int = _REGION

    def after(self, best: "_Part") -> "_Sizes":
        """Grow fewer large regions each time, and none once a small one was best; small ones as it was useful."""
        length = len(best.images)
        if length > _REGION:
            return _Sizes(max(1, self.num_large // 2), _REGION)
        return _Sizes(0, min(_REGION, max(_LEAST_REGION, 3 * length)))


def _take(graph: _Graph, images: list[int]) -> None:
    """Hold the images of a region out, unless another one has some of them."""
    if not any(graph.inside[image] for image in images):
        for image in images:
            graph.take(image)


def _parts(graph: _Graph, starts: Ints, left: int, size: _Sizes, random: np.random.Generator) -> Iterator[_Part]:
    """Grow regions, in turn from images that cost least and from any."""
    costs = np.array(graph.cost)[starts]
    cheapest = starts[np.argsort(costs, kind="stable")][: max(_STARTS, len(starts) // 4)]
    drawn = [random.permutation(few)[: _STARTS // 2].tolist() for few in (cheapest, starts)]
    for number, start in enumerate(dict.fromkeys(chain.from_iterable(zip(*drawn, strict=True)))):
        yield graph.grow(start, len(starts) if number < size.num_large else size.most_images, left).best(left)
