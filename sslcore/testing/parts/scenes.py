"""Labelled features and logits that evaluators are checked on: perfect, overlapping, or noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sslcore.random import generator_for
from sslcore.testing.parts.pictures import example_images


@dataclass(frozen=True)
class Scene:
    """All that an evaluator may ask for, by name.

    Attributes:
        kind: what is special about the features.
        train_features, test_features: (N, F) and (M, F).
        train_labels, test_labels: (N,) and (M,).
        train_views, test_views, reconstructions: (N or M, 1, 1, 6, 6).
        test_logits: (M, K).
        num_classes: K.
        seed: for draws.
    """

    kind: str
    train_features: Tensor
    train_labels: Tensor
    test_features: Tensor
    test_labels: Tensor
    train_views: Tensor
    test_views: Tensor
    reconstructions: Tensor
    test_logits: Tensor
    num_classes: int
    seed: int = 0

    def given(self) -> dict[str, Any]:
        """Return the data by the names that evaluators use."""
        return {name: value for name, value in vars(self).items() if name != "kind"}

    def with_train(self, index: Tensor) -> Scene:
        """Return the scene with these training images, in this order."""
        return replace(self, **_indexed(self, "train_", index))

    def with_test(self, index: Tensor) -> Scene:
        """Return the scene with these test images, in this order."""
        rebuilt = self.reconstructions[index]
        return replace(self, reconstructions=rebuilt, **_indexed(self, "test_", index))


def _indexed(scene: Scene, prefix: str, index: Tensor) -> dict[str, Any]:
    return {name: item[index] for name, item in vars(scene).items() if name.startswith(prefix)}


def scene(kind: str, classes: int = 5, train: int = 24, test: int = 16) -> Scene:
    """Return a scene.

    Args:
        kind: "perfect" features are their class's unit vector; "overlapping" ones surround the
            centre of their class; "random" ones are independent of it; many "tied" ones are equal,
            also across classes; "collapsed" ones are all the same. So are the logits.
        classes: K.
        train: training images of each class.
        test: test images of each class.
    """
    generator = generator_for("scene", kind, classes, train, test)
    labels = []
    for each in (train, test):
        order = torch.randperm(classes * each, generator=generator)
        labels.append((torch.arange(classes * each) % classes)[order])
    features = [_features(kind, item, classes, generator) for item in labels]
    views, tested = (example_images(len(item), 1, 6)[:, None] * 2 - 1 for item in labels)
    noise = torch.randn(tested.shape, generator=generator)
    return Scene(
        kind=kind,
        train_features=features[0],
        train_labels=labels[0],
        test_features=features[1],
        test_labels=labels[1],
        train_views=views,
        test_views=tested,
        reconstructions=tested + 0.3 * noise,
        test_logits=_logits(kind, labels[1], classes, generator),
        num_classes=classes,
    )


def _logits(kind: str, labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    own = torch.nn.functional.one_hot(labels, classes).float()
    if kind == "perfect":
        return 8 * own - 4
    if kind == "collapsed":
        return torch.full(own.shape, 0.7)
    noise = torch.randn(own.shape, generator=generator)
    if kind == "random":
        return noise
    drawn = own + 0.45 * noise
    # Of two or three classes, the largest logits are often equal.
    return drawn.round() if kind == "tied" else drawn


def _features(kind: str, labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    # Many dimensions for few images, so that a memorised image is recognised.
    width = 64 if kind == "random" else classes + 3
    unit = torch.nn.functional.one_hot(labels, width).float()
    if kind == "perfect":
        return unit
    if kind == "collapsed":
        return torch.full(unit.shape, 0.7)
    noise = torch.randn(unit.shape, generator=generator)
    if kind == "random":
        return noise
    if kind == "overlapping":
        return unit + 0.45 * noise
    assert kind == "tied", kind
    # Few grid points, none of them zero: many images of any class share one.
    return ((unit + 0.4 * noise)[:, :3] > 0.5).float() + 0.5
