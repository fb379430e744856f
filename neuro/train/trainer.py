"""What one call of `fit` does, step by step."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from neuro.errors import ConfigError, FileError
from neuro.io.safe import read_json, write_json
from neuro.train import checkpoint as ckpt
from neuro.train.callbacks import Callback, TrainState
from neuro.train.engine import Engine, LossModule
from neuro.train.feed import Feed, Source
from neuro.train.interrupts import Interrupts, leave
from neuro.train.lamb import Lamb
from neuro.train.order import Order, make_generator, step_seed
from neuro.train.progress import ProgressBar
from neuro.train.run import CHECKPOINTS, METRICS, MetricsLog, Run, TrainingError
from neuro.train.settings import (
    Arguments,
    check_same,
    describe_contract,
    describe_data,
    describe_model,
    versions,
)
from neuro.train.stages import parameter_groups, pick_stage, prepared

__all__ = ["Trainer"]

# nn.Module's __getattr__ types every unknown attribute as Tensor | Module, so
# methods of the protocol are taken with getattr.


class Trainer:
    """One call of `fit`."""

    def __init__(
        self,
        model: nn.Module,
        train: Source,
        valid: Source | None,
        arguments: Arguments,
        folder: Path,
        device: str,
    ) -> None:
        self.arguments, self.folder = arguments, folder
        self.schedule = arguments.make_schedule()
        # DDP must be told; a layer that some steps do not use would stop it.
        unused = not getattr(model, "every_parameter_used", False)
        self.engine = Engine(device, arguments.precision, arguments.shard, unused)
        self.order = Order(
            len(train),
            arguments.batch_size,
            arguments.seed,
            self.engine.rank,
            self.engine.world,
            arguments.accumulate,
        )
        self.given = model
        self.model = self.engine.working_copy(model)
        self.stage = pick_stage(self.model, arguments.stage)
        self.train, self.valid = train, valid
        self.data = {
            "train": describe_data(train),
            "valid": None if valid is None else describe_data(valid),
        }
        self.callbacks: list[Callback] = list(arguments.callbacks)
        self.state = TrainState(self.model, folder, arguments.steps)
        self.best: dict[str, Any] | None = None
        self.saved: int | None = None
        self.wall_s = 0.0
        self._history = list(getattr(model, "provenance", {}).get("training", []))
        self._sums: dict[str, float] = {}
        self._counted, self._busy_s = 0, 0.0

    # ---- the run ------------------------------------------------------------

    def run(self, resume: Literal["auto"] | bool, progress: bool) -> Run:
        """Everything from the folder's check to its last line."""
        found = self._open(resume)
        whole = self.arguments.stage is None
        gpus = [self.engine.device] if self.engine.device.type == "cuda" else []
        with prepared(self.model, self.stage, whole), torch.random.fork_rng(devices=gpus):
            if found is not None:
                self._take_up(*found)
            elif not self._history:
                self._prepare()
            self.model.to(self.engine.device)
            if not self.state.stop and self.state.step < self.arguments.steps:
                self._start(None if found is None else found[1])
                self._loop(progress)
        return Run(self.folder, self.given, self.state.stop)

    def _open(self, resume: Literal["auto"] | bool) -> tuple[int, Path] | None:
        """Check the folder against this call; write what describes the run."""
        config = {
            "format": "neuro-run",
            "arguments": self.arguments.to_json(self.schedule),
            "processes": self.engine.world,
            "model": describe_model(self.model),
            "contract": describe_contract(self.model),
        }
        compared = {
            name: None if part is None else {k: part.get(k) for k in ("examples", "sha256")}
            for name, part in self.data.items()
        }
        now = json.loads(json.dumps({**config, "data": compared}))
        digest = hashlib.sha256(json.dumps(now, sort_keys=True).encode()).hexdigest()
        self.engine.agree(digest, "settings of the run")
        found = self._find(resume, now)
        self.engine.wait()  # all have looked before one changes anything
        if self.engine.main:
            ckpt.sweep(self.folder / CHECKPOINTS)
            write_json(self.folder / "config.json", now)
            write_json(self.folder / "contract.json", config["contract"])
            write_json(self.folder / "versions.json", versions(self.engine.device.type))
            write_json(self.folder / "data.json", self.data)
        self.engine.wait()
        return found

    def _find(self, resume: Literal["auto"] | bool, now: dict[str, Any]) -> tuple[int, Path] | None:
        """Checkpoint to start from, if `resume` and the settings allow it."""
        description = self.folder / "config.json"
        found = ckpt.latest(self.folder / CHECKPOINTS)
        if resume is False and (found is not None or description.is_file()):
            raise ConfigError(
                f"resume=False, but {self.folder.name!r} holds a run already. Give another `out`, "
                "or delete that folder if the run is not needed."
            )
        if resume is True and found is None:
            raise ConfigError(
                f"resume=True, but {self.folder.name!r} holds no complete checkpoint. Check `out`, "
                "or use resume='auto' to start a new run."
            )
        if found is not None:
            if not description.is_file():
                raise FileError(
                    f"{self.folder.name!r} holds checkpoints but no config.json; the run cannot "
                    "be resumed. Give another `out`."
                )
            check_same(
                read_json(description),
                now,
                done=found[0],
                schedule=self.schedule,
                hooked=callable(getattr(self.model, "on_step", None)),
            )
        return found

    def _prepare(self) -> None:
        """What a model that was never trained takes from its data before the first step."""
        hook = getattr(self.model, "prepare", None)
        if callable(hook):
            hook(self.train, self.arguments.seed)

    def _take_up(self, step: int, path: Path) -> None:
        """Weights and counters of a checkpoint."""
        getattr(self.model, "load_weights")(path / ckpt.MODEL)  # noqa: B009
        if self.given is not self.model:
            getattr(self.given, "load_weights")(path / ckpt.MODEL)  # noqa: B009
        kept = read_json(path / ckpt.STATE)
        self.state.step, self.saved = step, step
        self.state.stop = str(kept["stopped"])
        self.state.valid = {k: math.nan if v is None else v for k, v in kept["valid"].items()}
        self.best, self.wall_s = kept["best"], float(kept["wall_s"])
        for callback, content in zip(self.callbacks, kept["callbacks"], strict=True):
            callback.load_state_dict(content)

    def _start(self, path: Path | None) -> None:
        """Wrap the model for its processes, make the optimiser and the readers."""
        a = self.arguments
        self.wrapped = self.engine.wrap(self.model, self.stage.loss)
        groups = parameter_groups(self.model, a.lr, a.weight_decay)
        kind = Lamb if a.optimizer == "lamb" else torch.optim.AdamW
        self.optimizer: torch.optim.Optimizer = kind(groups)
        self.trained: list[nn.Parameter] = [p for g in groups for p in g["params"]]
        self.names: dict[Tensor, str] = {p: n for n, p in self.model.named_parameters()}
        if path is not None:
            ckpt.load_optimizer(self.optimizer, self.names, path)
        todo = range(self.state.step, a.steps)
        self.feed = Feed(self.train, self.order, todo, self.engine.device, a.num_workers)

    def _loop(self, progress: bool) -> None:
        a, state = self.arguments, self.state
        if progress and self.engine.main:
            self.callbacks.append(ProgressBar())
        self.log = MetricsLog(self.folder / METRICS, state.step) if self.engine.main else None
        self.stage.set_mode(self.model)
        try:
            self._call(Callback.on_start)
            number, began = 0, time.perf_counter()
            with Interrupts() as signals:
                while state.step < a.steps and not (number or state.stop):
                    self._step(state.step)
                    now = time.perf_counter()
                    self.wall_s, began = self.wall_s + now - began, now
                    number = self._after_step(signals)
            if number:
                leave(number, self._interrupted())
        finally:
            self._call(Callback.on_end)
            self.feed.close()
            if self.log is not None:
                self.log.close()

    def _call(self, hook: Callable[[Callback, TrainState], None]) -> None:
        for callback in self.callbacks:
            getattr(callback, hook.__name__)(self.state)

    # ---- one step -----------------------------------------------------------

    def _step(self, step: int) -> None:
        """Forward, backward, clip, check, update."""
        a, engine = self.arguments, self.engine
        began = time.perf_counter()
        factor = self.schedule(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        hook = getattr(self.model, "on_step", None)
        if callable(hook):
            hook(step, a.steps)
        # Dropout draws from the global stream; seeded by step it needs no saving.
        engine.seed(step_seed(a.seed, "global", step, engine.rank))
        engine.share_buffers(self.model)
        names, values = self._backward(step)
        norm = ckpt.whole(
            nn.utils.clip_grad_norm_(self.trained, math.inf if a.clip is None else a.clip)
        )
        self.feed.read_ahead()
        *means, self.state.grad_norm = torch.cat(
            [engine.mean(values), norm.reshape(1).to(values)]
        ).tolist()
        figures = dict(zip(names, means, strict=True))
        self.state.loss, self.state.lr = figures["loss"], a.lr * factor
        if not (math.isfinite(self.state.loss) and math.isfinite(self.state.grad_norm)):
            raise TrainingError(self._diverged(step))
        self._call(Callback.on_gradients)
        self.optimizer.step()
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._counted += 1
        self._busy_s += time.perf_counter() - began
        self.state.step = step + 1

    def _backward(self, step: int) -> tuple[list[str], Tensor]:
        """Gradients of all parts of a step; names and means of the loss's scalars."""
        a = self.arguments
        generator = make_generator(a.seed, "loss", step, self.engine.rank)
        self.optimizer.zero_grad(set_to_none=True)
        total: Tensor | None = None
        names: list[str] = []
        for part in range(a.accumulate):
            batch = next(self.feed)
            with self.engine.accumulating(self.wrapped, last=part == a.accumulate - 1):
                out = self.wrapped(batch, generator)
                if not out["loss"].requires_grad:
                    raise ConfigError(
                        f"{type(self.model).__name__}.{self.stage.loss} returned a loss that "
                        "depends on no parameter that learns."
                    )
                (out["loss"] / a.accumulate).backward()
            values = torch.stack([v.detach() for v in out.values()]) / a.accumulate
            total = values if total is None else total + values
            names = list(out)
        assert total is not None  # accumulate is at least 1
        return names, total

    # ---- after a step -------------------------------------------------------

    def _after_step(self, signals: Interrupts) -> int:
        """Validate, tell the callbacks, log, save; the signal to leave on, or 0."""
        a, state = self.arguments, self.state
        done = state.step == a.steps
        improved = False
        self._call(Callback.on_step)
        if self.valid is not None and (done or state.step % a.valid_period == 0):
            improved = self._validate(self.valid)
            self._call(Callback.on_valid)
        # 1 stands for a callback's wish; every signal has a larger number.
        code = self.engine.largest(max(signals.number, int(bool(state.stop))))
        number = code if code > 1 else 0
        if code == 1 and not state.stop:
            state.stop = "a callback of another process"
        last = done or code > 0
        save = last or improved or state.step % a.checkpoint_period == 0
        if save or state.step % a.log_every == 0:
            self._log_interval()
        if save:
            self._save()
        return number

    def _validate(self, valid: Source) -> bool:
        """Mean loss over all of `valid`, into the state; True if it is the best so far."""
        engine, size = self.engine, self.order.micro_size
        parts = math.ceil(len(valid) / size)
        inner: Any = self.wrapped
        runner = inner if isinstance(inner, LossModule) else inner.module
        self.model.eval()
        names: list[str] = []
        total: Tensor | None = None
        with torch.no_grad():
            # Every process makes the same number of passes, as sharding needs.
            for turn in range(math.ceil(parts / engine.world)):
                k = turn * engine.world + engine.rank
                first = size * (k if k < parts else 0)
                rows = np.arange(first, min(first + size, len(valid)))
                batch = engine.to_device(valid.batch(rows))
                out = runner(batch, make_generator(self.arguments.seed, "valid", k))
                names, weight = list(out), float(len(rows) if k < parts else 0)
                values = torch.stack([*out.values(), torch.ones_like(out["loss"])]) * weight
                total = values if total is None else total + values
        self.stage.set_mode(self.model)
        assert total is not None  # valid is not empty
        *sums, count = engine.total(total).tolist()
        self.state.valid = {f"valid_{n}": s / count for n, s in zip(names, sums, strict=True)}
        self._write({"step": self.state.step, **self.state.valid})
        loss = self.state.valid["valid_loss"]
        if math.isfinite(loss) and (self.best is None or loss < self.best["valid_loss"]):
            self.best = {"step": self.state.step, "valid_loss": loss}
            return True
        return False

    def _log_interval(self) -> None:
        """One line: means since the last one."""
        if not self._counted:
            return
        speed = self._counted * self.arguments.batch_size / max(self._busy_s, 1e-9)
        figures = {name: value / self._counted for name, value in self._sums.items()}
        rest = {
            "lr": self.state.lr,
            "grad_norm": self.state.grad_norm,
            "samples_per_s": round(speed, 2),
            "wall_s": round(self.wall_s, 3),
        }
        self._write({"step": self.state.step, **figures, **rest})
        self._sums, self._counted, self._busy_s = {}, 0, 0.0

    def _write(self, line: dict[str, Any]) -> None:
        if self.log is not None:
            finite = {k: v if math.isfinite(v) else None for k, v in line.items()}
            self.log.write(finite)

    def _save(self) -> None:
        """One checkpoint; all processes together, one writes."""
        a, state = self.arguments, self.state
        tensors = ckpt.optimizer_tensors(self.optimizer, self.names)
        self.engine.pull(self.model, self.given)
        if hasattr(self.given, "provenance"):
            entry = {"step": state.step, "data": self.data, **a.provenance()}
            before = dict(getattr(self.given, "provenance"))  # noqa: B009
            provenance = {**before, "training": [*self._history, entry]}
            setattr(self.given, "provenance", provenance)  # noqa: B010
        if self.engine.main and self.log is not None:
            self.log.sync()
            ckpt.write_checkpoint(
                self.folder / CHECKPOINTS,
                state.step,
                save_model=getattr(self.given, "save"),  # noqa: B009
                tensors=tensors,
                state={
                    "step": state.step,
                    "stopped": state.stop,
                    "wall_s": self.wall_s,
                    "best": self.best,
                    "valid": state.valid,
                    "callbacks": [c.state_dict() for c in a.callbacks],
                },
                data=self.data,
            )
            best = None if self.best is None else int(self.best["step"])
            ckpt.prune(self.folder / CHECKPOINTS, a.keep, best)
        self.saved = state.step
        self.engine.wait()

    # ---- messages -----------------------------------------------------------

    def _interrupted(self) -> str:
        return (
            f"Training stopped at step {self.state.step} of {self.arguments.steps}; the "
            "checkpoint is written. Call fit again with the same arguments to go on."
        )

    def _diverged(self, step: int) -> str:
        rows = ", ".join(map(str, self.order.share(step, 0)[:8].tolist()))
        good = "none yet" if self.saved is None else f"step {self.saved}"
        return (
            f"Step {step + 1}: the loss is {self.state.loss:g} and its gradient's norm "
            f"{self.state.grad_norm:g}, so the weights were not changed. Last good checkpoint: "
            f"{good} (folder {CHECKPOINTS}). Try a smaller lr (it was {self.state.lr:g}), a longer "
            f"warmup, a smaller clip (it was {self.arguments.clip}), or precision='no'; and look "
            f"at the data: train.batch([{rows}, ...]) is what this step read first."
        )
