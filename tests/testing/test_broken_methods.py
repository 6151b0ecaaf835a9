"""Broken methods; the conformance tests detect each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest
import torch
from torch import Tensor, nn

import sslcore
from sslcore.registry.registry import Registry, default_registry
from sslcore.signals import Features, Projections, Views
from sslcore.testing import MethodSpec, cases


class Mirrored(nn.Module):
    def forward(self, images: Tensor) -> Views:
        return {"views": torch.stack([images, images.flip(-1)])}


class Layer(nn.Module):
    def __init__(self, image_size: int, channels: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels * image_size**2, 8)

    def forward(self, views: Tensor) -> Features:
        return {"features": self.layer(views.flatten(1)).tanh()}


class FrozenLayer(Layer):
    @torch.no_grad()
    def forward(self, views: Tensor) -> Features:
        return super().forward(views)


class CopiesAnew(Layer):
    """A copy of it, such as a teacher, starts from other weights."""

    def __init__(self, image_size: int, channels: int) -> None:
        super().__init__(image_size, channels)
        self.sizes = image_size, channels

    def __deepcopy__(self, memo):
        return CopiesAnew(*self.sizes)


class IsItsOwnCopy(Layer):
    """A copy of it, such as a teacher, is the same object."""

    def __deepcopy__(self, memo):
        return self


class Projection(nn.Module):
    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(feature_dim, 4)

    def forward(self, features: Tensor) -> Projections:
        return {"projections": self.layer(features)}


class SeedsNumpy(Projection):
    def forward(self, features: Tensor) -> Projections:
        numpy.random.seed(0)
        return super().forward(features)


class Agreement(nn.Module):
    def forward(self, projections: Tensor) -> Tensor:
        first, second = projections
        return (first - second).square().mean() + (projections.std(1) - 1).square().mean()


class ReadsFeatures(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return Agreement()(features)


class CentreInPython(Agreement):
    def __init__(self) -> None:
        super().__init__()
        self.centre = torch.zeros(4)

    def forward(self, projections: Tensor) -> Tensor:
        self.centre = 0.5 * self.centre + 0.5 * projections.detach().mean((0, 1))
        return super().forward(projections - self.centre) + (projections - self.centre).abs().mean()


class CountsInPython(Agreement):
    steps = 0

    def forward(self, projections: Tensor) -> Tensor:
        self.steps += 1
        return super().forward(projections) / self.steps


class WeighsAtRandom(Agreement):
    def forward(self, projections: Tensor) -> Tensor:
        return super().forward(projections) * float(1 + numpy.random.rand())


class FollowsATeacher(nn.Module):
    def forward(self, projections: Tensor, teacher_projections: Tensor) -> Tensor:
        return (projections - teacher_projections.flip(0)).square().mean()


class GrowsBeyondMeasure(Agreement):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, projections: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(projections) / (self.calls < 3)


class Opinion:
    def __call__(self, test_features: Tensor) -> dict[str, float]:
        return {"opinion": float("nan")}


def _part(kind, made):
    name = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in made.__name__)
    return kind(name=name.strip("-"), summary=made.__name__, build=f"{__name__}:{made.__name__}")


class _Plugin:
    @sslcore.hookimpl
    def sslcore_augmentations(self):
        yield _part(sslcore.Augmentation, Mirrored)

    @sslcore.hookimpl
    def sslcore_encoders(self):
        for made in (Layer, FrozenLayer, CopiesAnew, IsItsOwnCopy):
            yield _part(sslcore.Encoder, made)

    @sslcore.hookimpl
    def sslcore_heads(self):
        yield replace(_part(sslcore.Head, Projection), name="one-layer")
        yield _part(sslcore.Head, SeedsNumpy)

    @sslcore.hookimpl
    def sslcore_losses(self):
        for made in (
            Agreement,
            ReadsFeatures,
            CentreInPython,
            CountsInPython,
            WeighsAtRandom,
            FollowsATeacher,
            GrowsBeyondMeasure,
        ):
            yield _part(sslcore.Loss, made)

    @sslcore.hookimpl
    def sslcore_evaluators(self):
        yield _part(sslcore.Evaluator, Opinion)


@pytest.fixture(scope="module")
def registry():
    found = Registry(list(default_registry().plugins))
    status = found.register(_Plugin(), name="broken", distribution="broken")
    assert not status.error, status.error
    return found


GOOD = sslcore.Method(
    name="in-order",
    summary="Mirrored views agree and differ from others",
    augmentation="mirrored",
    encoder="layer",
    head="one-layer",
    loss="agreement",
    evaluators=("knn",),
    settings={"optimizer": {"name": "Adam", "lr": 1e-3}},
)
TAUGHT = replace(GOOD, loss="follows-a-teacher", teacher=sslcore.Teacher(momentum=0.7))

BROKEN = {
    "an unknown head": (replace(GOOD, head="three-layers"), "its-names-resolve"),
    "an unknown setting": (
        replace(GOOD, settings={"loss": {"temperature": 0.5}}),
        "its-names-resolve",
    ),
    "no teacher": (replace(GOOD, loss="follows-a-teacher"), "its-names-resolve"),
    "a head that nothing reads": (
        replace(GOOD, loss="reads-features"),
        "training-moves-every-weight",
    ),
    "a frozen encoder": (replace(GOOD, encoder="frozen-layer"), "training-moves-every-weight"),
    "a rate of zero": (
        replace(GOOD, settings={"optimizer": {"name": "SGD", "lr": 0.0}}),
        "training-moves-every-weight",
    ),
    "a loss that becomes infinite": (
        replace(GOOD, loss="grows-beyond-measure"),
        "training-moves-every-weight",
    ),
    "a centre in Python": (replace(GOOD, loss="centre-in-python"), "goes-on-as-if-never-stopped"),
    "a counter in Python": (replace(GOOD, loss="counts-in-python"), "goes-on-as-if-never-stopped"),
    "numpy's random numbers": (replace(GOOD, loss="weighs-at-random"), "a-seed-decides"),
    "numpy seeded for all": (replace(GOOD, head="seeds-numpy"), "leaves-global-state-alone"),
    "a teacher with weights of its own": (
        replace(TAUGHT, encoder="copies-anew"),
        "the-teacher-follows",
    ),
    "a teacher that is the student": (
        replace(TAUGHT, encoder="is-its-own-copy"),
        "the-teacher-follows",
    ),
    "an evaluator without an opinion": (
        replace(GOOD, evaluators=("opinion",)),
        "its-features-are-evaluated",
    ),
}


@pytest.mark.parametrize("method", [GOOD, TAUGHT], ids=["plain", "with a teacher"])
def test_a_method_in_order_passes_every_check(method, registry):
    rows = {c.id: c.row() for c in cases(MethodSpec(lambda: method, registry=registry))}
    failed = {name: row.reason for name, row in rows.items() if row.status not in ("pass", "n/a")}
    assert failed == {}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_method_is_caught(fault, registry):
    method, caught_by = BROKEN[fault]
    spec = MethodSpec(lambda: method, registry=registry)
    case = next(case for case in cases(spec) if case.id == caught_by)
    assert case.row().status == "fail"
