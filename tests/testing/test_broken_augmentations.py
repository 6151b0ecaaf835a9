"""Broken augmentations; the conformance tests detect each of them."""

from __future__ import annotations

import random as python_random
from typing import Annotated, TypedDict

import numpy
import pytest
import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from sslcore import BatchRandom
from sslcore.random import generator_for
from sslcore.signals import Views, ViewsOfTwoSizes
from sslcore.testing import AugmentationSpec, cases


class Good(nn.Module):
    """Views with random brightness and flips; every part of it can be broken."""

    def __init__(
        self,
        *,
        views: Annotated[int, Ge(1), Le(3)] = 2,
        strength: Annotated[float, Ge(0), Le(1)] = 0.5,
        flip: Annotated[float, Ge(0), Le(1)] = 0.5,
    ) -> None:
        super().__init__()
        self.views, self.strength, self.flip = views, strength, flip

    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        if not self.training:
            return {"views": self.scaled(images).unsqueeze(0)}
        if random is None:
            raise ValueError("random is needed in training mode")
        light = 1 + self.strength * (2 * self.light(images, random) - 1)
        mirrored = self.mirrored(random)
        lit = images * light.T[..., None, None, None]
        views = torch.where(mirrored.T[..., None, None, None], lit.flip(-1), lit)
        return {"views": self.scaled(views)}

    def light(self, images: Tensor, random: BatchRandom) -> Tensor:
        return random.fork("light").uniform(self.views)

    def mirrored(self, random: BatchRandom) -> Tensor:
        return random.fork("flip").bernoulli(self.flip, self.views)

    def scaled(self, views: Tensor) -> Tensor:
        return (views - 0.5) / 0.25


class OneLightForTheBatch(Good):
    def light(self, images, random):
        return super().light(images, random)[:1].expand(len(images), -1)


class OneMirrorForTheBatch(Good):
    def mirrored(self, random):
        drawn = super().mirrored(random)
        return drawn[:1].expand_as(drawn)


class DrawsFromTorch(Good):
    def light(self, images, random):
        return torch.rand(len(images), self.views)


class SeedsTorch(Good):
    def light(self, images, random):
        torch.manual_seed(random.seed * 1000 + random.step)
        return torch.rand(random.batch_size, self.views)[random.rows]


class DrawsFromNumpy(Good):
    def light(self, images, random):
        return torch.from_numpy(numpy.random.rand(len(images), self.views)).float()


class DrawsFromPython(Good):
    def light(self, images, random):
        return torch.tensor([[python_random.random()] * self.views for _ in images])


class CountsItsCalls(Good):
    calls = 0

    def light(self, images, random):
        self.calls += 1
        return (super().light(images, random) + 0.01 * self.calls).remainder(1)


class ScalesByTheBatchInTraining(Good):
    def scaled(self, views):
        return (views - views.mean()) / 0.25 if self.training else super().scaled(views)


class ScalesByTheBatchInEval(Good):
    def scaled(self, views):
        return super().scaled(views) if self.training else (views - views.mean()) / 0.25


class WorksInPlace(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        return super().forward(images.mul_(1.01).clamp_(0, 1), random)


class WorksInPlaceInEval(Good):
    def scaled(self, views):
        return super().scaled(views) if self.training else views.sub_(0.5).div_(0.25)


class IgnoresRows(Good):
    def light(self, images, random):
        generator = generator_for(random.seed, random.step)
        return torch.rand(len(images), self.views, generator=generator)


class DrawsAsManyAsThereAreHere(Good):
    def mirrored(self, random):
        # The number of images affects the next draws.
        random.uniform(random.rows.stop - random.rows.start)
        return random.bernoulli(self.flip, self.views)


class NaNAtFullStrength(Good):
    def light(self, images, random):
        return super().light(images, random) * (1 - self.strength) / (1 - self.strength)


class DividesByItsStrength(Good):
    def __init__(
        self,
        *,
        views: Annotated[int, Ge(1), Le(3)] = 2,
        strength: Annotated[float, Ge(0), Le(1)] = 0.5,
    ) -> None:
        super().__init__(views=views, strength=strength)
        self.inverse = 1 / strength


class AnyNumberOfViews(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        made = super().forward(images, random)["views"]
        return {"views": made[: 1 + random.step % 2] if self.training else made}


class DropsTheLastImage(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        made = super().forward(images, random)["views"]
        return {"views": made[:, : len(images) // 2 * 2]}


class BatchFirst(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        return {"views": super().forward(images, random)["views"].transpose(0, 1)}


class SortsTheBatch(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        made = super().forward(images, random)["views"]
        return {"views": made[:, images.flatten(1).mean(1).argsort()]}


class RandomInEval(Good):
    def scaled(self, views):
        return super().scaled(views) + (0 if self.training else 0.01 * torch.randn(1))


class NeedsRandomInEval(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        if random is None:
            raise ValueError("random is needed")
        return super().forward(images, random)


class DisturbsInEvalWhereItCan(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        if not self.training and random is not None:
            images = images * random.uniform(1)[..., None, None]
        return super().forward(images, random)


class SameEveryStep(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        if random is not None:
            random = BatchRandom(random.seed, 0, random.batch_size, rows=random.rows)
        return super().forward(images, random)


class SameForEverySeed(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        if random is not None:
            random = BatchRandom(0, random.step, random.batch_size, rows=random.rows)
        return super().forward(images, random)


class DoublePrecision(Good):
    def scaled(self, views):
        return super().scaled(views).double()


class NotSquare(Good):
    def scaled(self, views):
        return super().scaled(views)[..., :-1]


class ReturnsMore(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        return {**super().forward(images, random), "flipped": images}  # type: ignore[typeddict-unknown-key]


class Masked(TypedDict):
    views: Tensor
    mask: Tensor


class MaskOfFloats(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Masked:
        views = super().forward(images, random)["views"]
        return {"views": views, "mask": torch.zeros(*views.shape[:2], 4)}


class OnItsMemory(Good):
    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        return super().forward(images.view(len(images), -1).view(images.shape), random)


class NeverQuiet(Good):
    def light(self, images, random):
        return super().light(images, random) if self.strength else torch.full((1, 1), 2.0)

    def scaled(self, views):
        return super().scaled(views) * (1.02 if self.training else 1)


class TwoSizes(Good):
    """Views, and local views with their own brightness."""

    def forward(self, images: Tensor, random: BatchRandom | None = None) -> ViewsOfTwoSizes:
        made: ViewsOfTwoSizes = {"views": super().forward(images, random)["views"]}
        if self.training and random is not None:
            light = self.local_light(images, random.fork("local"))
            parts = images[..., :8, :8] * light[..., None, None, None]
            made["local_views"] = self.scaled(parts).unsqueeze(0)
        return made

    def local_light(self, images: Tensor, random: BatchRandom) -> Tensor:
        return 0.5 + random.uniform()


class LocalViewsFromTorch(TwoSizes):
    def local_light(self, images, random):
        return 0.5 + torch.rand(len(images))


class OneLocalLight(TwoSizes):
    def local_light(self, images, random):
        return super().local_light(images, random)[:1].expand(len(images))


class LocalViewsOfTheBatch(TwoSizes):
    def local_light(self, images, random):
        return super().local_light(images, random) * images.mean()


class LocalViewsInDouble(TwoSizes):
    def local_light(self, images, random):
        return super().local_light(images, random).double()


class LocalViewsIgnoreRows(TwoSizes):
    def local_light(self, images, random):
        return 0.5 + BatchRandom(random.seed, random.step, len(images)).uniform()


BROKEN_LOCALLY = {
    LocalViewsFromTorch: "a-seed-and-step-decide",
    OneLocalLight: "each-image-draws-its-own",
    LocalViewsOfTheBatch: "training-views-are-of-one-image",
    LocalViewsInDouble: "views-follow-the-contract",
    LocalViewsIgnoreRows: "same-views-in-any-split",
}

BROKEN = {
    OneLightForTheBatch: "each-image-draws-its-own",
    OneMirrorForTheBatch: "each-image-draws-its-own",
    DrawsFromTorch: "a-seed-and-step-decide",
    SeedsTorch: "leaves-global-state-alone",
    DrawsFromNumpy: "a-seed-and-step-decide",
    DrawsFromPython: "leaves-global-state-alone",
    CountsItsCalls: "a-seed-and-step-decide",
    ScalesByTheBatchInTraining: "training-views-are-of-one-image",
    ScalesByTheBatchInEval: "evaluated-views-are-of-one-image",
    WorksInPlace: "leaves-images-alone",
    WorksInPlaceInEval: "leaves-images-alone",
    IgnoresRows: "same-views-in-any-split",
    DrawsAsManyAsThereAreHere: "same-views-in-any-split",
    NaNAtFullStrength: "settings-at-their-bounds-work",
    DividesByItsStrength: "settings-at-their-bounds-work",
    AnyNumberOfViews: "as-many-views-of-any-batch",
    DropsTheLastImage: "views-follow-the-contract",
    BatchFirst: "views-follow-the-contract",
    SortsTheBatch: "evaluated-views-are-of-one-image",
    RandomInEval: "evaluators-see-the-same-every-time",
    NeedsRandomInEval: "views-follow-the-contract",
    DisturbsInEvalWhereItCan: "evaluators-see-the-same-every-time",
    SameEveryStep: "another-step-gives-other-views",
    SameForEverySeed: "another-step-gives-other-views",
    DoublePrecision: "views-follow-the-contract",
    NotSquare: "views-follow-the-contract",
    ReturnsMore: "views-follow-the-contract",
    MaskOfFloats: "views-follow-the-contract",
    OnItsMemory: "same-views-of-any-memory-layout",
    NeverQuiet: "no-strength-no-change",
}


def _spec(augmentation):
    settings = {"strength": 0.0, "flip": 0.0}
    if augmentation is DividesByItsStrength:
        settings = {"strength": 0.0}
    return AugmentationSpec(augmentation, identity=settings, reference=_lit)


def _lit(image):
    """A view of an image, with torchvision's random numbers."""
    factor = 0.5 + torch.rand(())
    lit = image * factor
    return ((lit.flip(-1) if torch.rand(()) < 0.5 else lit) - 0.5) / 0.25


def _rows(spec):
    return {case.id: case.row() for case in cases(spec)}


def test_an_augmentation_in_order_passes_every_check():
    rows = _rows(_spec(Good))
    assert {name: row.reason for name, row in rows.items() if row.status != "pass"} == {}


@pytest.mark.parametrize(
    ("broken", "caught_by"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", "")
)
def test_a_broken_augmentation_is_caught(broken, caught_by):
    case = next(case for case in cases(_spec(broken)) if case.id == caught_by)
    assert case.row().status == "fail"


@pytest.mark.parametrize(
    "reference",
    [
        lambda image: _lit(image).flip(-2),
        lambda image: ((image * (0.7 + 0.6 * torch.rand(()))) - 0.5) / 0.25,
        lambda image: ((image * (0.6 + torch.rand(()))) - 0.5) / 0.25,
        lambda image: _lit(image) * 1.1,
    ],
    ids=["upside down", "never mirrored, less light", "brighter", "another scale"],
)
def test_another_distribution_than_the_references_is_caught(reference):
    spec = AugmentationSpec(Good, reference=reference)
    case = next(case for case in cases(spec) if case.id == "distributed-as-the-reference")
    assert case.row().status == "fail"


def _local_spec(augmentation):
    return AugmentationSpec(augmentation, signal="local_views")


def test_local_views_in_order_pass_every_check():
    rows = _rows(_local_spec(TwoSizes))
    assert {name: row.reason for name, row in rows.items() if row.status == "fail"} == {}


@pytest.mark.parametrize(
    ("broken", "caught_by"), BROKEN_LOCALLY.items(), ids=lambda item: getattr(item, "__name__", "")
)
def test_broken_local_views_are_caught(broken, caught_by):
    case = next(case for case in cases(_local_spec(broken)) if case.id == caught_by)
    assert case.row().status == "fail"
