import json

import pytest

from blender.core.errors import TrainError
from blender.train.batch_plan import plan_batch
from blender.train.deepspeed_config import deepspeed_config
from tests.train.recipes import make

CONTENT = {
    "name": "mine",
    "data": {"blends": "./blend"},
    "model": {"language": "./llama", "vision": "./clip"},
    "schedule": {"epochs": 1},
}
PLAN = plan_batch(128, 4, 8)


def config(tmp_path=None, theirs=None, **deepspeed):
    if theirs is not None:
        (tmp_path / "ds.json").write_text(theirs if isinstance(theirs, str) else json.dumps(theirs))
        deepspeed["config"] = str(tmp_path / "ds.json")
    return deepspeed_config(make(CONTENT, deepspeed=deepspeed), PLAN)


def test_the_recipe_decides():
    made = config(stage=3, offload="all")
    assert made["train_batch_size"] == 128
    assert made["train_micro_batch_size_per_gpu"] == 4
    assert made["gradient_accumulation_steps"] == 4
    assert made["gradient_clipping"] == 1.0
    assert made["bf16"] == {"enabled": True}
    assert made["zero_optimization"]["stage"] == 3
    assert made["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert made["zero_optimization"]["offload_optimizer"]["device"] == "cpu"


def test_a_json_is_merged_at_every_depth(tmp_path):
    theirs = {
        "zero_optimization": {"stage": 2, "overlap_comm": True, "reduce_bucket_size": 1000},
        "train_batch_size": "auto",
        "bf16": {"enabled": "auto"},
        "communication_data_type": "fp32",
    }
    made = config(tmp_path, theirs)
    assert made["zero_optimization"] == {"stage": 2, "overlap_comm": True, "reduce_bucket_size": 1000}
    assert made["communication_data_type"] == "fp32"
    assert (made["train_batch_size"], made["bf16"]["enabled"]) == (128, True)


def test_how_to_offload_may_be_refined_where_the_recipe_offloads(tmp_path):
    theirs = {"zero_optimization": {"offload_optimizer": {"device": "nvme", "nvme_path": "/disk"}}}
    made = config(tmp_path, theirs, offload="optimizer")
    assert made["zero_optimization"]["offload_optimizer"] == {
        "device": "nvme",
        "pin_memory": True,
        "nvme_path": "/disk",
    }


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ({"train_batch_size": 64}, "says train_batch_size is 64, and the recipe makes it 128"),
        ({"zero_optimization": {"stage": 1}}, "says zero_optimization.stage is 1, and the recipe makes it 2"),
        ({"fp16": {"enabled": True}}, "says fp16.enabled is True, and the recipe makes it False"),
        ({"zero_optimization": {"offload_param": {"device": "cpu"}}}, "offload"),
        ({"optimizer": {"type": "Adam"}}, "has optimizer"),
        ({"scheduler": {"type": "WarmupLR"}}, "has scheduler"),
        ("{", "is not JSON"),
        ("[1]", "holds no keys"),
    ],
)
def test_a_json_that_contradicts_the_recipe_is_refused(tmp_path, theirs, words):
    with pytest.raises(TrainError, match=words):
        config(tmp_path, theirs)


def test_a_json_that_is_not_there_is_refused():
    with pytest.raises(TrainError, match=r"nowhere.json cannot be read"):
        config(config="./nowhere.json")
