"""Pools drawn by hypothesis: conversations with random turns, images and faults."""

import numpy as np
from hypothesis import strategies as st

from blender.blend.pool import Pool


def make(conversations, capacity=(8, np.inf, np.inf), contents=None):
    """Build a pool from (source, ordered, pinned, [images shown by each turn]).

    ``contents`` gives, of each image, the first that is the same; by default all differ.
    """
    num_turns = np.array([len(turns) for *_, turns in conversations], dtype=np.int64)
    num_images = np.array([sum(map(len, turns)) for *_, turns in conversations], dtype=np.int64)
    links = [(number, image) for *_, turns in conversations for number, shown in enumerate(turns) for image in shown]
    weights = np.column_stack([num_images, 10 * num_turns, 10 * num_turns]).astype(float)
    sources = sorted({source for source, *_ in conversations})
    link_image = np.array([image for _, image in links], dtype=np.int64)
    return Pool(
        sources=tuple(sources),
        source=np.array([sources.index(source) for source, *_ in conversations], dtype=np.int64),
        turns=np.arange(num_turns.sum()),
        first_turn=np.cumsum(num_turns) - num_turns,
        num_turns=num_turns,
        num_images=num_images,
        ordered=np.array([ordered for _, ordered, *_ in conversations], dtype=bool),
        pinned=np.array([pinned for _, _, pinned, _ in conversations], dtype=bool),
        usable=np.ones(len(conversations), dtype=bool),
        weights=weights,
        text_weights=weights * [0, 1, 1],
        turn_weights=np.tile([0.0, 10.0, 10.0], (int(num_turns.sum()), 1)),
        cut=True,
        capacity=np.array(capacity, dtype=float),
        first_link=np.concatenate([[0], np.cumsum(num_images)]).astype(np.int64),
        link_turn=np.array([turn for turn, _ in links], dtype=np.int64),
        link_image=link_image,
        link_content=link_image if contents is None else np.array(contents, dtype=np.int64)[link_image],
    )


def single(source="llava"):
    """Draw conversations about one image of ten, or about none."""
    turns = st.tuples(st.lists(st.integers(0, 9), max_size=1), st.integers(0, 3)).map(lambda t: [t[0], *[[]] * t[1]])
    return st.tuples(st.just(source), st.just(True), st.booleans(), turns)


def pair(source="cgd"):
    """Draw unordered conversations about one to three images of ten, all shown with the first turn."""
    images = st.lists(st.integers(0, 9), min_size=1, max_size=3)
    turns = st.tuples(images, st.integers(0, 3)).map(lambda t: [t[0], *[[]] * t[1]])
    return st.tuples(st.just(source), st.just(False), st.just(False), turns)


def dialogue(source="sparkles"):
    """Draw dialogues that show images in any turn."""
    turns = st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=1, max_size=4)
    return st.tuples(st.just(source), st.just(True), st.booleans(), turns)


def samples_of(pool, draft):
    """Return each sample of a draft as ([(conversation, turn, offset)], [(seq, image)])."""
    made = [([], []) for _ in range(draft.num_samples)]
    for sample, conversation, turn, offset in draft.turns.iter_rows():
        made[sample][0].append((conversation, turn, offset))
    for sample, seq, image in draft.shows.iter_rows():
        made[sample][1].append((seq, image))
    return made


def check_references(pool, draft):
    """Assert that local image k of every turn is the sample's image offset + k, and shown by then."""
    for turns, shows in samples_of(pool, draft):
        assert [seq for seq, _ in shows] == sorted(seq for seq, _ in shows)
        for seq, (conversation, turn, offset) in enumerate(turns):
            links = slice(pool.first_link[conversation], pool.first_link[conversation + 1])
            within = turn - pool.first_turn[conversation]
            shown_by = pool.link_turn[links]
            known = len(shown_by) if not pool.ordered[conversation] else int((shown_by <= within).sum())
            for local in range(known):
                number = offset + local
                assert shows[number][0] <= seq, "shown too late"
                assert shows[number][1] == pool.link_image[links][local], "another image has this number"
