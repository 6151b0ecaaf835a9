"""The folder of a run: recipe, metrics, checkpoints, encoder, evaluation."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

import sslcore
from sslcore.errors import RunFolderError, UsageError
from sslcore.pipeline.build import ImageShape
from sslcore.recipe.recipe import Recipe
from sslcore.recipe.toml import read_tables, to_toml
from sslcore.runs.scores import Details, Scores, add_scores, read_scores
from sslcore.runs.weights import read_weights, save_weights
from sslcore.system.files import user_path, write_safely
from sslcore.system.locks import LOCK

RECIPE, METRICS, ENCODER, EVALUATION = (
    "recipe.toml",
    "metrics.jsonl",
    "encoder.safetensors",
    "evaluation.json",
)

#: The best weights of encoder and head by the figures during training.
BEST = "best.safetensors"

#: The weights that the encoder began with where they were not drawn, by the encoder's own names.
INITIAL = "initial.safetensors"

#: The weights of its own that the encoder of the teacher began with; frozen, it still has them.
TEACHER = "teacher.safetensors"

#: The file with the name of the torchrun launch that started the run.
LAUNCH = ".launch"

#: The sections of a recipe that must have a `name`.
_SECTIONS = ("data", "augmentation", "encoder", "head", "loss", "optimizer")


class Run:
    """The folder of a new or existing run.

    Args:
        path: the folder.

    Raises:
        UsageError: the path is not valid.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = user_path(path, "the run's folder")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def recipe_path(self) -> Path:
        """The file of the recipe."""
        return self.path / RECIPE

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoint"

    @staticmethod
    def default_path(recipe: Recipe) -> Path:
        """Return `runs/<method>-<data>-<time>`, with a number at the end if that exists."""
        stem = f"{recipe.method.rpartition(':')[2]}-{recipe.data.name}"
        path = Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        candidate, number = path, 2
        while candidate.exists():
            candidate = path.with_name(f"{path.name}-{number}")
            number += 1
        return candidate

    @staticmethod
    def of_launch(launch: str, path: str | Path | None) -> Run | None:
        """Return the run that a launch of several processes started before it was restarted.

        Args:
            launch: the name of the launch.
            path: the `--output` of the user; None searches `runs/`.
        """
        folders = [Path(path)] if path is not None else sorted(Path("runs").glob("*"))
        for folder in folders:
            try:
                began = (folder / LAUNCH).read_text(encoding="utf-8") == launch
            except (OSError, ValueError):
                continue
            if began and (folder / RECIPE).is_file():
                return Run(folder)
        return None

    def create(
        self,
        recipe: Recipe,
        shape: ImageShape,
        train_images: int,
        launch: str = "",
        initial: Mapping[str, Tensor] | None = None,
        classes: Sequence[str] = (),
        state: str = "",
        *,
        teacher: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Create the folder of a new run and write its recipe.

        Args:
            recipe: the recipe.
            shape: shape of the images.
            train_images: number of training images.
            launch: the name of the torchrun launch that starts the run; empty without torchrun.
            initial: weights that the encoder begins with, if they are not drawn.
            classes: names of the classes that the run learns to tell apart; label i is the class
                `classes[i]`.
            state: a text that changes with the images, or an empty one.
            teacher: weights of its own that the encoder of the teacher begins with.

        Raises:
            RunFolderError: the folder exists and is not empty, or can't be written.
            UsageError: a setting can't be written as TOML.
        """
        # A crash may leave these files behind; a folder with nothing else is empty.
        ignored = (LOCK, LAUNCH)
        taken = self.path.is_dir() and any(item.name not in ignored for item in self.path.iterdir())
        if taken or (self.path.exists() and not self.path.is_dir()):
            is_run = (self.recipe_path).exists()
            advice = f"go on with it: --resume {self.path}; or " if is_run else ""
            raise RunFolderError(f"{self.path} exists already; {advice}choose another --output")
        tables = recipe.to_dict()
        tables["images"] = {key: item for key, item in asdict(shape).items() if item is not None}
        tables["train_images"] = {"count": train_images} | ({"state": state} if state else {})
        if classes:
            tables["classes"] = {"names": list(classes)}
        tables["versions"] = {"sslcore": sslcore.__version__, "torch": torch.__version__}
        try:
            text = to_toml(tables).encode()
        except (TypeError, UnicodeError) as error:
            raise UsageError(f"a setting can't be written as TOML: {error}") from error
        try:
            self.checkpoints.mkdir(parents=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.path} can't be created: {error.strerror}; choose another --output"
            ) from error
        try:
            if launch:
                write_safely(self.path / LAUNCH, launch)
            if initial:
                save_weights(self.path / INITIAL, initial)
            if teacher:
                save_weights(self.path / TEACHER, teacher)
            # The recipe comes last: a folder with a recipe is a run.
            write_safely(self.recipe_path, text)
        except RunFolderError:
            # A folder without a recipe is no run, and would block the next one of that name.
            for name in (LAUNCH, INITIAL, TEACHER):
                (self.path / name).unlink(missing_ok=True)
            for folder in (self.checkpoints, self.path):
                with suppress(OSError):
                    folder.rmdir()
            raise

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open the folder of an existing run.

        Raises:
            RunFolderError: the folder does not exist or is not a run.
        """
        run = cls(path)
        if not (run.recipe_path).is_file():
            what = "has no recipe.toml, so it is not a run" if run.path.exists() else "is not there"
            raise RunFolderError(f"{run.path} {what}; runs are folders like runs/METHOD-DATA-TIME")
        return run

    def config(self) -> dict[str, object]:
        """Return the recipe as tables; every part has its name.

        Raises:
            RunFolderError: the file can't be read, or is not the recipe of a run.
        """
        path = self.recipe_path
        try:
            tables = read_tables(path)
        except ValueError as error:
            raise RunFolderError(f"{path}: {error}") from error
        if not isinstance(tables.get("method"), str):
            raise RunFolderError(f"{path} is not the recipe of a run: it names no method")
        for section in _SECTIONS:
            table = tables.get(section)
            if not isinstance(table, dict) or not isinstance(table.get("name"), str):
                raise RunFolderError(
                    f"{path} is not the recipe of a run: [{section}] is missing or has no name"
                )
        return tables

    def shape(self) -> ImageShape:
        """Return the shape of the images that the run was started on.

        Raises:
            RunFolderError: the recipe does not record it, or not as integers.
        """
        sizes = self.config().get("images")
        try:
            if not isinstance(sizes, dict) or any(type(size) is not int for size in sizes.values()):
                raise TypeError
            return ImageShape(**sizes)
        except TypeError:
            raise RunFolderError(
                f"{self.recipe_path}: [images] must have the integers image_size and channels "
                f"(and num_frames for clips, num_classes for labelled data), got {sizes!r}"
            ) from None

    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes that a classifier tells apart; empty without one.

        Raises:
            RunFolderError: the recipe does not have them as text.
        """
        table = self.config().get("classes", {})
        names = table.get("names", []) if isinstance(table, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RunFolderError(f"{self.recipe_path}: [classes] names must be a list of names")
        return tuple(names)

    def train_images(self) -> int:
        """Return the number of training images that the run was started on.

        Raises:
            RunFolderError: the recipe does not record it.
        """
        counted = self.config().get("train_images")
        count = counted.get("count") if isinstance(counted, dict) else None
        if type(count) is not int:
            raise RunFolderError(
                f"{self.recipe_path} does not record the number of training images "
                "([train_images] count): the run can be evaluated, but not resumed"
            )
        return count

    def images_state(self) -> str:
        """Return a text that changes with the images; empty if the recipe does not record it."""
        table = self.config().get("train_images")
        return str(table.get("state", "")) if isinstance(table, dict) else ""

    @property
    def finished(self) -> bool:
        """Whether the run has finished and written its encoder."""
        return (self.path / ENCODER).exists()

    def discard_evaluation(self) -> None:
        """Remove the evaluation, which further training makes outdated."""
        (self.path / EVALUATION).unlink(missing_ok=True)

    def write_encoder(self, encoder: nn.Module, about: Mapping[str, str] | None = None) -> None:
        """Write the weights of the encoder to `encoder.safetensors`.

        Args:
            encoder: the encoder.
            about: what the file says of itself, for whoever opens it without the run.
        """
        save_weights(self.path / ENCODER, encoder.state_dict(), dict(about or {}))

    def read_encoder(self) -> dict[str, Tensor]:
        """Return the weights of the trained encoder.

        Raises:
            RunFolderError: the run has not finished, or the file is damaged.
        """
        try:
            return read_weights(self.path / ENCODER)
        except FileNotFoundError:
            raise RunFolderError(
                f"{self.path / ENCODER} is not there: the run has not finished; go on with it: "
                f"sslcore train --resume {self.path}"
            ) from None

    def read_evaluation(self) -> dict[str, dict[str, float]]:
        """Return the table in `evaluation.json`; an empty one if there is no file.

        Raises:
            RunFolderError: the file can't be read, or is not a table of numbers.
        """
        return read_scores(self.path / EVALUATION)[0]

    def read_details(self) -> Details:
        """Return by metric how it was measured: evaluator, settings, images, seed, step, date.

        Raises:
            RunFolderError: the file can't be read, or is not a table of numbers.
        """
        return read_scores(self.path / EVALUATION)[1]

    def write_evaluation(
        self, table: Scores, details: Details | None = None, *, other_data: str = ""
    ) -> str:
        """Add an evaluation to `evaluation.json`, and keep the figures of other evaluators.

        Args:
            table: the figures by column and metric.
            details: by metric, how it was measured.
            other_data: the name of the data, where it is not the run's own; its figures have a
                file of their own, `evaluation-NAME.json`.

        Returns:
            A note for the user if earlier figures could not be kept; otherwise an empty string.
        """
        name = re.sub(r"[^\w.+-]+", "-", other_data).strip("-.")
        file = f"evaluation-{name or 'other'}.json" if other_data else EVALUATION
        return add_scores(self.path / file, table, details or {})
