"""The loop: batches through a pipeline, an optimizer step each, checkpoints on the way."""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor

from sslcore.batches import Batch, Batches
from sslcore.checkpoint import Checkpoint, save_checkpoint
from sslcore.collapse import Reading, read_signals
from sslcore.device import autocast
from sslcore.errors import InterruptedRun, TrainingError, UsageError
from sslcore.optimizers import find_optimizer, learning_rate_factor, teacher_momentum
from sslcore.pipeline import Pipeline, Signals
from sslcore.random import BatchRandom
from sslcore.recipe import Recipe


@dataclass(frozen=True)
class LogLine:
    """What is told of a log step: the mean loss since the last one, and readings of this one."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    images_per_second: float
    reading: Reading | None
    numbers: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a line of metrics.jsonl."""
        line: dict[str, Any] = {
            "step": self.step,
            "epoch": round(self.epoch, 4),
            "loss": self.loss,
            "lr": self.learning_rate,
            "images_per_s": round(self.images_per_second, 1),
        }
        if self.reading is not None:
            line["read"] = self.reading.signal
            line["std"] = self.reading.std
            line["effective_rank"] = self.reading.effective_rank
        return line | self.numbers


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
        except (ValueError, TypeError) as error:
            raise UsageError(f"optimizer {recipe.optimizer}: {error}") from error
        self.base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.steps_per_epoch = batches.steps_per_epoch
        self.total_steps = self.training.epochs * self.steps_per_epoch
        self.warmup_steps = round(self.training.warmup_epochs * self.steps_per_epoch)
        self.step = 0
        self._losses: list[Tensor] = []
        self._recent: deque[Tensor] = deque(maxlen=5)
        torch.manual_seed(self.training.seed)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        checkpoint.restore(self.pipeline, self.optimizer)
        if self.scaler.is_enabled() and checkpoint.scalars.get("scaler"):
            self.scaler.load_state_dict(checkpoint.scalars["scaler"])
        self.step = checkpoint.step

    def train(self, observer: Observer, *, go_on: str = "") -> None:
        """Train up to the last step and save.

        Args:
            observer: is told how it goes.
            go_on: the command that resumes this run, for the messages.

        Raises:
            InterruptedRun: Ctrl-C or SIGTERM; a checkpoint was saved.
            TrainingError: the loss is not finite, or memory ran out.
        """
        self.pipeline.train()
        saved, since, started = self.step, self.step, time.perf_counter()
        with _stop_requests() as stopped:
            for batch in self.batches.between(self.step, self.total_steps):
                signals = self._guarded(self._train_step, batch)
                self.step = batch.step + 1
                observer.advanced(self.step)
                if self.step % self.training.log_every == 0 or self.step == self.total_steps:
                    elapsed = time.perf_counter() - started
                    observer.logged(self._log_line(signals, (self.step - since) / elapsed))
                    since, started = self.step, time.perf_counter()
                if self.step % self.training.checkpoint_every == 0:
                    self.save()
                    saved = self.step
                if stopped():
                    if saved != self.step:
                        self.save()
                    raise InterruptedRun(
                        f"stopped and saved after step {self.step} of {self.total_steps}; "
                        f"go on with: {go_on}"
                    )
        if saved != self.total_steps or self.step == 0:
            self.save()

    def save(self) -> None:
        """Write a checkpoint."""
        save_checkpoint(
            self.checkpoints,
            self.step,
            self.pipeline,
            self.optimizer,
            self.scaler.state_dict(),
        )

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
        self.scaler.step(self.optimizer)
        self.scaler.update()
        teacher = self.recipe.teacher
        if teacher is not None:
            self.pipeline.update_teacher(
                teacher_momentum(progress, teacher.momentum, teacher.final_momentum)
            )
        self._losses.append(loss.detach())
        self._recent.append(loss.detach())
        return signals

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
            size = self.training.batch_size
            raise TrainingError(
                f"{self.device} ran out of memory at step {batch.step + 1} with batches of {size}; "
                f"try --batch-size {max(1, size // 2)}, --precision bf16 or a smaller encoder"
            ) from error

    def _log_line(self, signals: Signals, steps_per_second: float) -> LogLine:
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        return LogLine(
            step=self.step,
            epoch=self.step / self.steps_per_epoch,
            loss=loss,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            images_per_second=steps_per_second * self.training.batch_size,
            reading=read_signals(signals),
            numbers={
                name: float(item)
                for name, item in signals.items()
                if name != "loss" and isinstance(item, Tensor) and item.dim() == 0
            },
        )


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM into a question that the loop asks after each step.

    A second Ctrl-C is not waited with: it interrupts at once.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may handle signals; elsewhere nothing can be asked.
        yield asked.is_set
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
