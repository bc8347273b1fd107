"""The optimizer's own view of the trained weights: fp32 values and running means, whole, whatever the ZeRO stage.

DeepSpeed keeps them in different places: with the parameter (stage 0), in flat pieces of many parameters per rank
(stages 1 and 2), in pieces of each parameter (stage 3). Here they are read and written parameter by parameter, under
the model's own names, so that a checkpoint knows nothing of ranks and stages.

DeepSpeed 0.19 links the flat pieces of stages 1 and 2 to their running means after the first parameter group has been
stepped, and never again; those of further groups then cannot be found. So they are linked anew here.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

#: AdamW's running means
MEANS = ("exp_avg", "exp_avg_sq")
#: what a dynamic loss scale consists of
_SCALE = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


class MasterWeights:
    """Trained weights in fp32 with AdamW's state.

    Args:
        engine: DeepSpeed's engine.
    """

    def __init__(self, engine: Any) -> None:
        # deepspeed is heavy, and speaks when it is imported
        from deepspeed import utils

        self._fragments: Any = utils
        self._engine = engine
        self._optimizer = engine.optimizer
        #: torch's AdamW itself
        self._base = getattr(self._optimizer, "optimizer", self._optimizer)
        self._parameters: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in engine.module.named_parameters() if parameter.requires_grad
        }
        #: stage 0: the parameters are what AdamW works on
        self._own = dict(self._parameters) if self._optimizer is self._base else {}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all trained weights, the same on every rank."""
        return {name: tuple(getattr(p, "ds_shape", p.shape)) for name, p in self._parameters.items()}

    def read(self, name: str) -> dict[str, Tensor]:
        """Gather a weight and its running means from all ranks, which must call this together.

        Returns:
            ``weight``, ``exp_avg`` and ``exp_avg_sq`` in fp32, in the host's memory; means of 0 before the first step.
        """
        parameter = self._parameters[name]
        if name in self._own:
            master = self._own[name]
            state = self._base.state.get(master, {})
            found = {"weight": master.detach(), **{key: state.get(key) for key in MEANS}}
        elif self._has_state():
            self._link()
            means = {key: self._fragments.safe_get_full_optimizer_state(parameter, key) for key in MEANS}
            found = {"weight": self._fragments.safe_get_full_fp32_param(parameter), **means}
        else:
            found = {"weight": self._fragments.safe_get_full_fp32_param(parameter), **dict.fromkeys(MEANS)}
        shape = self.shapes[name]
        weight = found["weight"]
        assert weight is not None
        return {
            key: (torch.zeros_like(weight) if value is None else value).float().cpu().reshape(shape).clone()
            for key, value in found.items()
        }

    def begin_state(self, num_steps: int) -> None:
        """Make room for running means, as they are after so many steps; :meth:`write` then fills it."""
        for master in self._masters():
            self._base.state[master] = {
                "step": torch.tensor(float(num_steps), device=master.device),
                **{key: torch.zeros_like(master, memory_format=torch.preserve_format) for key in MEANS},
            }
        self._link()

    def write(self, name: str, values: Mapping[str, Tensor]) -> None:
        """Put a weight and its running means where they belong; every rank must call this with the same values."""
        parameter = self._parameters[name]
        placed = {key: value.to(self._engine.device) for key, value in values.items()}
        if name in self._own:
            master = self._own[name]
            with torch.no_grad():
                master.copy_(placed["weight"])
            for key in MEANS:
                self._base.state[master][key].copy_(placed[key])
            return
        if hasattr(parameter, "ds_id"):
            self._write_partition(parameter, placed)
        else:
            self._fragments.safe_set_full_fp32_param(parameter, placed["weight"])
            for key in MEANS:
                self._fragments.safe_set_full_optimizer_state(parameter, placed[key], key)
        self._write_working(parameter, placed["weight"])

    def _write_partition(self, parameter: nn.Parameter, values: Mapping[str, Tensor]) -> None:
        """Set this rank's piece of a weight of stage 3; DeepSpeed's own way fails where pieces are padded."""
        size = self._fragments.safe_get_local_fp32_param(parameter).numel()
        start = size * dist.get_rank()
        for key, value in values.items():
            piece = torch.zeros(size, device=value.device)
            mine = value.flatten()[start : start + size]
            piece[: len(mine)] = mine
            if key == "weight":
                self._fragments.safe_set_local_fp32_param(parameter, piece)
            else:
                self._fragments.safe_set_local_optimizer_state(parameter, piece, key)

    def _write_working(self, parameter: nn.Parameter, weight: Tensor) -> None:
        """Set what the forward pass uses, which DeepSpeed renews from the fp32 values at the next step only."""
        whole: AbstractContextManager[Any] = nullcontext()
        if hasattr(parameter, "ds_id"):
            import deepspeed

            whole = deepspeed.zero.GatheredParameters([parameter], modifier_rank=0)
        with whole, torch.no_grad():
            parameter.copy_(weight)

    def loss_scale(self) -> dict[str, float]:
        """Return the state of the loss scale; nothing without fp16."""
        holder = getattr(self._optimizer, "loss_scaler", self._optimizer)
        return {key: getattr(holder, key) for key in _SCALE if hasattr(holder, key)}

    def set_loss_scale(self, state: Mapping[str, float]) -> None:
        """Go on from a loss scale that was written down."""
        holder = getattr(self._optimizer, "loss_scaler", self._optimizer)
        for key, value in state.items():
            if hasattr(holder, key):
                setattr(holder, key, value)

    def _masters(self) -> Iterator[Tensor]:
        """List the tensors that AdamW has state for."""
        if self._own:
            yield from self._own.values()
            return
        for attribute in (
            "fp32_partitioned_groups_flat",
            "single_partition_of_fp32_groups",
            "fp32_groups_flat_partition",
        ):
            yield from getattr(self._optimizer, attribute, ())

    def _has_state(self) -> bool:
        return all("exp_avg" in self._base.state.get(master, {}) for master in self._masters())

    def _link(self) -> None:
        optimizer = self._optimizer
        groups = getattr(optimizer, "bit16_groups", None) or getattr(optimizer, "bf16_groups", None)
        if self._own or groups is None or hasattr(optimizer, "fp32_partitioned_groups_flat"):
            return
        for parameters, master in zip(groups, self._masters(), strict=True):
            self._fragments.lazy_init_hp_params_optimizer_state(parameters, master, self._base.state)
