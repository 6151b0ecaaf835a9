"""The method under test: resolved, built and trained for a few steps on a few images."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from sslcore.compute.rng_state import preserved_generators
from sslcore.contract.records import Method
from sslcore.errors import CompositionError, SslcoreError
from sslcore.pipeline.pipeline import Pipeline
from sslcore.recipe.recipe import Recipe
from sslcore.recipe.resolve import make_recipe
from sslcore.registry.loading import Entry, PluginStatus
from sslcore.registry.origin import Origin
from sslcore.registry.registry import Registry, default_registry
from sslcore.runs.checkpoint import load_checkpoint
from sslcore.runs.folder import Run
from sslcore.testing.parts.spec import MethodSpec
from sslcore.testing.parts.subject import PartSubject
from sslcore.testing.parts.tiny import CLIPS, IMAGES, dataset_with_extras, with_tiny_data
from sslcore.testing.violation import Violation, said
from sslcore.training.session import Session

#: Steps in a run.
STEPS = 3
_CPU = torch.device("cpu")


class _StoppedHere(Exception):
    """Ends training between two steps."""


@dataclass
class Trained:
    """The result of training.

    Attributes:
        pipeline: with its last weights.
        initial: its first weights and buffers, by name.
        losses: of each step.
        first: weights and buffers after the first step.
    """

    pipeline: Pipeline
    initial: dict[str, Tensor]
    losses: list[float] = field(default_factory=list)
    first: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class _Watch:
    """Records each step of a run; can stop the run after one step."""

    trained: Trained
    stop_after: int | None = None

    def advanced(self, step: int) -> None:
        if step == 1:
            self.trained.first = state_of(self.trained.pipeline)
        if step == self.stop_after:
            raise _StoppedHere

    def logged(self, line: Any) -> None:
        self.trained.losses.append(line.loss)


class MethodSubject(PartSubject):
    """A method, as the properties see it."""

    spec: MethodSpec
    #: The data set whose extras the images come with.
    _like: Entry | None = None

    @property
    def code(self) -> str:
        """Python code that trains it."""
        data = f"its images: {self.spec.channels} × {self.spec.image_size} px"
        return f"sslcore.train(…, settings={self._settings(0)!r})  # {data}"

    def registry(self) -> tuple[Registry, str]:
        """Return a registry with the method and small data sets, and the method's name there."""
        found = self.spec.registry or default_registry()
        made = self.guarded_of_errors(self.spec.make)
        if isinstance(made, str):
            record = found.resolve("method", made).record
            assert isinstance(record, Method)
            self._like = dataset_with_extras(found, record)
            return with_tiny_data(found, self._like), made
        if not isinstance(made, Method):
            raise Violation(f"make returned {type(made).__name__}, expected sslcore.Method")
        self._like = self.guarded_of_errors(lambda: dataset_with_extras(found, made))
        registry = with_tiny_data(found, self._like)
        origin = Origin("conformance", "sslcore-checked", "0")
        entry = Entry(made, origin)
        status = PluginStatus(origin, (entry,))
        return Registry([*registry.plugins, status]), entry.qualified

    def recipe(self, seed: int = 0) -> tuple[Recipe, Registry]:
        """Return the method's recipe for a few images, or for clips if it takes no images.

        Raises:
            Violation: a name is unknown, a setting is invalid, or parts are not compatible.
        """
        registry, name = self.registry()
        asked = {None: (IMAGES, CLIPS), False: (IMAGES,), True: (CLIPS,)}[self.spec.clips]
        for data in asked:
            try:
                recipe, _ = make_recipe(
                    name, data=data, settings=self._settings(seed), registry=registry
                )
                return recipe, registry
            except CompositionError as error:
                if data == asked[-1]:
                    raise Violation(f"its parts are not compatible: {error}") from error
            except SslcoreError as error:
                raise Violation(f"it can't be resolved: {error}") from error
        raise AssertionError("there is data of one kind at least")

    def _settings(self, seed: int) -> dict[str, dict[str, Any]]:
        spec = self.spec
        settings = {section: dict(values) for section, values in spec.settings.items()}
        settings["data"] = {
            "image_size": spec.image_size,
            "channels": spec.channels,
            "count": STEPS * spec.batch,
            **({} if self._like is None else {"extras_of": self._like.build}),
        }
        settings["training"] = {
            "epochs": 1,
            "batch_size": spec.batch,
            "precision": "fp32",
            "log_every": 1,
            "seed": seed,
            **settings.get("training", {}),
        }
        return settings

    def session(self, seed: int = 0) -> Session:
        """Return the method ready to train, on the CPU."""
        recipe, _ = self.recipe(seed)
        prepared: Session = self.guarded_of_errors(
            lambda: Session.prepare(recipe, device=_CPU, console=quiet())
        )
        return prepared

    @cached_property
    def trained(self) -> Trained:
        """The result of training with seed 0, shared by all properties that only read it."""
        return self.train()

    def train(self, *, seed: int = 0, interrupted: bool = False) -> Trained:
        """Train it for three steps and return the result.

        Args:
            seed: the seed of the run.
            interrupted: whether to stop after the first step, and to resume from the checkpoint in
                another pipeline.
        """
        with tempfile.TemporaryDirectory() as folder, preserved_generators(_CPU):
            trained = self._trained(Path(folder), seed, stop_after=1 if interrupted else None)
            if interrupted:
                # A resumed run starts in a new process with other random numbers.
                torch.default_generator.manual_seed(seed + 1000)
                trained = self._trained(Path(folder), seed, go_on=True)
        return trained

    def _trained(
        self, folder: Path, seed: int, *, stop_after: int | None = None, go_on: bool = False
    ) -> Trained:
        session, run = self.session(seed), Run(folder)
        run.checkpoints.mkdir(exist_ok=True)
        trained = Trained(session.pipeline, state_of(session.pipeline))

        def work() -> None:
            trainer = session.trainer(run, compile=False, workers=0)
            if go_on:
                trainer.resume(load_checkpoint(run.checkpoints))
            with suppress(_StoppedHere):
                trainer.train(_Watch(trained, stop_after))

        self.guarded_of_errors(work)
        return trained

    def guarded_of_errors(self, function: Callable[[], Any]) -> Any:
        """Return the result of a function; an error becomes a violation."""
        try:
            return self.limited(function, self.code)
        except Violation:
            raise
        except (Exception, SystemExit) as error:
            raise Violation(f"it raised {said(error)}", self.code) from error


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def quiet() -> Console:
    """Return a console without visible output."""
    return Console(file=io.StringIO())


def state_of(pipeline: Pipeline) -> dict[str, Tensor]:
    """Return copies of all weights and buffers, by name."""
    return {name: item.detach().clone() for name, item in pipeline.state_dict().items()}
