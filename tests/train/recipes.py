"""Training recipes over tiny things."""

import os
from contextlib import contextmanager
from copy import deepcopy

import torch

from blender.recipe.load import kind_from
from blender.train.metrics import read_metrics
from blender.train.recipe import TRAIN


@contextmanager
def unchanged_environment():
    """Compute with one thread, and restore environment and threads, which runs in this process change."""
    before, threads = dict(os.environ), torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    os.environ.clear()
    os.environ.update(before)
    torch.set_num_threads(threads)


def content(blend, parts):
    language, vision = map(str, parts)
    return {
        "name": "tiny",
        "seed": 3,
        "data": {"blends": str(blend), "workers": 0, "max_tokens": 512},
        "model": {"language": language, "vision": vision},
        "optimizer": {"lr": 0.01},
        "schedule": {"steps": 8, "warmup": 2},
        "batch": {"global": 8, "micro": 4},
        "precision": "fp32",
        "threads": 1,
        "gradient_checkpointing": False,
        "deepspeed": {"stage": 0},
        "evaluation": {"every": 4},
        "logging": {"every": 1, "tensorboard": False},
        "checkpoints": {"every": 2, "keep": 2},
    }


def changed(content, **changes):
    """Change plain data; keys of sections are parted by two underscores."""
    data = deepcopy(content)
    for path, value in changes.items():
        *way, last = path.split("__")
        section = data
        for step in way:
            section = section.setdefault(step, {})
        section[last] = value
    return data


def make(content, **changes):
    return kind_from(TRAIN, changed(content, **changes))


def losses(folder, kind="train", figure="loss"):
    """Return the losses of a run by step, exactly as they were written, or other figures."""
    return {line["step"]: line[figure] for line in read_metrics(folder) if line["kind"] == kind}


def gradients(folder):
    """Return the lengths of a run's gradients by step; AdamW's own steps would hide a wrong factor."""
    return losses(folder, figure="grad_norm")
