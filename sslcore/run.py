"""A run is a folder: recipe, metrics, checkpoints, encoder, evaluation."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import sslcore
from sslcore.assembly import ImageShape
from sslcore.errors import RunFolderError, UsageError
from sslcore.files import write_safely
from sslcore.recipe import Recipe, read_config, to_toml

RECIPE, METRICS, ENCODER, EVALUATION = (
    "recipe.toml",
    "metrics.jsonl",
    "encoder.safetensors",
    "evaluation.json",
)


class Run:
    """A run folder, new or already there.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoint"

    @staticmethod
    def default_path(recipe: Recipe) -> Path:
        """Return `runs/<method>-<data>-<time>`, with a number behind it if that is taken."""
        stem = f"{recipe.method.rpartition(':')[2]}-{recipe.data.name}"
        path = Path("runs") / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        candidate, number = path, 2
        while candidate.exists():
            candidate = path.with_name(f"{path.name}-{number}")
            number += 1
        return candidate

    def create(self, recipe: Recipe, shape: ImageShape, train_images: int) -> None:
        """Make the folder of a new run and write its recipe.

        Raises:
            RunFolderError: it exists and is not empty, or can't be written.
        """
        taken = self.path.is_dir() and any(self.path.iterdir())
        if taken or (self.path.exists() and not self.path.is_dir()):
            is_run = (self.path / RECIPE).exists()
            advice = f"go on with it: --resume {self.path}; or " if is_run else ""
            raise RunFolderError(f"{self.path} exists already; {advice}choose another --output")
        tables = recipe.to_dict()
        tables["images"] = {key: item for key, item in asdict(shape).items() if item is not None}
        tables["train_images"] = {"count": train_images}
        tables["versions"] = {"sslcore": sslcore.__version__, "torch": torch.__version__}
        try:
            text = to_toml(tables)
        except (TypeError, UnicodeError) as error:
            raise UsageError(f"a setting can't be written as TOML: {error}") from error
        try:
            self.checkpoints.mkdir(parents=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.path} can't be made: {error.strerror}; choose another --output"
            ) from error
        write_safely(self.path / RECIPE, text)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open the folder of a run.

        Raises:
            RunFolderError: there is no run.
        """
        run = cls(path)
        if not (run.path / RECIPE).is_file():
            what = "has no recipe.toml, so it is not a run" if run.path.exists() else "is not there"
            raise RunFolderError(f"{run.path} {what}; runs are folders like runs/METHOD-DATA-TIME")
        return run

    def config(self) -> dict[str, Any]:
        """Return the recipe as a configuration, complete with names."""
        return read_config(self.path / RECIPE)

    def shape(self) -> ImageShape:
        """Return the sizes of the images that the run was made for."""
        return ImageShape(**self.config()["images"])

    def train_images(self) -> int:
        """Return how many training images the run was started on.

        Raises:
            RunFolderError: the recipe does not say.
        """
        try:
            return int(self.config()["train_images"]["count"])
        except (KeyError, TypeError, ValueError):
            raise RunFolderError(
                f"{self.path / RECIPE} does not say how many images the run was started on "
                "([train_images] count): it can be evaluated, not resumed"
            ) from None

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end and written its encoder."""
        return (self.path / ENCODER).exists()

    def discard_evaluation(self) -> None:
        """Remove figures that training on makes untrue."""
        (self.path / EVALUATION).unlink(missing_ok=True)

    def write_encoder(self, encoder: nn.Module) -> None:
        """Write `encoder.safetensors`."""
        from safetensors.torch import save

        weights = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in encoder.state_dict().items()
        }
        write_safely(self.path / ENCODER, save(weights))

    def read_encoder(self) -> dict[str, Tensor]:
        """Return the weights of the trained encoder.

        Raises:
            RunFolderError: there are none yet, or the file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.path / ENCODER
        try:
            return load_file(path)
        except FileNotFoundError:
            raise RunFolderError(
                f"{path} is not there: the run has not finished; go on with it: "
                f"sslcore train --resume {self.path}"
            ) from None
        except SafetensorError as error:
            raise RunFolderError(f"{path} is damaged: {error}") from error

    def read_evaluation(self) -> dict[str, dict[str, float]]:
        """Return `evaluation.json`, or an empty table where there is none."""
        try:
            return json.loads((self.path / EVALUATION).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def write_evaluation(self, table: Mapping[str, Mapping[str, float]]) -> None:
        """Write `evaluation.json`, keeping what other evaluators put there."""
        merged = self.read_evaluation()
        for column, metrics in table.items():
            merged.setdefault(column, {}).update(metrics)
        write_safely(self.path / EVALUATION, json.dumps(merged, indent=2) + "\n")


class Metrics:
    """`metrics.jsonl`: one line per log step, read back on resuming.

    Args:
        path: the file.
        upto: lines of later steps are dropped: they will be written again.
    """

    def __init__(self, path: Path, upto: int = 0) -> None:
        kept = [line for line in read_metrics(path) if line["step"] <= upto]
        write_safely(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._path = path

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RunFolderError(f"{self._path} can't be written: {error.strerror}") from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a metrics file; a last line cut short is left out."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
    return lines
