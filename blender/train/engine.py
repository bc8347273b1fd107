"""DeepSpeed's engine around a model: the only place that starts it.

DeepSpeed logs to standard output, and would compile an operator for shared memory between CPU ranks, which training
never uses; both are seen to before it is started.
"""

import io
import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import nn

from blender.train.recipe import Optimizer


def choose_accelerator() -> None:
    """Tell DeepSpeed what it would guess with a warning; to be called before anything imports it."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def quieten() -> None:
    """Keep DeepSpeed from speaking on standard output, and from compiling what is not used here."""
    choose_accelerator()
    import deepspeed
    from deepspeed.utils.logging import logger

    logger.setLevel(logging.ERROR)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.__stdout__):
            handler.setStream(sys.stderr)
    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # DeepSpeed's calls, not ours
    warnings.filterwarnings("ignore", category=FutureWarning, message=r".*torch\.distributed")


def join_deepspeed() -> None:
    """Tell DeepSpeed of the process group that was joined; before it loads or starts anything."""
    import deepspeed

    deepspeed.init_distributed(dist_init_required=False, verbose=False)


def start_engine(
    model: nn.Module, groups: Sequence[Mapping[str, Any]], optimizer: Optimizer, config: Mapping[str, Any]
) -> Any:
    """Put a model into DeepSpeed's engine.

    Args:
        model: The model, with what is not trained frozen.
        groups: Parameter groups for AdamW.
        optimizer: AdamW's settings.
        config: DeepSpeed's configuration.
    """
    import deepspeed

    adam = torch.optim.AdamW(
        [dict(group) for group in groups], lr=optimizer.lr, betas=optimizer.betas, eps=optimizer.eps, fused=True
    )
    # it prints its use of memory, too
    with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
        engine, *_ = deepspeed.initialize(model=model, optimizer=adam, config=dict(config))
    return engine
