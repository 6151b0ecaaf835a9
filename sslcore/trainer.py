"""The loop: batches through a pipeline, an optimizer step each, checkpoints on the way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from sslcore.batches import Batch, Batches
from sslcore.checkpoint import Checkpoint, save_checkpoint
from sslcore.collapse import read_signals
from sslcore.device import autocast
from sslcore.errors import InterruptedRun, TrainingError, UsageError
from sslcore.generators import seed_generators
from sslcore.interface import ENGINE_SIGNALS
from sslcore.metrics import LogLine
from sslcore.optimizers import find_optimizer, learning_rate_factor, teacher_momentum
from sslcore.pipeline import Pipeline, Signals
from sslcore.random import BatchRandom
from sslcore.recipe import Recipe
from sslcore.stopping import stop_requests


class Observer(Protocol):
    """What is told how training goes."""

    def advanced(self, step: int) -> None:
        """A step is done."""

    def logged(self, line: LogLine) -> None:
        """A log step is done."""


class Trainer:
    """Trains a pipeline by a recipe.

    Args:
        recipe: what decides the result.
        pipeline: the stages, on the device.
        batches: the data, by step.
        device: where to train.
        precision: "fp32", "bf16" or "fp16".
        checkpoints: the folder for checkpoints.
    """

    def __init__(
        self,
        recipe: Recipe,
        pipeline: Pipeline,
        batches: Batches,
        device: torch.device,
        precision: str,
        checkpoints: Path,
    ) -> None:
        self.recipe, self.training = recipe, recipe.training
        self.pipeline, self.batches, self.device = pipeline, batches, device
        self.precision, self.checkpoints = precision, checkpoints
        self.parameters = pipeline.trainable()
        if not self.parameters:
            raise TrainingError("there is nothing to train: no stage has trainable parameters")
        _, optimizer = find_optimizer(recipe.optimizer)
        try:
            self.optimizer = optimizer(self.parameters, **recipe.optimizer_settings)
        except Exception as error:
            raise UsageError(f"optimizer {recipe.optimizer}: {error}") from error
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.steps_per_epoch = batches.steps_per_epoch
        self.total_steps = self.training.epochs * self.steps_per_epoch
        self.warmup_steps = round(self.training.warmup_epochs * self.steps_per_epoch)
        self.step = 0
        self._go_on = ""
        self._saved: int | None = None
        self._between_steps = True
        self._losses: list[Tensor] = []
        self._recent: deque[Tensor] = deque(maxlen=5)
        seed_generators(self.training.seed, device)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        checkpoint.restore(self.pipeline, self.optimizer)
        if self.scaler.is_enabled() and checkpoint.scalars.get("scaler"):
            self.scaler.load_state_dict(checkpoint.scalars["scaler"])
        self.step = self._saved = checkpoint.step
        self._losses = [loss.to(self.device) for loss in checkpoint.losses]

    def train(self, observer: Observer, *, go_on: str = "") -> None:
        """Train up to the last step and save.

        Whatever ends it between two steps, save a second Ctrl-C, finds the last step saved. What
        strikes within a step leaves half of it done, and costs the steps since the last checkpoint.

        Args:
            observer: is told how it goes.
            go_on: the command that resumes this run, for the messages.

        Raises:
            InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; a checkpoint was saved.
            TrainingError: the loss is not finite, memory ran out, or the images can't be read.
        """
        self._go_on = go_on
        self.pipeline.train()
        with stop_requests() as stopped:
            try:
                self._train(observer, stopped)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self._rescue()
                if _is_of_a_reader(error):
                    raise self._unreadable(error) from error
                raise
        self._save_once()

    def _train(self, observer: Observer, stopped: Callable[[], bool]) -> None:
        since, started = self.step, time.perf_counter()
        batches = self.batches.between(self.step, self.total_steps)
        while (batch := self._next(batches)) is not None:
            self._between_steps = False
            signals = self._guarded(self._train_step, batch)
            self.step = batch.step + 1
            self._between_steps = True
            observer.advanced(self.step)
            if self.step % self.training.log_every == 0 or self.step == self.total_steps:
                elapsed = time.perf_counter() - started
                observer.logged(self._log_line(signals, (self.step - since) / elapsed))
                # Only now: a line that could not be written must not take its losses along.
                self._losses.clear()
                since, started = self.step, time.perf_counter()
            if self.step % self.training.checkpoint_every == 0:
                self.save()
            if stopped():
                self._save_once()
                raise InterruptedRun(
                    f"stopped and saved after step {self.step} of {self.total_steps}; "
                    f"go on with: {self._go_on}"
                )

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        """Return the next batch, or None after the last."""
        try:
            return next(batches, None)
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory(self.step) from error
        except OSError as error:
            self._rescue()
            raise self._unreadable(error) from error

    def save(self) -> None:
        """Write a checkpoint."""
        save_checkpoint(
            self.checkpoints,
            self.step,
            self.pipeline,
            self.optimizer,
            self.scaler.state_dict(),
            self._losses,
        )
        self._saved = self.step

    def _save_once(self) -> None:
        if self._saved != self.step:
            self.save()

    def _rescue(self) -> None:
        """Save if the state is that of a whole step; what ended training matters more than this."""
        if self._between_steps:
            with suppress(Exception):
                self._save_once()

    def _train_step(self, batch: Batch) -> Signals:
        progress = batch.step / self.total_steps
        factor = learning_rate_factor(
            batch.step,
            total=self.total_steps,
            warmup=self.warmup_steps,
            schedule=self.training.schedule,
        )
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)
        signals = self.pipeline(
            batch.images,
            random=BatchRandom(
                self.training.seed, batch.step, len(batch.images), device=self.device
            ),
            progress=progress,
            labels=batch.labels,
            precision=autocast(self.precision, self.device),
        )
        loss = signals["loss"]
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        self._check_finite(batch.step, loss.detach())
        self._move(batch.step)
        self.scaler.update()
        teacher = self.recipe.teacher
        if teacher is not None:
            self.pipeline.update_teacher(teacher_momentum(teacher, batch.step, self.total_steps))
        self._losses.append(loss.detach())
        self._recent.append(loss.detach())
        return signals

    def _move(self, step: int) -> None:
        try:
            self.scaler.step(self.optimizer)
        except (RuntimeError, TypeError, ArithmeticError) as error:
            if isinstance(error, torch.OutOfMemoryError) or _is_of_a_reader(error):
                raise
            raise TrainingError(
                f"optimizer {self.recipe.optimizer} failed at step {step + 1}: "
                f"{_last_line(error)}; its settings are {dict(self.recipe.optimizer_settings)}"
            ) from error

    def _check_finite(self, step: int, loss: Tensor) -> None:
        """Clip gradients; stop before the weights change if the loss or one is not finite."""
        gradients = [item.grad for item in self.parameters if item.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        limit = self.training.clip_grad_norm
        if limit is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, limit, norm)
        # With fp16 the scaler skips a step whose scaled gradient overflowed and halves the scale;
        # that is no failure until there is nothing left to halve.
        skips = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        watched = loss if skips else loss + norm.to(loss.device)
        if bool(torch.isfinite(watched)):
            return
        what = "gradient" if bool(torch.isfinite(loss)) else "loss"
        last = ", ".join(f"{float(item):.4g}" for item in self._recent) or "none before it"
        rate = self.optimizer.param_groups[0]["lr"]
        raise TrainingError(
            f"the {what} is not finite at step {step + 1} (last losses: {last}); the weights are "
            f"as they were before it. Try a lower rate (--set optimizer.lr={rate / 10:.2g}), "
            "--set training.clip_grad_norm=1, a warm-up (--set training.warmup_epochs=5)"
            + ("" if self.precision == "fp32" else ", or --precision fp32")
        )

    def _guarded(self, run: Callable[[Batch], Signals], batch: Batch) -> Signals:
        try:
            return run(batch)
        except ValueError as error:
            raise UsageError(
                f"a part refused the batch of step {batch.step + 1} "
                f"({len(batch.images)} images): {error}"
            ) from error
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory(batch.step) from error

    def _unreadable(self, error: BaseException) -> TrainingError:
        saved = "nothing is saved yet" if self._saved is None else f"step {self._saved} is saved"
        alone = " --workers 0" if self.batches.workers else ""
        return TrainingError(
            f"the images of step {self.step + 1} can't be read: {_last_line(error)}; {saved}, "
            f"go on with: {self._go_on}{alone}"
        )

    def _out_of_memory(self, step: int) -> TrainingError:
        size = self.training.batch_size
        return TrainingError(
            f"{self.device} ran out of memory at step {step + 1} with batches of {size}; "
            f"try --batch-size {max(1, size // 2)}, --precision bf16 or a smaller encoder"
        )

    def _log_line(self, signals: Signals, steps_per_second: float) -> LogLine:
        return LogLine(
            step=self.step,
            epoch=self.step / self.steps_per_epoch,
            loss=float(torch.stack(self._losses).mean()),
            learning_rate=self.optimizer.param_groups[0]["lr"],
            images_per_second=steps_per_second * self.training.batch_size,
            reading=read_signals(signals),
            numbers={
                name: float(item)
                for name, item in signals.items()
                if name != "loss" and name not in ENGINE_SIGNALS and _is_number(item)
            },
        )


def _is_number(item: object) -> bool:
    return isinstance(item, (int, float)) or (isinstance(item, Tensor) and item.dim() == 0)


def _is_of_a_reader(error: BaseException) -> bool:
    """Whether a process that reads images has died: torch has no exception of its own for that."""
    return isinstance(error, RuntimeError) and "DataLoader worker" in str(error)


def _last_line(error: BaseException) -> str:
    """Return what an error says; one that came from another process brings its traceback along."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
