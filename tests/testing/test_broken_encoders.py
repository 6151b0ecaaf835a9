"""Broken encoders; the conformance tests detect each of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numpy
import pytest
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore.signals import Features, FeaturesAndMaps
from sslcore.testing import EncoderSpec, cases


class Good(nn.Module):
    """A convolution, batch normalisation, dropout and the mean over positions."""

    def __init__(
        self,
        channels: int,
        *,
        width: Annotated[int, Gt(0)] = 8,
        dropout: Annotated[float, Ge(0), Le(1)] = 0.1,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        maps = self.dropout(self.norm(self.convolution(views)).relu())
        return {"features": self.pooled(maps), "feature_maps": maps}

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((-2, -1))


class NormalisesByTheBatch(Good):
    def forward(self, views: Tensor) -> FeaturesAndMaps:
        self.norm.train()
        return super().forward(views)


class CentresTheFeatures(Good):
    def pooled(self, maps):
        features = super().pooled(maps)
        return features - features.mean(0)


class KeepsCounting(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        self.calls += 1
        return super().forward(views)


class DropsInEval(Good):
    def pooled(self, maps):
        return nn.functional.dropout(super().pooled(maps), 0.5)


class SqueezesABatchOfOne(Good):
    def pooled(self, maps):
        return super().pooled(maps).squeeze(0)


class MixesRows(Good):
    def pooled(self, maps):
        features = super().pooled(maps)
        return features.T.reshape(features.shape)


class ForgetsPositionsOrder(Good):
    """Flattens in memory order."""

    def pooled(self, maps):
        return maps.as_strided((len(maps), maps[0].numel()), (maps.stride(0), 1)).clone()


class ViewsMemory(Good):
    def forward(self, views: Tensor) -> FeaturesAndMaps:
        return super().forward(views.view(len(views), -1).view(views.shape))


class ThreeChannels(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(3)


class BuffersThatAreNone(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.shift = torch.rand(8)

    def pooled(self, maps):
        return super().pooled(maps) + self.shift


class NotPersistent(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("shift", torch.rand(8), persistent=False)

    def pooled(self, maps):
        return super().pooled(maps) + self.shift


class ALayerInAList(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.last = [nn.Linear(8, 8)]

    def pooled(self, maps):
        return self.last[0](super().pooled(maps))


class AnUnusedLayer(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.last = nn.Linear(8, 8)


class ADetachedStem(Good):
    def forward(self, views: Tensor) -> FeaturesAndMaps:
        maps = self.norm(self.convolution(views).detach()).relu()
        return {"features": self.pooled(maps), "feature_maps": maps}


class DetachedFeatures(Good):
    def pooled(self, maps):
        return super().pooled(maps).detach()


class HalvedTooOften(Good):
    def __init__(
        self, channels: int, *, widths: tuple[Annotated[int, Gt(0)], ...] = (4, 8)
    ) -> None:
        super().__init__(channels)
        layers = []
        for before, after in pairwise((8, *widths)):
            layers += [nn.Conv2d(before, after, 2, stride=2), nn.ReLU()]
        self.further = nn.Sequential(*layers)

    def pooled(self, maps):
        return self.further(maps).mean((-2, -1))


class SeesNoPixels(Good):
    def forward(self, views: Tensor) -> FeaturesAndMaps:
        return super().forward(torch.ones_like(views) + 0 * views)


class NumpyWeights(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        drawn = numpy.random.randn(*self.convolution.weight.shape)
        self.convolution.weight.data = torch.from_numpy(drawn).float()


class WritesIntoItsViews(Good):
    def forward(self, views: Tensor) -> FeaturesAndMaps:
        # On a copy if autograd would refuse the change; in place otherwise.
        return super().forward(views.clone() if views.requires_grad else views.clamp_(-1, 1))


class AClosureOverItsLayers(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        norm = self.norm
        self.normalised = lambda maps: norm(maps)

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        maps = self.normalised(self.convolution(views)).relu()
        return {"features": self.pooled(maps), "feature_maps": maps}


class MapsForFeatures(Good):
    def pooled(self, maps):
        return maps


class LongerInTraining(Good):
    def pooled(self, maps):
        features = super().pooled(maps)
        return torch.cat([features, features], 1) if self.training else features


class NoMaps(Good):
    def forward(self, views: Tensor) -> FeaturesAndMaps:
        return {"features": super().forward(views)["features"]}  # type: ignore[typeddict-item]


class ATensor(Good):
    def forward(self, views: Tensor) -> Features:
        return super().forward(views)["features"]  # type: ignore[return-value]


class HalfPrecision(Good):
    def pooled(self, maps):
        return super().pooled(maps).half()


class DividesByDropout(Good):
    def pooled(self, maps):
        return super().pooled(maps) / self.dropout.p


class NoGradient(Good):
    @torch.no_grad()
    def forward(self, views: Tensor) -> FeaturesAndMaps:
        return super().forward(views)


BROKEN = {
    NormalisesByTheBatch: "an-image-is-on-its-own",
    CentresTheFeatures: "an-image-is-on-its-own",
    KeepsCounting: "a-call-leaves-state-alone",
    DropsInEval: "evaluation-repeats",
    SqueezesABatchOfOne: "outputs-follow-the-contract",
    MixesRows: "an-image-is-on-its-own",
    ForgetsPositionsOrder: "any-memory-layout",
    ViewsMemory: "any-memory-layout",
    ThreeChannels: "outputs-follow-the-contract",
    BuffersThatAreNone: "state-is-complete",
    NotPersistent: "state-is-complete",
    ALayerInAList: "state-is-complete",
    AnUnusedLayer: "gradient-reaches-everything",
    ADetachedStem: "gradient-reaches-everything",
    DetachedFeatures: "gradient-reaches-everything",
    HalvedTooOften: "settings-at-their-bounds-work",
    SeesNoPixels: "features-tell-images-apart",
    NumpyWeights: "seeded-weights",
    WritesIntoItsViews: "a-call-leaves-state-alone",
    AClosureOverItsLayers: "a-copy-is-its-own",
    MapsForFeatures: "outputs-follow-the-contract",
    LongerInTraining: "outputs-follow-the-contract",
    NoMaps: "outputs-follow-the-contract",
    ATensor: "outputs-follow-the-contract",
    HalfPrecision: "outputs-follow-the-contract",
    DividesByDropout: "settings-at-their-bounds-work",
    NoGradient: "gradient-reaches-everything",
}


def _rows(encoder):
    return {case.id: case.row() for case in cases(EncoderSpec(encoder))}


def test_an_encoder_in_order_passes_every_check():
    assert {name: row.reason for name, row in _rows(Good).items() if row.status != "pass"} == {}


@pytest.mark.parametrize(
    ("broken", "caught_by"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", "")
)
def test_a_broken_encoder_is_caught(broken, caught_by):
    case = next(case for case in cases(EncoderSpec(broken)) if case.id == caught_by)
    assert case.row().status == "fail"
