"""Cut images out of a group of conversations that is too large to be held out as a whole, and lose few of them.

Images are nodes; a conversation joins those that it shows. Once some images are held out, conversations that show only
these are held out, and those that show others, too, are lost. Finding the fewest losses is a graph partition problem,
and hard; this is the greedy growing that partitioners begin with (Karypis and Kumar, "A fast and high quality
multilevel scheme for partitioning irregular graphs", 1998, section 3.2): from an image on, always take the neighbour by
which the cut weight (the number of lost conversations) grows least. Regions are grown from many seed images. Of each,
the first images with the lowest cut ratio are kept: conversations lost for each one held out. The best regions are held
out, until enough is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain
from typing import NamedTuple

import numpy as np
import polars as pl

from blender.core.arrays import Bools, Ints

#: images to grow from in each round
_NUM_SEEDS = 48
#: images of a region, but for those few that may fill the graph
_LEAST_REGION, _REGION = 24, 300
#: regions whose cut ratio is above the best one's by at most this share of it are held out in the same round
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
        graph.use_source(np.bincount(edge[source[conversations] == wanted], minlength=len(members)))
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
    """Images as nodes, conversations as weighted (hyper)edges, and which images are held out so far."""

    #: images of each edge
    members: list[list[int]]
    #: edges of each image
    edges: list[list[int]]
    #: conversations of each edge
    weight: list[int]
    #: conversations of each edge that are of the source whose turn it is
    source_weight: list[int]
    #: images of each edge that are held out
    num_inside: list[int]
    #: by how much the cut weight (the conversations lost) grows when this image is held out
    cut_increase: list[int]
    #: 1 where an image is held out
    inside: bytearray
    forbidden: list[bool]
    #: conversations of the source that are held out: edges of which all images are inside
    internal_weight: int = 0

    @classmethod
    def of(cls, members: list[list[int]], weight: Ints, num_images: int, forbidden: Bools) -> "_Graph":
        flat = np.fromiter(chain.from_iterable(members), np.int64)
        edge = np.repeat(np.arange(len(members)), [len(images) for images in members])
        order = np.argsort(flat, kind="stable")
        ends = np.cumsum(np.bincount(flat, minlength=num_images))[:-1]
        several = np.array([len(images) > 1 for images in members], dtype=bool)
        cut_increase = np.bincount(flat, weights=(weight * several)[edge], minlength=num_images).astype(np.int64)
        edges = [part.tolist() for part in np.split(edge[order], ends)]
        inside, nothing = bytearray(num_images), [0] * len(members)
        return cls(
            members, edges, weight.tolist(), nothing, nothing.copy(), cut_increase.tolist(), inside, forbidden.tolist()
        )

    def use_source(self, source_weight: Ints) -> None:
        """Hold out conversations of another source from now on: ``source_weight`` of each edge."""
        self.source_weight = source_weight.tolist()
        edges = zip(self.members, self.num_inside, self.source_weight, strict=True)
        self.internal_weight = sum(weight for images, num_inside, weight in edges if num_inside == len(images))

    def seed_images(self) -> Ints:
        """List the images that a region may grow from: those that the source shows."""
        edges = zip(self.members, self.source_weight, strict=True)
        nodes = {image for images, weight in edges if weight for image in images}
        return np.array(sorted(node for node in nodes if not self.forbidden[node]), dtype=np.int64)

    def take(self, image: int) -> None:
        """Hold an image out."""
        self.inside[image] = 1
        for edge in self.edges[image]:
            self.num_inside[edge] += 1
            if self.num_inside[edge] == len(self.members[edge]):
                self.internal_weight += self.source_weight[edge]
            decrease = self._decrease(edge, self.num_inside[edge])
            if decrease:
                for other in self.members[edge]:
                    self.cut_increase[other] -= decrease

    def _decrease(self, edge: int, num_inside: int) -> int:
        """Tell by how much the edge's other images cut less once ``num_inside`` of its images are held out."""
        size, weight = len(self.members[edge]), self.weight[edge]
        # the first image makes the conversation lost, and the last one saves it
        return (weight if num_inside == 1 else 0) + (weight if num_inside == size - 1 else 0) if size > 1 else 0

    def grow(self, seed_image: int, max_images: int, max_weight: int) -> "_Region":
        """Grow a region from an image, on top of what is held out, until it is large or holds enough."""
        num_inside: dict[int, int] = {}
        cut_increase: dict[int, int] = {}
        taken: dict[int, None] = {}
        internal_weight, cut_weight = 0, 0
        region = _Region([], [], [])
        heap = [(self.cut_increase[seed_image], 0, seed_image)]
        count = 0
        while heap and len(taken) < max_images and internal_weight < max_weight:
            increase, _, image = heappop(heap)
            if image in taken or increase != cut_increase.get(image, self.cut_increase[image]):
                continue
            taken[image] = None
            cut_weight += increase
            for edge in self.edges[image]:
                inside = num_inside.get(edge, self.num_inside[edge]) + 1
                num_inside[edge] = inside
                if inside == len(self.members[edge]):
                    internal_weight += self.source_weight[edge]
                decrease = self._decrease(edge, inside)
                for other in self.members[edge] if decrease else ():
                    if other not in taken and not self.inside[other] and not self.forbidden[other]:
                        cut_increase[other] = cut_increase.get(other, self.cut_increase[other]) - decrease
                        count += 1
                        # of equals the one reached last: regions stay together
                        heappush(heap, (cut_increase[other], -count, other))
            region.add(image, internal_weight, cut_weight)
        return region


@dataclass
class _Region:
    """Images in the order in which they were taken; after each, the weights inside the region and on its cut."""

    images: list[int]
    internal_weights: list[int]
    cut_weights: list[int]

    def add(self, image: int, internal_weight: int, cut_weight: int) -> None:
        self.images.append(image)
        self.internal_weights.append(internal_weight)
        self.cut_weights.append(cut_weight)

    def best_prefix(self, max_weight: int) -> "_Prefix":
        """Keep the first images, as many as give the lowest cut ratio."""
        internal, cut = np.array(self.internal_weights), np.array(self.cut_weights)
        # a first image that holds more than is wanted is better than nothing
        allowed = np.flatnonzero(
            (internal > 0) & ((internal <= max_weight) | (internal == internal[np.argmax(internal > 0)]))
        )
        if not len(allowed):
            return _Prefix(np.inf, 0, [])
        ratios = cut[allowed] / internal[allowed]
        # of equals the largest
        last = int(allowed[len(ratios) - 1 - int(np.argmin(ratios[::-1]))])
        return _Prefix(float(ratios.min()), int(internal[last]), self.images[: last + 1])


class _Prefix(NamedTuple):
    """The first images of a region."""

    #: conversations lost for each of the source that is held out
    cut_ratio: float
    internal_weight: int
    images: list[int]


def _hold_out(graph: _Graph, wanted: int, random: np.random.Generator) -> None:
    """Hold out regions until so many conversations of the source are held out."""
    seeds, sizes = graph.seed_images(), _Sizes()
    while graph.internal_weight < wanted:
        seeds = seeds[np.frombuffer(graph.inside, dtype=np.uint8)[seeds] == 0]
        regions = _grow_regions(graph, seeds, wanted - graph.internal_weight, sizes, random)
        candidates = sorted(regions, key=lambda candidate: candidate.cut_ratio)
        if not candidates or not candidates[0].images:
            return
        best = candidates[0]
        # joining two regions can lose less than nothing
        max_ratio = best.cut_ratio + _NEARLY_BEST * abs(best.cut_ratio)
        for rank, candidate in enumerate(candidates):
            fits = candidate.internal_weight <= wanted - graph.internal_weight
            if rank == 0 or (fits and candidate.cut_ratio <= max_ratio):
                _take(graph, candidate.images)
        sizes = sizes.after(best)


@dataclass(frozen=True)
class _Sizes:
    """How large regions may grow: growing them takes nearly all the time, and most of a large one is cut off again."""

    #: regions of each round that may fill the graph
    num_large: int = 4
    #: images of each other region
    max_images: int = _REGION

    def after(self, best: _Prefix) -> "_Sizes":
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


def _grow_regions(
    graph: _Graph, seeds: Ints, max_weight: int, sizes: _Sizes, random: np.random.Generator
) -> Iterator[_Prefix]:
    """Grow regions, in turn from images that cut least and from any."""
    increases = np.array(graph.cut_increase)[seeds]
    cheapest = seeds[np.argsort(increases, kind="stable")][: max(_NUM_SEEDS, len(seeds) // 4)]
    drawn = [random.permutation(few)[: _NUM_SEEDS // 2].tolist() for few in (cheapest, seeds)]
    for number, seed_image in enumerate(dict.fromkeys(chain.from_iterable(zip(*drawn, strict=True)))):
        max_images = len(seeds) if number < sizes.num_large else sizes.max_images
        yield graph.grow(seed_image, max_images, max_weight).best_prefix(max_weight)
