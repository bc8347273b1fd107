"""Starts DeepSpeed's engine; nothing else does.

DeepSpeed logs to standard output, and would compile an operator for shared memory between CPU ranks, which training
never uses. Both are turned off before it starts.
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
    """Set DeepSpeed's accelerator, which it would guess with a warning; call this before anything imports it."""
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def quieten() -> None:
    """Move DeepSpeed's logging to standard error, and turn off an operator that it would compile for nothing."""
    choose_accelerator()
    import deepspeed
    from deepspeed.utils.logging import logger

    logger.setLevel(logging.ERROR)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.__stdout__):
            handler.setStream(sys.stderr)
    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    # raised by DeepSpeed's calls, not by ours
    warnings.filterwarnings("ignore", category=FutureWarning, message=r".*torch\.distributed")


def join_deepspeed() -> None:
    """Let DeepSpeed use the existing process group; call this before it loads or starts anything."""
    import deepspeed

    deepspeed.init_distributed(dist_init_required=False, verbose=False)


def start_engine(
    model: nn.Module, groups: Sequence[Mapping[str, Any]], optimizer: Optimizer, config: Mapping[str, Any]
) -> Any:
    """Wrap a model in DeepSpeed's engine.

    Args:
        model: The model, with the weights that are not trained frozen.
        groups: Parameter groups for AdamW.
        optimizer: AdamW's settings.
        config: DeepSpeed's configuration.
    """
    import deepspeed

    adam = torch.optim.AdamW(
        [dict(group) for group in groups], lr=optimizer.lr, betas=optimizer.betas, eps=optimizer.eps, fused=True
    )
    # DeepSpeed also prints its use of memory
    with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
        engine, *_ = deepspeed.initialize(model=model, optimizer=adam, config=dict(config))
    return engine
