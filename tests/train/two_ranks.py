"""What two ranks do together, started once by torchrun: a run at every ZeRO stage, one after the other.

torchrun --nproc_per_node 2 -m tests.train.two_ranks CONTENT.json FOLDER
"""

import json
import sys
from pathlib import Path

import torch

from blender.core.errors import TrainError
from blender.train.run import train
from tests.train import recipes


def main(content, folder):
    torch.set_num_threads(1)
    for stage in (0, 1, 2, 3):
        # micro-batches of one row: some are text alone on one rank and not on the other
        changes = {"batch__micro": 1 if stage == 3 else 2, "schedule": {"steps": 4, "warmup": 2}}
        train(recipes.make(content, deepspeed={"stage": stage}, **changes), folder / f"stage{stage}")
    half = {"precision": "bf16", "gradient_checkpointing": True, "schedule": {"steps": 6}}
    for stage in (1, 2, 3):
        lora = {"language": "lora", "lora": {"rank": 4}} if stage == 3 else {"language": "full"}
        train(recipes.make(content, deepspeed={"stage": stage}, train=lora, **half), folder / f"half{stage}")
    # of this run, one process goes on from the checkpoint before the last
    train(recipes.make(content, deepspeed={"stage": 3}, schedule={"steps": 8, "warmup": 2}), folder / "all")
    rest = folder / "rest"
    rest.mkdir(exist_ok=True)
    try:
        train(recipes.make(content, batch={"global": 9, "micro": 1}), folder / "odd")
    except TrainError as error:
        (rest / f"refused-{torch.distributed.get_rank()}").write_text(str(error))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
