import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import TrainError
from blender.train.batch_plan import plan_batch
from blender.train.schedule import LearningRateSchedule, num_warmup

SCHEDULES = st.builds(
    lambda kind, steps, part, floor: LearningRateSchedule(kind, steps, int(steps * part), floor),
    st.sampled_from(["cosine", "linear", "constant"]),
    st.integers(1, 500),
    st.floats(0, 1),
    st.floats(0, 1),
)


@given(SCHEDULES)
def test_a_rate_rises_to_its_highest_and_never_again(schedule):
    shares = [schedule.share(step) for step in range(schedule.num_steps)]
    warm, rest = shares[: schedule.num_warmup], shares[schedule.num_warmup :]
    assert warm == sorted(warm)
    assert rest == sorted(rest, reverse=True)
    assert max(shares) == 1
    assert all(share > 0 for share in warm)
    assert all(share >= schedule.floor - 1e-12 for share in rest)


def test_a_cosine_is_half_way_down_half_way_through():
    schedule = LearningRateSchedule("cosine", 110, 10, 0.2)
    assert schedule.share(0) == 0.1
    assert schedule.share(9) == schedule.share(10) == 1
    assert schedule.share(60) == pytest.approx(0.6)
    assert schedule.share(110) == pytest.approx(0.2)


def test_a_warm_up_is_a_number_of_steps_or_a_share_of_them():
    assert num_warmup(7, 100) == 7
    assert num_warmup("10%", 250) == 25
    assert num_warmup(7, 3) == 3


@given(st.integers(1, 16), st.integers(1, 16), st.integers(1, 16))
def test_a_global_batch_is_micro_times_accumulation_times_ranks(micro, accumulation, world):
    plan = plan_batch(micro * accumulation * world, micro, world)
    assert (plan.accumulation, plan.rows_per_rank) == (accumulation, micro * accumulation)


@pytest.mark.parametrize(
    ("rows", "micro", "world", "words", "hint"),
    [
        (128, 1, 3, "128 rows cannot be divided among 3 ranks", "start 2 ranks, or set batch.global to 126"),
        (2, 1, 3, "2 rows cannot be divided among 3 ranks", "batch.global to 3"),
        (16, 3, 2, "8 rows of each of 2 ranks cannot be cut into micro-batches of 3", "batch.micro to 2"),
        (8, 16, 2, "4 rows of each of 2 ranks cannot be cut into micro-batches of 16", "batch.micro to 4"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused_with_one_that_can(rows, micro, world, words, hint):
    with pytest.raises(TrainError) as caught:
        plan_batch(rows, micro, world)
    assert words in caught.value.message
    assert hint in caught.value.hint
