"""Devices, processes and precision: a thin layer over accelerate."""

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from neuro.errors import ConfigError, did_you_mean
from neuro.train.checkpoint import whole

__all__ = ["Engine", "Precision"]

Precision = Literal["no", "bf16"]


class LossModule(nn.Module):
    """A model seen through its loss, because DDP and FSDP work on ``forward``."""

    def __init__(self, model: nn.Module, method: str, autocast: Any) -> None:
        super().__init__()
        self.model = model
        self.method = method
        self.autocast = autocast

    def forward(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Loss with its graph, and every other scalar without one."""
        with self.autocast():
            out = getattr(self.model, self.method)(batch, generator)
        return check_loss(out, f"{type(self.model).__name__}.{self.method}")


def check_loss(out: Any, where: str) -> dict[str, Tensor]:
    """Scalars of a loss dictionary, in float32, sorted; "loss" keeps its graph.

    Raises
    ------
    ConfigError
        If there is no scalar tensor under "loss".
    """
    loss = out.get("loss") if isinstance(out, Mapping) else None
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise ConfigError(
            f"{where} must return a dict with a scalar tensor under 'loss'; it returned "
            f"{type(out).__name__}{sorted(map(str, out)) if isinstance(out, Mapping) else ''}."
        )
    scalars = {"loss": (loss.sum() if loss.ndim else loss).float()}
    for name in sorted(map(str, out)):
        value = out[name]
        if name != "loss" and isinstance(value, Tensor) and value.numel() == 1:
            scalars[name] = value.detach().reshape(()).float()
    return scalars


class Engine:
    """Where the model runs and how processes agree.

    Parameters
    ----------
    device : {"auto", "cpu"}
        "auto" takes the accelerator accelerate finds.
    precision : {"no", "bf16"}
        "bf16" runs the forward pass under autocast; parameters stay float32.
    shard : bool
        Spread parameters, gradients and moments over the processes.
    unused : bool
        True if a step may leave parameters out of its loss.

    Raises
    ------
    ConfigError
        If an option is unknown, or fewer processes run than were launched.
    """

    def __init__(self, device: str, precision: str, shard: bool, unused: bool) -> None:
        if precision not in ("no", "bf16"):
            raise ConfigError(
                f"precision={precision!r} is unknown. {did_you_mean(precision, ('no', 'bf16'))}"
            )
        if device not in ("auto", "cpu"):
            raise ConfigError(
                f"device={device!r} is unknown. {did_you_mean(device, ('auto', 'cpu'))}"
            )
        self.shard, self.bf16 = shard, precision == "bf16"
        self.accelerator = _accelerator(device, unused)
        self.device: torch.device = self.accelerator.device
        self.rank = int(self.accelerator.process_index)
        self.world = int(self.accelerator.num_processes)
        kind = str(getattr(self.accelerator.distributed_type, "value", ""))
        if kind in ("DEEPSPEED", "FSDP", "MEGATRON_LM", "XLA"):
            raise ConfigError(
                f"This program was launched with accelerate's {kind} settings, which fit does not "
                "use: start it with torchrun, and give shard=True to spread the model."
            )
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if self.world != launched:
            raise ConfigError(
                f"{launched} processes were launched but {self.world} take part: an Accelerator "
                "was made earlier in this program with other settings. Call fit first, or make "
                "that one with Accelerator(cpu=True) where there is no GPU."
            )

    @property
    def main(self) -> bool:
        """True on the one process that writes."""
        return self.rank == 0

    def working_copy(self, model: nn.Module) -> nn.Module:
        """The model itself, or under sharding a copy: the given one stays whole."""
        return copy.deepcopy(model) if self.shard else model

    def wrap(self, model: nn.Module, method: str) -> nn.Module:
        """Model on its device behind a module whose forward is the loss.

        Under sharding its parameters are replaced in place.
        """
        runner = LossModule(model.to(self.device), method, self.autocast)
        if self.shard:
            self._shard(runner)
            return runner
        wrapped: nn.Module = self.accelerator.prepare_model(runner)
        return wrapped

    def _shard(self, runner: LossModule) -> None:
        from torch.distributed import is_initialized
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        if not is_initialized():
            raise ConfigError(
                "shard=True spreads a model over several processes: start the program with "
                "torchrun --nproc_per_node N, or leave shard out."
            )
        mesh = init_device_mesh(self.device.type, (self.world,))
        # Layers of a list are gathered one at a time; the rest with the whole model.
        for module in runner.modules():
            if isinstance(module, nn.ModuleList):
                for layer in module:
                    fully_shard(layer, mesh=mesh)
        fully_shard(runner, mesh=mesh)

    def autocast(self) -> torch.autocast:
        """Context of the forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def seed(self, number: int) -> None:
        """Seed the global streams the model may draw from, and no others.

        ``torch.manual_seed`` visits every kind of device: 2 ms a call.
        """
        torch.default_generator.manual_seed(number)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(number)

    def share_buffers(self, model: nn.Module) -> None:
        """Running statistics of the first process to all, as DDP does by itself."""
        if self.shard:
            from torch.distributed import broadcast

            for buffer in model.buffers():
                broadcast(buffer, 0)

    @contextmanager
    def accumulating(self, wrapped: nn.Module, last: bool) -> Iterator[None]:
        """Context of one part of a step; gradients are exchanged in the last one."""
        if self.shard:
            wrapped.set_requires_gradient_sync(last)  # type: ignore[operator]
        skip = not last and not self.shard
        with self.accelerator.no_sync(wrapped) if skip else nullcontext():
            yield

    def mean(self, values: Tensor) -> Tensor:
        """Mean over all processes."""
        return values if self.world == 1 else self._reduce(values, "mean")

    def total(self, values: Tensor) -> Tensor:
        """Sum over all processes."""
        return values if self.world == 1 else self._reduce(values, "sum")

    def _reduce(self, values: Tensor, how: str) -> Tensor:
        reduced: Tensor = self.accelerator.reduce(values, how)
        return reduced

    def largest(self, number: int) -> int:
        """Largest of all processes' numbers."""
        if self.world == 1:
            return number
        own = torch.tensor([number], device=self.device)
        return int(self.accelerator.gather(own).max())

    def agree(self, digest: str, what: str) -> None:
        """Raise ConfigError unless all processes hold the same digest."""
        if self.world == 1:
            return
        own = torch.tensor([int(digest[:15], 16)], device=self.device)
        every = self.accelerator.gather(own)
        if not bool((every == every[0]).all()):
            raise ConfigError(
                f"The processes disagree on the {what}: give every process the same arguments, "
                "data and model."
            )

    def to_device(self, batch: Any) -> Any:
        """A batch, or mapping of tensors, on the device."""
        return send_to_device(batch, self.device)

    def wait(self) -> None:
        """Until all processes are here."""
        self.accelerator.wait_for_everyone()

    def pull(self, source: nn.Module, target: nn.Module) -> None:
        """Copy sharded weights into the whole model; all processes together."""
        if source is target:
            return
        full = {k: whole(v).cpu() for k, v in source.state_dict().items()}
        target.load_state_dict(full)


def _accelerator(device: str, unused: bool) -> Any:
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    # Without cpu=True accelerate takes several CPU processes for one.
    cpu = device == "cpu" or not torch.accelerator.is_available()
    ddp = DistributedDataParallelKwargs(find_unused_parameters=unused)
    try:
        # Precision is ours: accelerate's is fixed for the life of the program.
        return Accelerator(mixed_precision="no", cpu=cpu, kwargs_handlers=[ddp])
    except ValueError as error:
        raise ConfigError(
            f"accelerate cannot be set up as asked (device={device!r}): {error}"
        ) from error
