"""Evaluates features, always beside the untrained encoder and the raw pixels."""

from __future__ import annotations

import inspect
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.data import Data, Split
from sslcore.data.labels import are_known
from sslcore.errors import SslcoreError, UsageError, first_line
from sslcore.evaluation.extractor import FeatureExtractor
from sslcore.evaluation.suitable import REMEDIES, obstacle
from sslcore.functional import as_float
from sslcore.pipeline.parts import build_part
from sslcore.pipeline.pipeline import Pipeline, augment, encode, project
from sslcore.recipe.held_out import needs_labels
from sslcore.recipe.recipe import Part

#: Columns of the table, in order.
ENCODER, RANDOM_INIT, PIXELS = "encoder", "random_init", "pixels"

Table = dict[str, dict[str, float]]

#: The columns without a signal: pixels pass no head, and a head that was not trained guesses.
_WITHOUT = {"reconstructions": (PIXELS,), "test_logits": (RANDOM_INIT, PIXELS)}

#: Values in a batch of images, so that a batch of small images is large.
_VALUES_PER_BATCH = 2**22
#: Images larger than this are averaged down before their pixels serve as features.
_PIXELS_SIDE = 32


class _Outputs:
    """The inputs of evaluators for one column, computed on first use."""

    def __init__(self, column: str, pipeline: Pipeline, data: Data, device: torch.device) -> None:
        self.column, self.pipeline, self.data, self.device = column, pipeline, data, device
        self._made: dict[str, Tensor] = {}

    def get(self, name: str, *, labelled: bool) -> Any:
        """Return an input; `labelled` leaves out the images whose class is not known."""
        if name == "num_classes":
            return len(self.data.classes)
        which, _, what = name.partition("_")
        split = self.data.fit if which == "train" else self.data.test
        assert split is not None
        if what == "labels":
            made = split.labels
            assert made is not None
        else:
            if name not in self._made:
                self._made[name] = in_batches(self._maker(what), split, self.device)
            made = self._made[name]
        made = made.to(self.device)
        if not labelled or split.labels is None:
            return made
        known = are_known(split.labels)
        return made if bool(known.all()) else made[known.to(self.device)]

    def _maker(self, what: str) -> Callable[[Tensor], Tensor]:
        pipeline = self.pipeline
        if what == "features":
            if self.column == PIXELS:
                return _pixels
            return FeatureExtractor(pipeline.augmentation, pipeline.encoder)
        if what == "views":
            return lambda images: augment(pipeline.augmentation, images)["views"].transpose(0, 1)
        if what == "logits":
            return lambda images: _of_head(pipeline, images, what).mean(0)
        return lambda images: _of_head(pipeline, images, "reconstructions").transpose(0, 1)


def _of_head(pipeline: Pipeline, images: Tensor, name: str) -> Tensor:
    signals = augment(pipeline.augmentation, images)
    signals |= encode(pipeline.encoder, signals)
    made = project(pipeline.head, signals)
    if name not in made:
        raise ValueError(f"with its settings, the head makes no {name} of images alone")
    found: Tensor = made[name]
    return found


def _pixels(images: Tensor) -> Tensor:
    images = as_float(images) if images.dtype == torch.uint8 else images
    if images.shape[-1] > _PIXELS_SIDE:
        flat = images.flatten(0, -4) if images.dim() == 5 else images
        small = nn.functional.adaptive_avg_pool2d(flat, _PIXELS_SIDE)
        images = small.unflatten(0, images.shape[:-3]) if images.dim() == 5 else small
    return images.flatten(1)


def batch_size(split: Split) -> int:
    """Return how many images of a split are computed at a time."""
    values = split.channels * split.image_size**2 * (split.num_frames or 1)
    return max(1, min(1024, _VALUES_PER_BATCH // max(1, values)))


def batches(
    split: Split, device: torch.device, rows: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images of a split, rows (B,) and images (B, …) on the device.

    Args:
        split: the images.
        device: where the images go.
        rows: the images to yield, int64, in their order; None yields all.
    """
    rows = torch.arange(len(split)) if rows is None else rows
    for some in rows.split(batch_size(split)):
        yield some, split.read(some, device).to(device)


@torch.no_grad()
def in_batches(make: Callable[[Tensor], Tensor], split: Split, device: torch.device) -> Tensor:
    """Return what a function of images (B, …) makes of all images of a split, as float32."""
    return torch.cat([make(images).float() for _, images in batches(split, device)])


def evaluate(
    evaluators: tuple[Part, ...],
    trained: Pipeline,
    untrained: Pipeline,
    data: Data,
    *,
    device: torch.device,
    seed: int,
    warn: Callable[[str], object] = warnings.warn,
    columns: tuple[str, ...] = (ENCODER, RANDOM_INIT, PIXELS),
) -> tuple[Table, dict[str, Part]]:
    """Score a run beside its two baselines.

    An evaluator that fails is left out, with a warning; the figures of the others are kept.

    Args:
        evaluators: as in the recipe.
        trained: the run's pipeline.
        untrained: the same with its initial weights.
        data: the splits; evaluators fit on `data.fit` and are scored on `data.test`.
        device: where to compute.
        seed: for the draws of evaluators.
        warn: called with a sentence for each evaluator that fails.
        columns: what to score.

    Returns:
        `{column: {metric: value}}`, and by metric the evaluator that measured it.

    Raises:
        UsageError: an evaluator can't run on this data, or two give the same metric.
        SslcoreError: every evaluator failed.
    """
    supplied = {
        "num_classes": len(data.classes) or None,
        "feature_dim": trained.feature_dim,
    }
    built = [(part, build_part(part, supplied)) for part in evaluators]
    for part, evaluator in built:
        if why := obstacle(evaluator, data):
            raise UsageError(f"{part} can't run, since {why}: {REMEDIES[why]}")
    trained.eval()
    untrained.eval()
    figures: dict[str, Table] = {str(part): {} for part in evaluators}
    failures: list[str] = []
    for column in columns:
        pipeline = untrained if column == RANDOM_INIT else trained
        outputs = _Outputs(column, pipeline, data, device)
        for part, evaluator in built:
            name = str(part)
            if name not in figures:
                continue
            try:
                figures[name][column] = _score(evaluator, outputs, seed)
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything
                # Figures without baselines mean nothing, so none of this evaluator are shown.
                del figures[name]
                failures.append(f"{part} failed on {column}: {first_line(error)}")
                warn(f"{failures[-1]}; its figures are left out")
        _refuse_shared_names(figures, column)
    if not figures:
        raise SslcoreError("no evaluator is left:\n" + "\n".join(failures))
    table = {
        column: {name: value for part in figures.values() for name, value in part[column].items()}
        for column in columns
    }
    # A classifier that was trained with the encoder has no baselines.
    table = {
        column: metrics for column, metrics in table.items() if metrics or column == columns[0]
    }
    owners = {
        metric: part
        for part in evaluators
        for metrics in figures.get(str(part), {}).values()
        for metric in metrics
    }
    return table, owners


def _refuse_shared_names(figures: dict[str, Table], column: str) -> None:
    owners: dict[str, str] = {}
    for part, table in figures.items():
        for name in table[column]:
            if (other := owners.setdefault(name, part)) != part:
                raise UsageError(
                    f"{other} and {part} both give the metric {name}: choose one of them with "
                    "--evaluator"
                )


def _score(evaluator: Any, outputs: _Outputs, seed: int) -> dict[str, float]:
    arguments: dict[str, object] = {}
    asked = inspect.signature(evaluator).parameters
    for name in asked:
        if name == "seed":
            arguments[name] = seed
        elif outputs.column not in _WITHOUT.get(name, ()):
            arguments[name] = outputs.get(name, labelled=needs_labels(asked))
    metrics = evaluator(**arguments)
    if not isinstance(metrics, Mapping):
        raise TypeError(f"it returned {type(metrics).__name__}, expected a dict of numbers")
    for name, value in metrics.items():
        scalar = isinstance(value, Tensor) and value.dim() == 0
        if not isinstance(name, str) or not (scalar or isinstance(value, numbers.Real)):
            raise TypeError(f"it returned {name!r}: {value!r}, expected a dict of numbers")
    return {name: float(value) for name, value in metrics.items()}
