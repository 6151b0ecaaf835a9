"""Evaluation during training: fast evaluators, the best weights so far, and an early stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from sslcore.compute.rng_state import preserved_generators
from sslcore.contract.interface import load_reference
from sslcore.data import Data
from sslcore.data.sample import sample
from sslcore.errors import RunFolderError, UsageError, nearest
from sslcore.evaluation.evaluate import ENCODER, RANDOM_INIT, evaluate
from sslcore.evaluation.table import sign_of
from sslcore.runs.folder import BEST
from sslcore.runs.metrics import TRAINED, UNTRAINED, Line
from sslcore.runs.weights import read_weights, step_of, write_weights

if TYPE_CHECKING:
    import torch

    from sslcore.pipeline.pipeline import Pipeline
    from sslcore.recipe.recipe import Part, Training
    from sslcore.runs.folder import Run

#: Images that figures during training are measured on, at the most.
_FIT, _TEST = 5000, 1000


def fast_evaluators(evaluators: Sequence[Part]) -> tuple[Part, ...]:
    """Return the evaluators whose class says `fast = True`."""
    return tuple(part for part in evaluators if getattr(load_reference(part.build), "fast", False))


def check_monitoring(training: Training, evaluators: Sequence[Part]) -> None:
    """Refuse settings that evaluation during training can't follow.

    Raises:
        UsageError: the best weights are asked for without evaluation, or no evaluator is fast.
    """
    if training.evaluate_every is None:
        for name, wanted in (("keep", training.keep == "best"), ("patience", training.patience)):
            if wanted:
                raise UsageError(
                    f"training.{name}: it needs figures during training; set "
                    "training.evaluate_every to a number of epochs"
                )
    elif not fast_evaluators(evaluators):
        names = ", ".join(part.name for part in evaluators) or "no evaluator"
        raise UsageError(
            f"training.evaluate_every: {names} can't run during training on this data; choose an "
            "--evaluator whose class says fast = True, and data with labels if it needs them"
        )


def restore_best(pipeline: Pipeline, run: Run) -> int | None:
    """Load the best weights of a run into encoder and head, if there are any.

    Returns:
        The step after which the modules had these weights; None where there are none.

    Raises:
        RunFolderError: the file is damaged or belongs to another recipe.
    """
    try:
        weights = read_weights(run.path / BEST)
        _represented_by(pipeline).load_state_dict(weights)
    except FileNotFoundError:
        return None
    except RuntimeError as error:
        raise RunFolderError(f"{run.path / BEST} does not fit the recipe") from error
    return step_of(run.path / BEST)


def _represented_by(pipeline: Pipeline) -> nn.ModuleDict:
    """Return the modules whose weights are kept: encoder and head."""
    modules: dict[str, nn.Module] = {"encoder": pipeline.encoder}
    if pipeline.head is not None:
        modules["head"] = pipeline.head
    return nn.ModuleDict(modules)


class Monitor:
    """Evaluates every few steps, keeps the best weights and says when to stop early.

    Training is not changed: the modules are put back into training mode, and random generators
    are restored.

    Args:
        training: the settings of training.
        evaluators: the evaluators that run.
        data: the images; a sample of them is used.
        pipeline: the pipeline in training.
        untrained: makes the pipeline with its initial weights.
        device: where to compute.
        run: the run's folder, for the best weights.
        total: steps of the run.
        per_epoch: steps of an epoch.
        main: whether this process evaluates; the others only know when it does.
    """

    def __init__(
        self,
        training: Training,
        evaluators: Sequence[Part],
        data: Data,
        pipeline: Pipeline,
        untrained: Callable[[], Pipeline],
        device: torch.device,
        run: Run,
        *,
        total: int,
        per_epoch: int,
        main: bool,
    ) -> None:
        assert training.evaluate_every is not None
        self.training, self.evaluators = training, tuple(evaluators)
        self.pipeline, self._untrained, self.device, self.run = pipeline, untrained, device, run
        self.total, self.main = total, main
        self.every = max(1, round(training.evaluate_every * per_epoch))
        self._data = data
        self._sample: Data | None = None
        self._before: Mapping[str, float] = {}
        self._best: float | None = None
        self._since = 0
        self._warned = False
        #: Called with the step and its figures by name.
        self.record: Callable[[int, Mapping[str, float]], object] = lambda step, figures: None
        self.warn: Callable[[str], object] = lambda text: None

    def due(self, step: int) -> bool:
        """Whether figures are measured after this step."""
        return step % self.every == 0 or step == self.total

    def resume(self, lines: Sequence[Line]) -> None:
        """Take up what was measured before, from the lines of metrics.jsonl."""
        for line in lines:
            trained = {
                name.removeprefix(TRAINED): value
                for name, value in line.items()
                if name.startswith(TRAINED)
            }
            if trained:
                self._judge(trained)

    @property
    def exhausted(self) -> bool:
        """Whether the figure has not improved for as long as `training.patience` allows."""
        patience = self.training.patience
        return patience is not None and self._since >= patience

    def __call__(self, step: int) -> bool:
        """Evaluate, record the figures, keep the best weights; return whether to stop."""
        if not self.main:
            return False
        with preserved_generators(self.device):
            figures = self._evaluate()
        self.pipeline.train()
        named = {f"{TRAINED}{name}": value for name, value in figures.items()}
        named |= {f"{UNTRAINED}{name}": value for name, value in self._before.items()}
        # The weights come first: a run that is killed in between measures this step again.
        if self._judge(figures) and self.training.keep == "best":
            write_weights(self.run.path / BEST, _represented_by(self.pipeline), step=step)
        self.record(step, named)
        self._warn_if_worse(step, figures)
        return self.exhausted

    def _evaluate(self) -> dict[str, float]:
        data = self._data
        if self._sample is None:
            self._sample = Data(
                sample(data.train, 2),
                None if data.test is None else sample(data.test, _TEST),
                sample(data.fit, _FIT),
                data.classes,
            )
            self._before = self._figures(RANDOM_INIT, self._untrained())
        return self._figures(ENCODER, self.pipeline)

    def _figures(self, column: str, pipeline: Pipeline) -> dict[str, float]:
        assert self._sample is not None
        table, _ = evaluate(
            self.evaluators,
            pipeline,
            pipeline,
            self._sample,
            device=self.device,
            seed=self.training.seed,
            warn=self.warn,
            columns=(column,),
        )
        return table.get(column, {})

    def _judge(self, figures: Mapping[str, float]) -> bool:
        """Count the figure that decides; return whether it is the best so far."""
        name = self.training.monitor or next(iter(figures))
        if name not in figures:
            raise UsageError(
                f"training.monitor: no evaluator measures {name!r} during training"
                f"{nearest(name, figures)}; there is {', '.join(figures)}"
            )
        value = figures[name]
        # JSON has null for a number that is not finite.
        value = math.nan if value is None else sign_of(name) * value
        if not math.isnan(value) and (self._best is None or value > self._best):
            self._best, self._since = value, 0
            return True
        self._since += 1
        return False

    def _warn_if_worse(self, step: int, figures: Mapping[str, float]) -> None:
        worse = [
            name
            for name, value in figures.items()
            if not name.endswith("_std")
            and name in self._before
            and sign_of(name) * (value - self._before[name]) < 0
        ]
        if worse and not self._warned:
            shown = ", ".join(
                f"{name} {figures[name]:.3f} (untrained {self._before[name]:.3f})" for name in worse
            )
            self.warn(f"step {step}: the encoder is worse than before training: {shown}")
        self._warned = bool(worse)
