"""All use of DeepSpeed's unpromised names: trained weights in fp32 with AdamW's state, the gradient norm, loss scale.

A checkpoint must not depend on ranks or on the ZeRO stage, so weights and running means are read and written whole,
parameter by parameter, under the model's own names. DeepSpeed keeps them in different places: in the parameter
(stage 0), in flat partitions of many parameters (stages 1 and 2), in a partition of each parameter (stage 3). Its
public ``safe_get_*`` and ``safe_set_*`` functions cover most of that. These names are not public:

- ``fp32_partitioned_groups_flat``, ``single_partition_of_fp32_groups``, ``fp32_groups_flat_partition``: the tensors
  that AdamW steps. Its state for them has to exist before a checkpoint can be loaded into a new engine.
- ``bit16_groups``, ``bf16_groups`` and ``lazy_init_hp_params_optimizer_state``: DeepSpeed links flat partitions to
  their running means after the first parameter group was stepped, and never again, so that those of further groups
  cannot be found. They are linked anew here.
- ``ds_id``, ``ds_shape``, ``ds_numel``: a parameter that stage 3 has partitioned.
- ``_global_grad_norm`` and the fields of the loss scaler.

Tested with DeepSpeed 0.19; ``pyproject.toml`` caps it below 0.20, as any release may rename them.

DeepSpeed's universal checkpoint cannot replace this: it reads pickles (``torch.load(weights_only=False)``), needs a
conversion of every checkpoint by a second program before another world size can load it, leaves out stage 0, and at
stage 3 gives the settings of the first parameter group to all groups. ``torch.distributed.checkpoint`` needs to be
told which part of which parameter a rank's flat tensor holds, which are the names above; its metadata is a pickle.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

#: AdamW's running means
MEANS = ("exp_avg", "exp_avg_sq")
#: attributes of a dynamic loss scale
_SCALE = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")
#: attributes with the tensors that AdamW steps: stage 3, stages 1 and 2, and DeepSpeed's BF16_Optimizer
_FLAT_PARTITIONS = ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups", "fp32_groups_flat_partition")


def is_partitioned(parameter: Any) -> bool:
    """Tell whether stage 3 has partitioned a parameter."""
    return hasattr(parameter, "ds_id")


def full_shape(parameter: Any) -> tuple[int, ...]:
    """Return the shape of a parameter, also of one that stage 3 has partitioned."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def full_size(parameter: Any) -> int:
    """Return the number of elements of a parameter, also of one that stage 3 has partitioned."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def grad_norm_before_step(engine: Any) -> float | None:
    """Return the norm of the gradient where DeepSpeed does not report it after the step: at stage 0."""
    if hasattr(engine.optimizer, "_global_grad_norm"):
        return None
    parameters = [weight for group in engine.optimizer.param_groups for weight in group["params"]]
    return float(torch.nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None]))


class MasterWeights:
    """Trained weights in fp32 with AdamW's running means, whole, whatever the ZeRO stage.

    Args:
        engine: DeepSpeed's engine.
    """

    def __init__(self, engine: Any) -> None:
        # imported here: deepspeed is slow to import, and logs
        from deepspeed import utils

        self._deepspeed_utils: Any = utils
        self._engine = engine
        self._optimizer = engine.optimizer
        #: torch's AdamW itself
        self._adamw = getattr(self._optimizer, "optimizer", self._optimizer)
        self._parameters: dict[str, nn.Parameter] = {
            name: parameter for name, parameter in engine.module.named_parameters() if parameter.requires_grad
        }
        #: stage 0: AdamW steps the parameters themselves
        self._own = dict(self._parameters) if self._optimizer is self._adamw else {}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all trained weights, the same on every rank."""
        return {name: full_shape(parameter) for name, parameter in self._parameters.items()}

    def read(self, name: str) -> dict[str, Tensor]:
        """Gather a weight and its running means; all ranks must call this together.

        Returns:
            ``weight``, ``exp_avg`` and ``exp_avg_sq`` in fp32 on the CPU; the means are 0 before the first step.
        """
        weight, means = self._gather(name)
        assert weight is not None
        values = {"weight": weight, **{key: torch.zeros_like(weight) if m is None else m for key, m in means.items()}}
        shape = self.shapes[name]
        return {key: value.float().cpu().reshape(shape).clone() for key, value in values.items()}

    def _gather(self, name: str) -> tuple[Tensor, dict[str, Tensor | None]]:
        parameter, access = self._parameters[name], self._deepspeed_utils
        if name in self._own:
            state = self._adamw.state.get(self._own[name], {})
            return self._own[name].detach(), {key: state.get(key) for key in MEANS}
        if not self._has_state():
            return access.safe_get_full_fp32_param(parameter), dict.fromkeys(MEANS)
        self._link()
        means = {key: access.safe_get_full_optimizer_state(parameter, key) for key in MEANS}
        return access.safe_get_full_fp32_param(parameter), means

    def begin_state(self, num_steps: int) -> None:
        """Create AdamW's state as it is after so many steps, with means of 0; :meth:`write` then fills it."""
        for master in self._masters():
            self._adamw.state[master] = {
                "step": torch.tensor(float(num_steps), device=master.device),
                **{key: torch.zeros_like(master, memory_format=torch.preserve_format) for key in MEANS},
            }
        self._link()

    def write(self, name: str, values: Mapping[str, Tensor]) -> None:
        """Set a weight and its running means; all ranks must call this together, with the same values."""
        parameter, access = self._parameters[name], self._deepspeed_utils
        on_device = {key: value.to(self._engine.device) for key, value in values.items()}
        if name in self._own:
            self._write_own(self._own[name], on_device)
            return
        if is_partitioned(parameter):
            self._write_partition(parameter, on_device)
        else:
            access.safe_set_full_fp32_param(parameter, on_device["weight"])
            for key in MEANS:
                access.safe_set_full_optimizer_state(parameter, on_device[key], key)
        self._write_working_copy(parameter, on_device["weight"])

    def _write_own(self, master: nn.Parameter, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            master.copy_(values["weight"])
        for key in MEANS:
            self._adamw.state[master][key].copy_(values[key])

    def _write_partition(self, parameter: nn.Parameter, values: Mapping[str, Tensor]) -> None:
        """Set this rank's partition of a weight of stage 3; DeepSpeed's own function fails on padded partitions."""
        access = self._deepspeed_utils
        size = access.safe_get_local_fp32_param(parameter).numel()
        start = size * dist.get_rank()
        for key, value in values.items():
            partition = torch.zeros(size, device=value.device)
            mine = value.flatten()[start : start + size]
            partition[: len(mine)] = mine
            if key == "weight":
                access.safe_set_local_fp32_param(parameter, partition)
            else:
                access.safe_set_local_optimizer_state(parameter, partition, key)

    def _write_working_copy(self, parameter: nn.Parameter, weight: Tensor) -> None:
        """Set what the forward pass uses, which DeepSpeed copies from the fp32 weights only after the next step."""
        whole: AbstractContextManager[Any] = nullcontext()
        if is_partitioned(parameter):
            import deepspeed

            whole = deepspeed.zero.GatheredParameters([parameter], modifier_rank=0)
        with whole, torch.no_grad():
            parameter.copy_(weight)

    def loss_scale(self) -> dict[str, float]:
        """Return the state of the loss scale; empty without fp16."""
        scaler = getattr(self._optimizer, "loss_scaler", self._optimizer)
        return {key: getattr(scaler, key) for key in _SCALE if hasattr(scaler, key)}

    def set_loss_scale(self, state: Mapping[str, float]) -> None:
        """Restore the state of the loss scale."""
        scaler = getattr(self._optimizer, "loss_scaler", self._optimizer)
        for key, value in state.items():
            if hasattr(scaler, key):
                setattr(scaler, key, value)

    def _masters(self) -> Iterator[Tensor]:
        """List the tensors that AdamW steps."""
        if self._own:
            yield from self._own.values()
            return
        for attribute in _FLAT_PARTITIONS:
            yield from getattr(self._optimizer, attribute, ())

    def _has_state(self) -> bool:
        return all("exp_avg" in self._adamw.state.get(master, {}) for master in self._masters())

    def _link(self) -> None:
        """Link flat partitions to their running means (stages 1 and 2)."""
        optimizer = self._optimizer
        groups = getattr(optimizer, "bit16_groups", None) or getattr(optimizer, "bf16_groups", None)
        if self._own or groups is None or hasattr(optimizer, "fp32_partitioned_groups_flat"):
            return
        for parameters, master in zip(groups, self._masters(), strict=True):
            self._deepspeed_utils.lazy_init_hp_params_optimizer_state(parameters, master, self._adamw.state)
