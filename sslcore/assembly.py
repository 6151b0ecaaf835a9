"""From a recipe to modules: each part built with its settings and what the engine supplies.

What the engine supplies to a part (`feature_dim`, …) is read off a dummy batch that goes through
the parts before it, so a shape that does not fit is an error before the first image is read.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.data import Data, Split
from sslcore.errors import CompositionError, DataError, SslcoreError
from sslcore.interface import interface_of, load_reference
from sslcore.pipeline import Pipeline, Signals, call, encode, project
from sslcore.random import BatchRandom
from sslcore.recipe import Part, Recipe

_DUMMY_BATCH = 4


@dataclass(frozen=True)
class ImageShape:
    """What the parts must know of the data: sizes, not images."""

    image_size: int
    channels: int
    num_frames: int | None = None
    num_classes: int | None = None

    @classmethod
    def of(cls, split: Split, num_classes: int | None = None) -> ImageShape:
        """Read it off a split."""
        return cls(split.image_size, split.channels, split.num_frames, num_classes)

    def dummy(self) -> Tensor:
        """Return a small batch of grey images."""
        clip = () if self.num_frames is None else (self.num_frames,)
        side = self.image_size
        return torch.full((_DUMMY_BATCH, *clip, self.channels, side, side), 0.5)

    def __str__(self) -> str:
        kind = "images" if self.num_frames is None else f"clips of {self.num_frames} frames"
        channels = f"{self.channels} channel{'s' if self.channels > 1 else ''}"
        return f"{kind} of {self.image_size} px with {channels}"


def build_part(part: Part, supplied: dict[str, Any]) -> Any:
    """Build a component from its settings and those of `supplied` that it asks for.

    Raises:
        CompositionError: it asks for something that this recipe has not, or refuses its settings.
    """
    try:
        target = load_reference(part.build)
    except SslcoreError as error:
        raise CompositionError(f"{part}: {error}") from error
    arguments = dict(part.settings)
    for name, needed in interface_of(target).supplied.items():
        if supplied.get(name) is not None:
            arguments[name] = supplied[name]
        elif needed and name in supplied:
            # Known to be absent (an encoder without maps): the component says what that means.
            arguments[name] = None
        elif needed:
            raise CompositionError(f"{part} needs {name}, which this recipe does not have")
    try:
        return target(**arguments)
    except SslcoreError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise CompositionError(f"{part}: {_first_line(error)}") from error


def build_data(part: Part) -> Data:
    """Load a data set.

    Raises:
        DataError: it can't be read, or does not return `sslcore.data.Data`.
    """
    try:
        data = load_reference(part.build)(**part.settings)
    except SslcoreError as error:
        if type(error) is SslcoreError:
            raise DataError(f"{part}: {error}") from error
        raise
    except (ValueError, OSError) as error:
        raise DataError(f"{part}: {_first_line(error)}") from error
    if not isinstance(data, Data):
        raise DataError(f"{part} returned {type(data).__name__}, expected sslcore.Data")
    return data


def build_pipeline(recipe: Recipe, shape: ImageShape) -> Pipeline:
    """Build every stage of a recipe for images of a shape.

    Initial weights are a function of the recipe's seed; torch's global generator is left as it was.

    Raises:
        CompositionError: a part refuses its settings or the shapes that reach it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        return _build_pipeline(recipe, shape)


def _build_pipeline(recipe: Recipe, shape: ImageShape) -> Pipeline:
    supplied: dict[str, Any] = asdict(shape)
    random = BatchRandom(0, 0, _DUMMY_BATCH)
    signals: Signals = {"images": shape.dummy(), "random": random, "progress": 0.0}

    augmentation = build_part(recipe.augmentation, supplied)
    signals |= _probed(recipe.augmentation, call, augmentation, signals, shape)
    views = signals["views"]
    if views.dim() != 5 or views.shape[1] != _DUMMY_BATCH:
        raise CompositionError(
            f"{recipe.augmentation}: views must be (V, B, C, h, w) with B = {_DUMMY_BATCH}, "
            f"got {tuple(views.shape)}"
        )
    supplied |= {
        "num_views": views.shape[0],
        "channels": views.shape[2],
        "image_size": views.shape[-1],
    }

    encoder = build_part(recipe.encoder, supplied)
    signals |= _probed(recipe.encoder, encode, encoder, signals, shape)
    if "features" not in signals:
        raise CompositionError(f"{recipe.encoder} gives no features, and evaluators need them")
    maps = signals.get("feature_maps")
    supplied |= {
        "feature_dim": signals["features"].shape[-1],
        "feature_map_shape": None if maps is None else tuple(maps.shape[2:]),
    }

    head = None if recipe.head is None else build_part(recipe.head, supplied)
    if head is not None:
        assert recipe.head is not None
        signals |= _probed(recipe.head, project, head, signals, shape)
    projections = signals.get("projections")
    supplied["projection_dim"] = None if projections is None else projections.shape[-1]

    loss = build_part(recipe.loss, supplied)
    pipeline = Pipeline(augmentation, encoder, head, loss, teacher=recipe.teacher is not None)
    _check_loss(recipe, pipeline, signals, shape)
    return pipeline


def _probed(
    part: Part, run: Any, module: nn.Module, signals: Signals, shape: ImageShape
) -> Signals:
    """Run a stage once on dummies, leaving its buffers (batch-norm statistics) as they were."""
    before = {name: value.clone() for name, value in module.named_buffers()}
    try:
        with torch.no_grad():
            made = run(module, signals)
    except SslcoreError:
        raise
    except Exception as error:
        raise CompositionError(f"{part} can't work on {shape}: {_first_line(error)}") from error
    finally:
        for name, value in module.named_buffers():
            if name in before:
                value.copy_(before[name])
    if not isinstance(made, dict):
        raise CompositionError(f"{part}: forward must return a dict, got {type(made).__name__}")
    return made


def _check_loss(recipe: Recipe, pipeline: Pipeline, signals: Signals, shape: ImageShape) -> None:
    """Score the dummies with a copy of the loss, so that a queue in it does not notice."""
    signals = dict(signals)
    if pipeline.teacher is not None:
        signals |= {
            f"teacher_{name}": item.clone()
            for name, item in signals.items()
            if isinstance(item, Tensor) and name not in ("images", "views", "targets", "mask")
        }
    if pipeline.supervised:
        signals["labels"] = torch.zeros(_DUMMY_BATCH, dtype=torch.int64)
    try:
        score = call(copy.deepcopy(pipeline.loss), signals)
    except SslcoreError:
        raise
    except Exception as error:
        shapes = ", ".join(
            f"{name} {tuple(item.shape)}"
            for name, item in signals.items()
            if isinstance(item, Tensor) and name != "images"
        )
        raise CompositionError(
            f"{recipe.loss} can't work on {shape}: {_first_line(error)} (it was given {shapes})"
        ) from error
    value = score.get("loss") if isinstance(score, dict) else score
    if not isinstance(value, Tensor) or value.dim() != 0:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise CompositionError(f"{recipe.loss} must return a scalar tensor, got {got}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
