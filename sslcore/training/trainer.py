"""The training loop: a step of the optimizer for each batch, log lines and checkpoints."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from sslcore.compute.device import is_out_of_memory
from sslcore.compute.processes import ALONE, Processes, is_lost_process_error
from sslcore.compute.rng_state import seed_generators
from sslcore.data.batches import Batch, Batches
from sslcore.errors import DataError, InterruptedRun, TrainingError, UsageError
from sslcore.pipeline.pipeline import Pipeline, Signals
from sslcore.random import generator_for
from sslcore.recipe.recipe import Recipe
from sslcore.runs.checkpoint import Checkpoint
from sslcore.runs.metrics import LogLine
from sslcore.training import messages
from sslcore.training.finiteness import FiniteCheck
from sslcore.training.gradients import Gradients
from sslcore.training.log_line import log_line
from sslcore.training.moments import Moments
from sslcore.training.monitor import Monitor
from sslcore.training.optimizer import ScheduledOptimizer
from sslcore.training.progress import Observer
from sslcore.training.schedules import teacher_momentum
from sslcore.training.state import TrainingState
from sslcore.training.stop_requests import stop_requests

#: Images for checks of the pipeline before training.
_SAMPLE = 4


class Trainer:
    """Trains a pipeline according to a recipe.

    Args:
        recipe: the recipe.
        pipeline: the stages, on the device.
        batches: the training images, by step.
        device: where to train.
        precision: "fp32", "bf16" or "fp16".
        checkpoints: the folder of the checkpoints.
        processes: the processes that share the batches.

    Raises:
        UsageError: the optimizer refuses its settings, the processes can't share a batch evenly, or
            micro-batches change the result.
        TrainingError: no stage has trainable parameters.
    """

    def __init__(
        self,
        recipe: Recipe,
        pipeline: Pipeline,
        batches: Batches,
        device: torch.device,
        precision: str,
        checkpoints: Path,
        processes: Processes = ALONE,
    ) -> None:
        self.recipe, self.training = recipe, recipe.training
        self.pipeline, self.batches, self.device = pipeline, batches, device
        self.precision, self.checkpoints, self.processes = precision, checkpoints, processes
        self.parameters = pipeline.trainable()
        if not self.parameters:
            raise TrainingError("there is nothing to train: no stage has trainable parameters")
        self.steps_per_epoch = batches.steps_per_epoch
        self.total_steps = self.training.epochs * self.steps_per_epoch
        self.scheduled = ScheduledOptimizer(
            recipe, pipeline, total=self.total_steps, per_epoch=self.steps_per_epoch
        )
        self.optimizer = self.scheduled.optimizer
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
        self.state = TrainingState(pipeline, self.optimizer, self.scaler, device)
        sample = batches.first(_SAMPLE)
        self.gradients = Gradients(
            pipeline,
            self.training,
            device,
            precision,
            self.scaler,
            sample,
            processes,
            total_steps=self.total_steps,
        )
        seed = self.training.seed
        self.moments = Moments(pipeline, batches.split, seed, device, processes)
        # A gradient scaler makes the host wait for the device in any case.
        fused = bool(self.optimizer.defaults.get("fused"))
        later = device.type == "cuda" and fused and not self.scaler.is_enabled()
        self.finite = FiniteCheck(self.optimizer, later=later)
        #: Evaluates during training; None does not.
        self.monitor: Monitor | None = None
        self._go_on = ""
        self._saved: int | None = None
        self._between_steps = True
        self._recent: deque[Tensor] = deque(maxlen=5)
        seed_generators(self.training.seed, device)

    @property
    def step(self) -> int:
        """Number of steps done."""
        return self.state.step

    def resume(self, checkpoint: Checkpoint) -> None:
        """Restore the state of training from a checkpoint.

        Raises:
            RunFolderError: the checkpoint belongs to other modules.
        """
        self.state.restore(checkpoint)
        self._saved = checkpoint.step

    def train(
        self, observer: Observer, *, go_on: str = "", time_limit: float | None = None
    ) -> None:
        """Train up to the last step and save.

        If an error ends training between two steps, the last step is saved. An error within a step
        leaves that step half done, so the steps since the last checkpoint are lost. A second Ctrl-C
        ends training without saving.

        Args:
            observer: is notified of each step and log line.
            go_on: the command that resumes this run, for messages.
            time_limit: seconds after which training stops as after Ctrl-C; None for no limit.

        Raises:
            InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; a checkpoint was saved.
            LostProcessError: another process of this run exited.
            TrainingError: the loss is not finite, memory ran out, or the images can't be read.
            UsageError: a part refused a batch.
        """
        self._go_on = go_on
        self.pipeline.train()
        self.scheduled.for_training()
        ends = math.inf if time_limit is None else time.monotonic() + time_limit
        with stop_requests() as stopped:
            try:
                self._train(observer, lambda: stopped() or time.monotonic() > ends)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                self._rescue()
                if messages.is_reader_error(error):
                    raise self._unreadable(error) from error
                if self.processes.several and is_lost_process_error(error):
                    saved = messages.how_to_go_on(self._saved, self._go_on)
                    # The main process may have saved a later step before it exited.
                    known = saved if self.processes.is_main else f"go on with: {self._go_on}"
                    raise messages.lost_process(known) from error
                raise
        if self.scheduled.for_evaluation():
            # The checkpoint of the last step gets the weights that count.
            self.save()
        self._save_once()

    def _train(self, observer: Observer, stopped: Callable[[], bool]) -> None:
        if self.monitor is not None and self.processes.any(self.monitor.exhausted):
            # A run that was resumed after it had stopped early.
            return
        since, started = self.step, time.perf_counter()
        batches = self.batches.between(self.step, self.total_steps)
        while (batch := self._next(batches)) is not None:
            self._between_steps = False
            signals = self._guarded(self.train_step, batch)
            self.state.step = batch.step + 1
            self._between_steps = True
            observer.advanced(self.step)
            if self.step % self.training.log_every == 0 or self.step == self.total_steps:
                elapsed = time.perf_counter() - started
                observer.logged(self._log_line(signals, (self.step - since) / elapsed))
                # After the line: if it can't be written, the checkpoint must still hold its losses.
                self.state.losses.clear()
                since, started = self.step, time.perf_counter()
            if self.step % self.training.checkpoint_every == 0:
                self.save()
            if self._stops_early():
                return
            if self.processes.any(stopped()):
                self._save_once()
                raise InterruptedRun(
                    f"stopped and saved after step {self.step} of {self.total_steps}; "
                    f"go on with: {self._go_on}"
                )

    def _stops_early(self) -> bool:
        """Evaluate where that is due, and return whether training ends before its last step."""
        if self.monitor is None or not self.monitor.due(self.step):
            return False
        # Figures of weights that are not finite would be those of a broken step.
        self.finite.settle()
        self.scheduled.for_evaluation()
        stops = self.processes.any(self.monitor(self.step)) and self.step < self.total_steps
        self.scheduled.for_training()
        return stops

    def _next(self, batches: Iterator[Batch]) -> Batch | None:
        """Return the next batch, or None after the last."""
        try:
            return next(batches, None)
        except (OSError, DataError) as error:
            self._rescue()
            raise self._unreadable(error) from error
        except Exception as error:
            if is_out_of_memory(error):
                raise self._out_of_memory("images") from error
            raise

    def save(self) -> None:
        """Write a checkpoint in the main process, after checking that the last step is finite."""
        self.finite.settle()
        if self.processes.is_main:
            self.state.save(self.checkpoints)
        self._saved = self.step

    def _save_once(self) -> None:
        if self._saved != self.step:
            self.save()

    def _rescue(self) -> None:
        """Save unless a step is half done; an error here must not hide the one before it."""
        if self._between_steps:
            with suppress(Exception):
                self._save_once()

    def train_step(self, batch: Batch) -> Signals:
        """Train on one batch and return its signals, without graphs.

        Raises:
            TrainingError: loss or gradient is not finite, or the optimizer fails.
        """
        progress = batch.step / self.total_steps
        epoch, later = divmod(batch.step, self.steps_per_epoch)
        if not later:
            self.moments.epoch_started(epoch)
        self.scheduled.set_rates(batch.step)
        self.optimizer.zero_grad(set_to_none=True)
        if self.processes.several:
            # Dropout must differ between processes, and must not change when the run is resumed.
            self._seed_model(batch.step)
        signals = self.gradients(batch, progress)
        loss = signals["loss"]
        self.scaler.unscale_(self.optimizer)
        self._check_finite(batch.step, loss)
        self.scheduled.drop_frozen(batch.step)
        self._move(batch.step)
        self.scaler.update()
        self.moments.after_step(batch.step, progress)
        teacher = self.recipe.teacher
        if teacher is not None:
            way = self.scheduled.momentum_way
            momentum = teacher_momentum(teacher, batch.step, self.total_steps, way)
            self.pipeline.update_teacher(momentum)
        self.state.losses.append(loss)
        self._recent.append(loss)
        return signals

    def _seed_model(self, step: int) -> None:
        key = (self.training.seed, "model", step, self.processes.rank)
        seed_generators(generator_for(*key).initial_seed(), self.device)

    def _move(self, step: int) -> None:
        try:
            self.scaler.step(self.optimizer)
        except (RuntimeError, TypeError, ArithmeticError) as error:
            if is_out_of_memory(error) or messages.is_reader_error(error):
                raise
            raise messages.optimizer_failed(error, step, self.recipe) from error

    def _check_finite(self, step: int, loss: Tensor) -> None:
        """Clip gradients; raise before the weights move if the loss or a gradient is not finite."""
        gradients = [item.grad for item in self.parameters if item.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        limit = self.training.clip_grad_norm
        if limit is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, limit, norm)
        # With fp16, the scaler skips a step whose scaled gradient overflows, and halves the scale.
        # This is not an error until the scale reaches 1.
        skips = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        watched = loss if skips else loss + norm.to(loss.device)
        recent, rate = list(self._recent), self.scheduled.rate
        self.finite(
            watched,
            loss,
            lambda what: messages.not_finite(what, step, recent, rate, self.precision),
        )

    def _guarded(self, run: Callable[[Batch], Signals], batch: Batch) -> Signals:
        try:
            return run(batch)
        except ValueError as error:
            raise UsageError(
                f"a part refused the batch of step {batch.step + 1} "
                f"({len(batch.images)} images): {error}"
            ) from error
        except Exception as error:
            if is_out_of_memory(error):
                raise self._out_of_memory(self.pipeline.at) from error
            raise

    def _unreadable(self, error: BaseException) -> TrainingError:
        alone = " --workers 0" if self.batches.workers else ""
        saved = messages.how_to_go_on(self._saved, f"{self._go_on}{alone}")
        return messages.unreadable(error, self.step, saved)

    def _out_of_memory(self, what: str) -> TrainingError:
        return messages.out_of_memory(
            what,
            self.step,
            self.recipe,
            self.device,
            self.precision,
            messages.how_to_go_on(self._saved, self._go_on),
        )

    def _log_line(self, signals: Signals, steps_per_second: float) -> LogLine:
        self.finite.settle()
        return log_line(
            signals,
            self.processes,
            step=self.step,
            epoch=self.step / self.steps_per_epoch,
            loss=float(torch.stack(self.state.losses).mean()),
            learning_rate=self.scheduled.rate,
            images_per_second=steps_per_second * self.training.batch_size,
        )
