"""Pools drawn by hypothesis: conversations with random turns, images and faults."""

import numpy as np
from hypothesis import strategies as st

from blender.blend.conversations import ConversationArrays


def make(conversations, capacity=(8, np.inf, np.inf), contents=None):
    """Build a pool from (source, ordered, pinned, [images shown by each turn]).

    ``contents`` gives, of each image, the first that is the same; by default all differ.
    """
    num_turns = np.array([len(turns) for *_, turns in conversations], dtype=np.int64)
    num_images = np.array([sum(map(len, turns)) for *_, turns in conversations], dtype=np.int64)
    links = [(number, image) for *_, turns in conversations for number, shown in enumerate(turns) for image in shown]
    sources = sorted({source for source, *_ in conversations})
    ref_image = np.array([image for _, image in links], dtype=np.int64)
    return ConversationArrays(
        sources=tuple(sources),
        source=np.array([sources.index(source) for source, *_ in conversations], dtype=np.int64),
        first_turn=np.cumsum(num_turns) - num_turns,
        num_turns=num_turns,
        num_images=num_images,
        ordered=np.array([ordered for _, ordered, *_ in conversations], dtype=bool),
        renumberable=~np.array([pinned for _, _, pinned, _ in conversations], dtype=bool),
        usable=np.ones(len(conversations), dtype=bool),
        characters=10 * num_turns,
        tokens=10 * num_turns,
        kept_turns=None,
        turn_characters=np.full(num_turns.sum(), 10),
        turn_tokens=np.full(num_turns.sum(), 10),
        image_tokens=0,
        cut=True,
        capacity=np.array(capacity, dtype=float),
        first_ref=np.concatenate([[0], np.cumsum(num_images)]).astype(np.int64),
        ref_turn=np.array([turn for turn, _ in links], dtype=np.int64),
        ref_image=ref_image,
        ref_content=ref_image if contents is None else np.array(contents, dtype=np.int64)[ref_image],
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


def samples_of(pool, samples):
    """Return each sample as ([(conversation, turn, offset)], [(seq, image)])."""
    gathered = [([], []) for _ in range(samples.num_samples)]
    owner = np.repeat(np.arange(len(pool.num_turns)), pool.num_turns)
    for sample, turn, offset in samples.turns.iter_rows():
        gathered[sample][0].append((int(owner[turn]), turn, offset))
    for sample, number, image in samples.images.iter_rows():
        gathered[sample][1].append((number, image))
    return gathered


def check_references(pool, samples):
    """Assert that local image k of every turn is the sample's image offset + k, and shown by then."""
    for turns, shows in samples_of(pool, samples):
        assert [seq for seq, _ in shows] == sorted(seq for seq, _ in shows)
        for seq, (conversation, turn, offset) in enumerate(turns):
            links = slice(pool.first_ref[conversation], pool.first_ref[conversation + 1])
            within = turn - pool.first_turn[conversation]
            shown_by = pool.ref_turn[links]
            known = len(shown_by) if not pool.ordered[conversation] else int((shown_by <= within).sum())
            for local in range(known):
                number = offset + local
                assert shows[number][0] <= seq, "shown too late"
                assert shows[number][1] == pool.ref_image[links][local], "another image has this number"
