"""The campaign cannot rot: a few tries of its parts. What thousands of tries gave is in benchmarks/RESULTS.md."""

import numpy as np
import pytest

from benchmarks.campaign.kills import kill_blends
from benchmarks.campaign.mutations import mutate_annotations, mutate_pictures
from benchmarks.campaign.outcome import expect, repeat
from benchmarks.campaign.remote import stream_remotely
from benchmarks.campaign.streams import cut_streams


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "num_tries"),
    [(kill_blends, 3), (mutate_annotations, 60), (mutate_pictures, 40), (cut_streams, 2), (stream_remotely, 3)],
)
def test_a_few_tries_of_a_part_hold(part, num_tries):
    outcome = part(range(num_tries), seed=0)
    assert outcome.num_tries >= num_tries
    assert not outcome.complaints()


def test_a_failed_try_is_listed_with_the_number_that_repeats_it():
    def attempt(random: np.random.Generator) -> str:
        expect(random.integers(4), "a zero was drawn")
        return "not zero"

    outcome = repeat("part", attempt, range(40), seed=0)
    assert 0 < len(outcome.failures) < 40
    assert outcome.num_tries == 40
    number, _ = outcome.failures[0]
    assert repeat("part", attempt, [number], seed=0).complaints() == [f"part, try {number}: a zero was drawn"]
