"""What features are worth, always beside the same encoder untrained and the raw pixels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.assembly import build_part
from sslcore.data import Data, Split, as_float
from sslcore.errors import UsageError
from sslcore.pipeline import Pipeline, augment, encode, project
from sslcore.recipe import Part

#: Columns of the table, in order.
ENCODER, RANDOM_INIT, PIXELS = "encoder", "random_init", "pixels"

Table = dict[str, dict[str, float]]

#: Values in a batch of images, so that a batch of small images is large.
_VALUES_PER_BATCH = 2**22
#: Images larger than this are averaged down before their pixels serve as features.
_PIXELS_SIDE = 32


class FeatureExtractor(nn.Module):
    """Images to features: the views that the augmentation shows evaluators, encoded and averaged.

    Args:
        augmentation: the run's augmentation, put into eval mode.
        encoder: the run's encoder, put into eval mode.
    """

    def __init__(self, augmentation: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.augmentation, self.encoder = augmentation, encoder
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, F) of images (B, C, H, W), or clips, uint8 or float in [0, 1]."""
        signals = augment(self.augmentation, images)
        return encode(self.encoder, signals)["features"].mean(0)


class _Outputs:
    """What evaluators may ask for of one column, computed when first asked for."""

    def __init__(self, column: str, pipeline: Pipeline, data: Data, device: torch.device) -> None:
        self.column, self.pipeline, self.data, self.device = column, pipeline, data, device
        self._made: dict[str, Tensor] = {}

    def get(self, name: str) -> Any:
        if name == "num_classes":
            return len(self.data.classes)
        which, _, what = name.partition("_")
        split = self.data.fit if which == "train" else self.data.test
        if what == "labels":
            return None if split.labels is None else split.labels.to(self.device)
        if name not in self._made:
            self._made[name] = _batched(self._maker(what), split, self.device)
        return self._made[name]

    def _maker(self, what: str) -> Callable[[Tensor], Tensor]:
        pipeline = self.pipeline
        if what == "features":
            if self.column == PIXELS:
                return _pixels
            return FeatureExtractor(pipeline.augmentation, pipeline.encoder)
        if what == "views":
            return lambda images: augment(pipeline.augmentation, images)["views"].transpose(0, 1)
        return lambda images: _reconstruct(pipeline, images)


def _reconstruct(pipeline: Pipeline, images: Tensor) -> Tensor:
    signals = augment(pipeline.augmentation, images)
    signals |= encode(pipeline.encoder, signals)
    return project(pipeline.head, signals)["reconstructions"].transpose(0, 1)


def _pixels(images: Tensor) -> Tensor:
    images = as_float(images)
    if images.shape[-1] > _PIXELS_SIDE:
        flat = images.flatten(0, -4) if images.dim() == 5 else images
        small = nn.functional.adaptive_avg_pool2d(flat, _PIXELS_SIDE)
        images = small.unflatten(0, images.shape[:-3]) if images.dim() == 5 else small
    return images.flatten(1)


@torch.no_grad()
def _batched(make: Callable[[Tensor], Tensor], split: Split, device: torch.device) -> Tensor:
    size = max(1, min(1024, _VALUES_PER_BATCH // max(1, split.images[0].numel())))
    parts = [
        make(split.images[start : start + size].to(device)).float()
        for start in range(0, len(split), size)
    ]
    return torch.cat(parts)


def evaluate(
    evaluators: tuple[Part, ...],
    trained: Pipeline,
    untrained: Pipeline,
    data: Data,
    *,
    device: torch.device,
    seed: int,
) -> Table:
    """Run evaluators and return `{column: {metric: value}}`, the two baselines among the columns.

    Args:
        evaluators: as in the recipe.
        trained: the run's pipeline.
        untrained: the same with its initial weights.
        data: the splits; evaluators fit on `data.fit` and are scored on `data.test`.
        device: where to compute.
        seed: for the draws of evaluators.

    Raises:
        UsageError: an evaluator needs labels and the data has none, or refuses what it got.
    """
    supplied = {"num_classes": len(data.classes) or None}
    built = [(part, build_part(part, supplied)) for part in evaluators]
    for part, evaluator in built:
        if needs_labels(evaluator) and not data.labelled:
            raise UsageError(
                f"{part} needs labels, and the data has none: class folders are labels; an "
                "evaluator that needs none can be chosen with --evaluator"
            )
    trained.eval()
    untrained.eval()
    table: Table = {}
    for column, pipeline in ((ENCODER, trained), (RANDOM_INIT, untrained), (PIXELS, trained)):
        outputs = _Outputs(column, pipeline, data, device)
        table[column] = {}
        for part, evaluator in built:
            try:
                table[column] |= _score(evaluator, outputs, seed)
            except ValueError as error:
                raise UsageError(f"{part}, on {column}: {error}") from error
    return table


def _score(evaluator: Any, outputs: _Outputs, seed: int) -> dict[str, float]:
    arguments: dict[str, Any] = {}
    for name in inspect.signature(evaluator).parameters:
        if name == "seed":
            arguments[name] = seed
        elif not (name == "reconstructions" and outputs.column == PIXELS):
            arguments[name] = outputs.get(name)
    return {name: float(value) for name, value in evaluator(**arguments).items()}


def needs_labels(evaluator: Any) -> bool:
    """Whether an evaluator asks for labels."""
    return any(name.endswith("_labels") for name in inspect.signature(evaluator).parameters)
