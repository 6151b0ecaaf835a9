"""A recipe with its data loaded and its pipeline built, ready to train or to evaluate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from sslcore.compute.device import pick_precision
from sslcore.compute.processes import ALONE, Processes
from sslcore.contract.interface import load_reference
from sslcore.data import Data
from sslcore.data.batches import Batches, largest_batch
from sslcore.data.labelled import with_classes
from sslcore.errors import RunFolderError, TrainingError
from sslcore.evaluation.evaluate import Table, evaluate
from sslcore.evaluation.suitable import REMEDIES, images_used, obstacle
from sslcore.evaluation.table import verdict
from sslcore.pipeline.build import ImageShape, build_pipeline
from sslcore.pipeline.initial_weights import Weights, digest
from sslcore.pipeline.pipeline import Pipeline
from sslcore.recipe.recipe import OBJECT_PART, Part, Recipe, settings_by_name
from sslcore.recipe.toml import plain
from sslcore.runs.about import about_encoder
from sslcore.runs.checkpoint import Checkpoint
from sslcore.runs.folder import METRICS, Run
from sslcore.runs.metrics import Metrics, now, read_metrics
from sslcore.runs.scores import Details
from sslcore.runs.status import recorded
from sslcore.system.watching import watched
from sslcore.training.initial import initial_weights, kept_weights
from sslcore.training.monitor import Monitor, check_monitoring, fast_evaluators, restore_best
from sslcore.training.opening import name_of, open_images
from sslcore.training.progress import ProgressDisplay, Silence
from sslcore.training.statistics import normalized_by_data
from sslcore.training.teacher import with_teacher
from sslcore.training.trackers import Trackers
from sslcore.training.trainer import Trainer

if TYPE_CHECKING:
    from rich.console import Console

#: From the side of the images, px, to the recipe for them, and notes for the user.
Settle = Callable[[int], tuple[Recipe, tuple[str, ...]]]


@dataclass(frozen=True)
class Session:
    """A recipe with its data and pipeline.

    Attributes:
        recipe: the recipe.
        data: the images.
        shape: shape of the images that the pipeline was built for.
        pipeline: the stages, with their initial weights.
        initial: weights that the run began with in place of drawn ones; see `build_pipeline`.
        taught: weights of its own that the teacher's encoder began with.
        shrunk: whether the batch size is less than the recipe's, which had more than the data.
        device: where to compute.
        console: where notes and warnings are printed.
        processes: the processes that train together, seen from this one.
    """

    recipe: Recipe
    data: Data
    shape: ImageShape
    pipeline: Pipeline
    device: torch.device
    console: Console
    processes: Processes = ALONE
    initial: Weights = field(default_factory=dict)
    taught: Weights = field(default_factory=dict)
    shrunk: bool = False

    @classmethod
    def prepare(
        cls,
        recipe: Recipe,
        *,
        device: torch.device,
        console: Console,
        shape: ImageShape | None = None,
        processes: Processes = ALONE,
        run: Run | None = None,
        shrink: bool = False,
        settle: Settle | None = None,
    ) -> Session:
        """Load the data and build the pipeline.

        A recipe with initial weights, of the student or the teacher, is returned with their hash.

        Args:
            recipe: the recipe.
            device: where to compute.
            console: where notes and warnings are printed.
            shape: shape of the images to build for; that of the data by default.
            processes: the processes that train together.
            run: the run of this recipe, which keeps its initial weights; None for a new run.
            shrink: whether a batch size that exceeds the training images becomes one that fits.
            settle: returns recipe and notes for images of a side, px, in place of `recipe`.

        Raises:
            UsageError: the data or the initial weights can't be read, or the parts don't fit
                together.
        """
        with processes.local_main_first(), watched(console, "preparing images") as watch:
            data, recipe = open_images(recipe, watch)
        for note in data.notes:
            console.print(f"note: {note}")
        if settle is not None:
            settled, notes = settle(data.train.image_size)
            recipe = replace(settled, data=recipe.data, eval_data=recipe.eval_data)
            for note in notes:
                console.print(f"note: {note}")
        if run is None and recipe.data.settings.get("statistics") is True:
            recipe, note = normalized_by_data(recipe, data)
            console.print(f"note: {note}")
        shrunk = shrink and recipe.training.batch_size > len(data.train)
        if shrunk:
            batch_size = largest_batch(len(data.train), processes.count)
            recipe = replace(recipe, training=replace(recipe.training, batch_size=batch_size))
        if run is not None and (classes := run.class_names()):
            data = with_classes(data, classes)
        shape = shape or ImageShape.of(data.train, len(data.classes) or None)
        recipe, taught = with_teacher(recipe, shape, run, console, data.train)
        initial: Weights = {}
        if recipe.init is not None and run is not None:
            initial = kept_weights(run, recipe.init)
        elif recipe.init is not None:
            # What fits is found in a pipeline of drawn weights.
            initial = initial_weights(
                recipe.init, build_pipeline(recipe, shape, train=data.train), console
            )
            recipe = replace(recipe, init=replace(recipe.init, sha256=digest(initial)))
        pipeline = build_pipeline(recipe, shape, initial, train=data.train, teacher=taught)
        for note in _notes(recipe, pipeline):
            console.print(f"note: {note}")
        pipeline = _on(device, pipeline)
        return cls(
            recipe, data, shape, pipeline, device, console, processes, initial, taught, shrunk
        )

    def untrained(self) -> Pipeline:
        """Return the pipeline with its initial weights and without a teacher, on the device."""
        made = build_pipeline(
            self.recipe, self.shape, self.initial, train=self.data.train, teacher=self.taught
        )
        made.teacher = None
        return _on(self.device, made)

    @property
    def pretrained(self) -> bool:
        """Whether the encoder begins with trained weights."""
        own = getattr(self.pipeline.encoder, "pretrained", False)
        init = self.recipe.init
        # Weights of objects are those of all parts, and the encoder may have been drawn.
        return bool(own or (init is not None and init.part != OBJECT_PART))

    def trainer(self, run: Run, *, compile: bool, workers: int | None) -> Trainer:
        """Return a trainer at step 0.

        Raises:
            UsageError: a batch is larger than the data, or the processes can't share it evenly.
        """
        training = self.recipe.training
        batches = Batches(
            self.data.train,
            training.batch_size,
            training.seed,
            self.device,
            labels=self.pipeline.supervised,
            given=self.pipeline.wanted(),
            workers=workers,
            share=self.processes.share(training.batch_size),
            boxing=getattr(self.pipeline.augmentation, "boxes", None),
        )
        if compile:
            self.pipeline.encoder.compile()
            if self.pipeline.head is not None:
                self.pipeline.head.compile()
        precision = pick_precision(training.precision, self.device)
        evaluators = self._evaluators()
        check_monitoring(training, evaluators)
        trainer = Trainer(
            self.recipe,
            self.pipeline,
            batches,
            self.device,
            precision,
            run.checkpoints,
            self.processes,
        )
        if training.evaluate_every is not None:
            trainer.monitor = Monitor(
                training,
                fast_evaluators(evaluators),
                self.data,
                self.pipeline,
                self.untrained,
                self.device,
                run,
                total=trainer.total_steps,
                per_epoch=trainer.steps_per_epoch,
                main=self.processes.is_main,
            )
        return trainer

    def train(
        self,
        trainer: Trainer,
        run: Run,
        checkpoint: Checkpoint | None = None,
        *,
        time_limit: float | None = None,
        trackers: Trackers | None = None,
    ) -> int:
        """Train to the end, write the encoder, and return the step of its weights.

        Args:
            trainer: the trainer of this session.
            run: the run's folder.
            checkpoint: the state to go on from.
            time_limit: seconds after which training stops as after Ctrl-C; None for no limit.
            trackers: are told what happens.

        Raises:
            InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; a checkpoint was saved.
            TrainingError: training had to stop, or its results can't be written.
        """
        if checkpoint is not None:
            for skipped in checkpoint.skipped:
                self.console.print(f"note: {skipped}; going on from step {checkpoint.step}")
            trainer.resume(checkpoint)
        recipe = self.recipe
        size = f"{recipe.training.batch_size}"
        if self.shrunk:
            size += f" (batch size {size}, since there are {len(self.data.train)} images)"
        shared = f" in {self.processes.count} processes" if self.processes.several else ""
        images = f"{len(self.data.train):,} {self.shape}"
        # The images of `--eval-data` have a note of their own.
        if self.data.test is not None and recipe.eval_data is None:
            images += f", {len(self.data.test):,} test images"
        self.console.print(
            f"{recipe.method} on {recipe.data.name}: {images}, "
            f"{trainer.total_steps:,} steps of {size}, {self.device}"
            f"{shared}, "
            f"{trainer.precision} → {run.path}"
        )
        go_on = f"sslcore train --resume {run.path}"
        if not self.processes.is_main:
            trainer.train(Silence(), go_on=go_on, time_limit=time_limit)
            return trainer.step
        metrics = Metrics(run.path / METRICS, upto=trainer.step)
        display = ProgressDisplay(
            self.console,
            metrics,
            step=trainer.step,
            total=trainer.total_steps,
            epochs=recipe.training.epochs,
            trackers=trackers,
        )
        display.trackers.warn = display.warn
        display.trackers.started(run.path, settings_by_name(recipe.to_dict()), trainer.step)
        monitor = trainer.monitor
        if monitor is not None:
            monitor.resume(read_metrics(run.path / METRICS))
            monitor.record, monitor.warn = display.evaluated, display.warn
        with recorded(run.path):
            try:
                with display:
                    trainer.train(display, go_on=go_on, time_limit=time_limit)
                if monitor is not None and trainer.step < trainer.total_steps:
                    self.console.print(
                        f"note: stopped early after step {trainer.step} of {trainer.total_steps}: "
                        f"no improvement in {recipe.training.patience} evaluations"
                    )
                step = trainer.step
                if recipe.training.keep == "best":
                    step = restore_best(self.pipeline, run) or step
                    self.console.print(
                        f"note: the encoder has the best weights, those of step {step}"
                    )
                run.write_encoder(
                    self.pipeline.encoder,
                    about_encoder(
                        recipe,
                        self.shape,
                        self.pipeline.feature_dim,
                        data=self.data_name,
                        step=step,
                    ),
                )
            except RunFolderError as error:
                # The folder was writable at the start, so this is a full disk and no usage error.
                raise TrainingError(f"{error}; go on with: {go_on}") from error
        return step

    def evaluate(self, *, step: int | None = None) -> tuple[Table, Details]:
        """Evaluate the pipeline and its baselines; an empty table if no evaluator can run.

        Args:
            step: the step whose weights the pipeline has, for the details.

        Returns:
            The figures, and by metric how it was measured.
        """
        evaluators = self._evaluators()
        for note in self.left_out():
            self.console.print(f"note: {note}")
        if not evaluators:
            return {}, {}
        untrained = self.untrained()
        with self.console.status("evaluating"):
            table, owners = evaluate(
                evaluators,
                self.pipeline,
                untrained,
                self.data,
                device=self.device,
                seed=self.recipe.training.seed,
                warn=lambda text: self.console.print(f"warning: {text}", style="bold yellow"),
            )
        measured = {
            "data": name_of(self.recipe.eval_data or self.recipe.data),
            "seed": self.recipe.training.seed,
            "step": step,
            "date": now(),
        }
        if self.pretrained:
            measured["pretrained"] = True
        details = {
            name: {
                "evaluator": part.address,
                "settings": plain(part.settings),
                **images_used(load_reference(part.build), self.data),
                **measured,
            }
            for name, part in owners.items()
        }
        warning = verdict(table, details)
        if warning:
            self.console.print(f"warning: {warning}", style="bold yellow")
        return table, details

    @property
    def data_name(self) -> str:
        """The name of the data set, or the path of the folder that it opens."""
        return name_of(self.recipe.data)

    def left_out(self) -> list[str]:
        """Return a sentence for each reason why evaluators can't run on this data."""
        found: dict[str, list[str]] = {}
        for part, why in self._obstacles():
            found.setdefault(why, []).append(part.name)
        return [
            f"{why}, so these evaluators are left out: {', '.join(names)}; {REMEDIES[why]}"
            for why, names in found.items()
            if why
        ]

    def _evaluators(self) -> tuple[Part, ...]:
        """Return the evaluators that can run on this data."""
        return tuple(part for part, why in self._obstacles() if not why)

    def _obstacles(self) -> list[tuple[Part, str]]:
        """Return the evaluators, each with what keeps it from running; empty if nothing does."""
        return [
            (part, obstacle(load_reference(part.build), self.data))
            for part in self.recipe.evaluators
        ]


def _notes(recipe: Recipe, pipeline: Pipeline) -> list[str]:
    """Return the notes of the parts, by their attribute `notes`, and of the warm-up; sentences."""
    parts = (recipe.augmentation, recipe.encoder, recipe.head, recipe.loss)
    modules = (pipeline.augmentation, pipeline.encoder, pipeline.head, pipeline.loss)
    found = []
    for part, module in zip(parts, modules, strict=True):
        notes = getattr(module, "notes", ())
        if part is not None and isinstance(notes, (tuple, list)):
            found += [f"{part.name}: {note}" for note in notes]
    training = recipe.training
    if training.epochs < training.warmup_epochs:
        found.append(
            f"training.epochs={training.epochs} is less than training.warmup_epochs="
            f"{training.warmup_epochs:g}, so the learning rate does not reach its full value; use "
            "--set training.warmup_epochs=1, or more epochs"
        )
    return found


def _on(device: torch.device, pipeline: Pipeline) -> Pipeline:
    return pipeline.to(device).to(memory_format=torch.channels_last)
