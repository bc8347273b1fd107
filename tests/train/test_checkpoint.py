import msgspec
import pytest

from blender.core.errors import TrainError
from blender.train.checkpoint import (
    VERSION,
    Checkpoint,
    CheckpointState,
    best_checkpoint,
    check_fits,
    checkpoint_name,
    list_checkpoints,
    prune,
    read_state,
)


def state(step, eval_loss=None, **changes):
    made = CheckpointState(VERSION, step, {}, {}, "hash", {}, 0, 0, {}, 1, {"a": [2, 3]}, eval_loss)
    return msgspec.structs.replace(made, **changes)


def put(folder, step, eval_loss=None, **changes):
    path = folder / checkpoint_name(step)
    path.mkdir(parents=True)
    (path / "state.json").write_bytes(msgspec.json.encode(state(step, eval_loss, **changes)))
    return path


def names(folder):
    return [path.name for path in list_checkpoints(folder)]


def test_only_whole_checkpoints_are_listed_by_their_steps(tmp_path):
    for step in (1000, 5, 99999):
        put(tmp_path, step)
    (tmp_path / "step-00000007").mkdir()
    put(tmp_path, 6).rename(tmp_path / "step-00000006.partial")
    assert [read_state(path).step for path in list_checkpoints(tmp_path)] == [5, 1000, 99999]


def test_the_latest_and_the_best_are_kept_and_leftovers_cleared_away(tmp_path):
    for step, loss in ((1, 3.0), (2, 1.0), (3, None), (4, 1.0), (5, 2.0), (6, None)):
        put(tmp_path, step, loss)
    (tmp_path / "step-00000009.partial").mkdir()
    assert best_checkpoint(tmp_path).path.name == "step-00000002"
    prune(tmp_path, 2, best=True)
    assert names(tmp_path) == ["step-00000002", "step-00000005", "step-00000006"]
    prune(tmp_path, 1, best=False)
    assert names(tmp_path) == ["step-00000006"]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000006"]


def test_without_evaluation_none_is_best(tmp_path):
    put(tmp_path, 1)
    assert best_checkpoint(tmp_path) is None


def test_a_checkpoint_of_another_model_or_version_is_refused(tmp_path):
    path = put(tmp_path, 1)
    check_fits(Checkpoint(path, state(1)), {"a": (2, 3)})
    for shapes, words in (
        ({"a": (2, 4)}, "its a is 2 x 3, and this one's 2 x 4"),
        ({"a": (2, 3), "b": (1,)}, "its b is missing, and this one's 1"),
        ({}, "its a is 2 x 3, and this one's missing"),
    ):
        with pytest.raises(TrainError, match=words):
            check_fits(Checkpoint(path, state(1)), shapes)
    with pytest.raises(TrainError, match="has version 99"):
        read_state(put(tmp_path, 2, version=99))


def test_a_damaged_state_is_told(tmp_path):
    path = put(tmp_path, 1)
    (path / "state.json").write_text("{")
    with pytest.raises(TrainError, match="cannot be read"):
        read_state(path)
