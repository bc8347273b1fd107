"""What the processes of ``test_distributed`` run: a few steps, each on batches of another kind than its neighbour's."""

import json
import sys
from pathlib import Path

import deepspeed
import torch

from blender.model import parameter_groups
from tests.model.parts import joined, trained_batch

ROWS = [["taaa"], ["tItaa", "Itaaaaaaaa"], ["..."], ["tIIa|ta"]]


def losses(stage, attention, rank):
    """Train under a ZeRO stage; return this rank's losses."""
    model = joined(attention).train()
    model.gradient_checkpointing_enable()
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=1e-2))
    engine = deepspeed.initialize(model=model, optimizer=optimizer, config=config)[0]
    told = []
    for step in range(4):
        output = engine(**trained_batch(*ROWS[(step + rank) % 4], seed=step))
        engine.backward(output.loss)
        engine.step()
        told.append(output.loss.item())
    engine.eval()
    with torch.no_grad():
        told.append(engine(**trained_batch(*ROWS[rank])).loss.item())
    return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    deepspeed.init_distributed("gloo")
    number = torch.distributed.get_rank()
    found = {f"{a} {s}": losses(s, a, number) for a in ("mmca", "cross") for s in (0, 3)}
    Path(sys.argv[1], f"{number}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
