"""How well a split by image meets the share that is asked, and what is lost to it, on graphs like MIMIC-IT's CGD.

CGD has about 71 thousand pairs over COCO's 118 thousand images: near the point from which on random pairs hang together
in one giant group. Which pairs it has is not published as a graph, so several kinds are drawn: any two images, two of a
small cluster (with some between clusters), two neighbours in a plane; and, worse than any of these, the same pairs over
a quarter of the images. LLaVA's 158 thousand conversations about one image each show some of the same images.
"""

import time
from collections.abc import Callable

import numpy as np

from benchmarks import report
from blender.blend.conversations import ConversationArrays
from blender.blend.split import ImageSplit, conversation_groups, split_by_image
from blender.core.arrays import Ints

NUM_IMAGES, NUM_PAIRS, NUM_COVERED, NUM_SINGLE = 118_287, 70_940, 81_479, 156_564
SHARES = (0.01, 0.05, 0.10, 0.30)
_PACKAGES = ("numpy", "polars")
_CLUSTER = 8
_BETWEEN = 0.3

#: (held out of CGD, lost of CGD) in per cent of CGD, as it was at commit ae0548d, by graph and share, seed 0
BEFORE: dict[tuple[str, float], tuple[float, float]] = {
    ("any two images", 0.01): (0.7, 0.0),
    ("any two images", 0.05): (3.8, 0.0),
    ("any two images", 0.10): (7.4, 0.0),
    ("any two images", 0.30): (22.5, 0.0),
    ("clusters", 0.01): (1.0, 0.0),
    ("clusters", 0.05): (4.9, 0.0),
    ("clusters", 0.10): (9.9, 0.0),
    ("clusters", 0.30): (29.9, 0.0),
    ("neighbours", 0.01): (1.0, 0.0),
    ("neighbours", 0.05): (5.0, 0.0),
    ("neighbours", 0.10): (10.3, 0.0),
    ("neighbours", 0.30): (29.5, 0.0),
    ("any two of a quarter of the images", 0.01): (1.2, 8.8),
    ("any two of a quarter of the images", 0.05): (9.3, 32.0),
    ("any two of a quarter of the images", 0.10): (23.0, 42.6),
    ("any two of a quarter of the images", 0.30): (71.3, 25.0),
    ("clusters, a quarter of the images", 0.01): (1.5, 8.3),
    ("clusters, a quarter of the images", 0.05): (10.3, 30.0),
    ("clusters, a quarter of the images", 0.10): (0.0, 0.0),
    ("clusters, a quarter of the images", 0.30): (0.0, 0.0),
    ("neighbours, a quarter of the images", 0.01): (1.4, 8.4),
    ("neighbours, a quarter of the images", 0.05): (10.0, 30.9),
    ("neighbours, a quarter of the images", 0.10): (24.1, 41.0),
    ("neighbours, a quarter of the images", 0.30): (0.0, 0.0),
}


def any_two(random: np.random.Generator, num_images: int, num_pairs: int) -> Ints:
    """Draw pairs of any two images."""
    first = random.integers(num_images, size=num_pairs)
    return np.column_stack([first, (first + random.integers(1, num_images, size=num_pairs)) % num_images])


def clustered(random: np.random.Generator, num_images: int, num_pairs: int) -> Ints:
    """Draw pairs within clusters of about eight images, and some between clusters."""
    cluster = np.sort(random.integers(num_images // _CLUSTER, size=num_images))
    begin, end = (np.searchsorted(cluster, cluster, side) for side in ("left", "right"))
    first = random.integers(num_images, size=num_pairs)
    near = begin[first] + random.integers(0, end[first] - begin[first])
    anywhere = random.random(num_pairs) < _BETWEEN
    return np.column_stack([first, np.where(anywhere | (near == first), (first + near + 1) % num_images, near)])


def neighbours(random: np.random.Generator, num_images: int, num_pairs: int) -> Ints:
    """Draw pairs of two neighbours among images that lie in a plane."""
    side = int(np.ceil(np.sqrt(num_images)))
    first = random.integers(num_images, size=num_pairs)
    across, down = (np.rint(random.normal(scale=1.5, size=num_pairs)).astype(np.int64) for _ in range(2))
    second = (first + across + side * down) % num_images
    return np.column_stack([first, np.where(second == first, (first + 1) % num_images, second)])


GRAPHS: dict[str, tuple[Callable[[np.random.Generator, int, int], Ints], float]] = {
    "any two images": (any_two, 1),
    "clusters": (clustered, 1),
    "neighbours": (neighbours, 1),
    "any two of a quarter of the images": (any_two, 0.25),
    "clusters, a quarter of the images": (clustered, 0.25),
    "neighbours, a quarter of the images": (neighbours, 0.25),
}


def pool_of(name: str, seed: int, times: float = 1.0, single: bool = True) -> tuple[ConversationArrays, int]:
    """Draw the conversations of a graph; return them and the number of images.

    Args:
        name: One of :data:`GRAPHS`.
        seed: Draws it.
        times: Multiple of the published size.
        single: Whether LLaVA's conversations are there, too.
    """
    random = np.random.default_rng([seed, sorted(GRAPHS).index(name)])
    make, density = GRAPHS[name]
    num_images = round(NUM_IMAGES * times)
    pairs = make(random, round(num_images * density), round(NUM_PAIRS * times))
    covered = random.permutation(num_images)[: round(NUM_COVERED * times)]
    alone = random.choice(covered, round(NUM_SINGLE * times) if single else 0)
    num_links = np.concatenate([np.full(len(pairs), 2), np.ones(len(alone), dtype=np.int64)])
    images = np.concatenate([pairs.ravel(), alone])
    ones, total = np.ones(len(num_links), dtype=np.int64), len(num_links)
    pool = ConversationArrays(
        sources=("cgd", "llava"),
        source=np.repeat([0, 1], [len(pairs), len(alone)]),
        first_turn=np.arange(total),
        num_turns=ones,
        num_images=num_links,
        ordered=ones.astype(bool),
        renumberable=ones.astype(bool),
        usable=ones.astype(bool),
        characters=ones,
        tokens=None,
        kept_turns=None,
        turn_characters=ones,
        turn_tokens=None,
        image_tokens=0,
        cut=True,
        capacity=np.full(3, np.inf),
        first_ref=np.concatenate([[0], np.cumsum(num_links)]),
        ref_turn=np.zeros(len(images), dtype=np.int64),
        ref_image=images,
        ref_content=images,
    )
    return pool, num_images


def run(shares: tuple[float, ...] = SHARES) -> str:
    """Measure and return the results as Markdown."""
    rows = []
    for name in GRAPHS:
        pool, num_images = pool_of(name, 0)
        group = conversation_groups(pool, num_images)
        giant = np.bincount(group[pool.source == 0]).max() / (pool.source == 0).sum()
        for share in shares:
            begun = time.perf_counter()
            split = split_by_image(pool, num_images, share, np.random.default_rng(0))
            seconds = time.perf_counter() - begun
            before = BEFORE.get((name, share))
            rows.append(
                [
                    name,
                    f"{giant:.0%}",
                    f"{share:.0%}",
                    *(f"{value:.1f}" for value in of_source(pool, split, 0)),
                    *(f"{value:.1f}" for value in of_source(pool, split, 1)),
                    *(f"{value:.1f}" for value in before or ()),
                    *(() if before else ("", "")),
                    f"{seconds:.1f}",
                ]
            )
    head = [
        *("CGD's pairs", "largest group", "asked", "% of CGD held out", "lost", "% of LLaVA held out", "lost"),
        *("before: CGD held out", "lost", "seconds"),
    ]
    return f"{report.circumstances(_PACKAGES, 'python -m benchmarks split')}\n\n{report.table(head, rows)}"


def of_source(pool: ConversationArrays, split: ImageSplit, source: int) -> tuple[float, float]:
    """Return how much of a source is held out and lost, in per cent."""
    own = pool.source == source
    return 100 * float(split.held_out[own].mean()), 100 * float(split.straddling[own].mean())
