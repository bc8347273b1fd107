"""The skip policy: what becomes of a run when samples cannot be used."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import StreamError
from blender.shards.unpack import DamagedSample
from blender.stream.encode import Dropped
from blender.stream.skip import SkipPolicy

DAMAGED = [DamagedSample(f"train-{number:09d}", "train/train-000000.tar", "it is empty") for number in range(9)]
TOO_LONG = Dropped("train-000000001", "llava", "too_long", "the first turn takes 9 positions, and 8 are allowed")


def test_each_damaged_sample_is_counted_every_time_and_logged_once(caplog):
    policy = SkipPolicy()
    with caplog.at_level(logging.WARNING):
        for outcome in [DAMAGED[0], None, DAMAGED[1], DAMAGED[0]]:
            policy.note(outcome)
    assert policy.skipped == {"damaged": 3}
    assert [record.message.split(" is ")[0] for record in caplog.records] == [
        f"skipped: sample train-{number:09d} in shard train/train-000000.tar" for number in (0, 1)
    ]


def test_dropped_samples_are_counted_by_reason_and_stop_no_run():
    policy = SkipPolicy(max_damaged=2)
    for outcome in [TOO_LONG] * 5:
        policy.note(outcome)
    assert policy.skipped == {"too_long": 5}


def test_too_many_in_a_row_stop_the_run():
    policy = SkipPolicy(max_damaged=2)
    for outcome in [*DAMAGED[:2], None, *DAMAGED[2:4]]:
        policy.note(outcome)
    with pytest.raises(
        StreamError, match="3 damaged samples in a row, the last one train-000000004 in shard"
    ) as caught:
        policy.note(DAMAGED[4])
    assert not isinstance(caught.value, DamagedSample)


@given(st.lists(st.booleans()), st.integers(0, 4))
def test_a_run_stops_exactly_when_more_than_allowed_are_damaged_in_a_row(good, max_damaged):
    policy = SkipPolicy(max_damaged)

    def play():
        for fine in good:
            policy.note(None if fine else DAMAGED[0])

    runs = "".join("." if fine else "x" for fine in good)
    if "x" * (max_damaged + 1) in runs:
        with pytest.raises(StreamError):
            play()
    else:
        play()
        assert policy.skipped["damaged"] == good.count(False)
