"""Errors found on a dummy batch, before any image is read or a folder is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sslcore
import sslcore.signals
from sslcore.api import make_recipe
from sslcore.errors import CompositionError, DataError
from sslcore.pipeline.build import ImageShape, build_data, build_pipeline


def _pipeline(registry, **parts):
    recipe, _ = make_recipe("simclr", registry=registry, **parts)
    return build_pipeline(recipe, ImageShape(16, 1))


class NeedsTwo(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        if projections.shape[1] < 2:
            raise ValueError("two images are needed")
        return projections.square().mean()


def test_a_batch_too_small_for_the_loss_is_refused_before_a_folder_is_made(
    registry, add, tiny, console
):
    add(registry, "loss", NeedsTwo)
    options = {"registry": registry, "console": console, "evaluate": False, "output": "run"}
    tiny["training"]["batch_size"] = 1
    with pytest.raises(CompositionError, match=r"loss made-up .*two images are needed"):
        sslcore.train("agreement", data="noise", loss="made-up", settings=tiny, **options)
    assert list(Path().iterdir()) == []
    tiny["training"]["batch_size"] = 2
    sslcore.train("agreement", data="noise", loss="made-up", settings=tiny, **options)


class AlwaysRandom(nn.Module):
    def forward(self, images: Tensor, random: sslcore.BatchRandom) -> sslcore.signals.Views:
        return {"views": (images + random.uniform(1, 1, 1))[None]}


class NoViewsInEval(nn.Module):
    def forward(self, images: Tensor) -> sslcore.signals.Views:
        return {"views": images[None] if self.training else images}


class CountsModes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> sslcore.signals.Views:
        self.modes.append(self.training)
        return {"views": images[None]}


class NoViews(nn.Module):
    def forward(self, images: Tensor) -> sslcore.signals.Views:
        return {"view": images[None], "strength": 1}


class NoDict(nn.Module):
    def forward(self, images: Tensor) -> sslcore.signals.Views:
        return images[None]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (AlwaysRandom, "in eval mode, without `random`"),
        (NoViewsInEval, r"views must be \(V, B, C, h, w\)"),
        (NoViews, "must return a dict with the tensor `views`, got view, strength"),
        (NoDict, "forward must return a dict, got Tensor"),
    ],
)
def test_an_augmentation_that_gives_no_views_for_training_or_evaluators_is_refused(
    target, said, registry, add
):
    add(registry, "augmentation", target)
    with pytest.raises(CompositionError, match=rf"augmentation made-up .*{said}"):
        _pipeline(registry, augmentation="made-up")


def test_probing_in_eval_mode_leaves_an_augmentation_in_training_mode(registry, add):
    add(registry, "augmentation", CountsModes)
    add(registry, "loss", FeatureLoss)
    pipeline = _pipeline(registry, augmentation="made-up", head="none", loss="made-up")
    assert pipeline.augmentation.modes == [True, False]
    assert pipeline.augmentation.training


def lost(*, size: int = 3) -> sslcore.Data:
    raise KeyError("labels")


def test_whatever_a_data_set_raises_names_it(registry, add):
    add(registry, "dataset", lost, name="lost")
    recipe, _ = make_recipe("simclr", data="lost", registry=registry)
    with pytest.raises(
        DataError, match=r"dataset lost \(from made-up-dist 1.2\): KeyError: 'labels'"
    ):
        build_data(recipe.data)


class FeatureLoss(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.square().mean()


class Detached(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return projections.square().mean().detach()


class ViewsOnly(nn.Module):
    def forward(self, views: Tensor) -> Tensor:
        return views.square().mean()


class InPlace(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        return projections.mul_(2).square().mean()


@pytest.mark.parametrize("target", [Detached, ViewsOnly])
def test_a_loss_without_a_graph_is_refused(target, registry, add):
    add(registry, "loss", target)
    with pytest.raises(CompositionError, match=r"loss made-up .* a scalar without a graph"):
        _pipeline(registry, loss="made-up")


def test_a_loss_may_change_its_inputs_in_place(registry, add):
    add(registry, "loss", InPlace)
    _pipeline(registry, loss="made-up")


def test_a_pipeline_can_be_built_under_no_grad(registry):
    with torch.no_grad():
        _pipeline(registry)


def _raising(error):
    class Raising(nn.Module):
        def __init__(self) -> None:
            raise error

        def forward(self, projections: Tensor) -> Tensor:
            return projections.sum()

    return Raising


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("size"), "KeyError: 'size'"),
        (AssertionError(), "AssertionError"),
        (ZeroDivisionError("by zero"), "by zero"),
        (OSError(2, "No such file"), "No such file"),
    ],
)
def test_whatever_a_constructor_raises_names_its_component(error, said, registry, add):
    add(registry, "loss", _raising(error))
    with pytest.raises(
        CompositionError, match=rf"loss made-up \(from made-up-dist 1.2\): .*{said}"
    ):
        _pipeline(registry, loss="made-up")
