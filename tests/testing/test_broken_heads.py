"""Broken heads; the conformance tests detect each of them."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch
from annotated_types import Ge
from torch import Tensor, nn

from sslcore.signals import Logits, Predictions, Projections, Reconstructions, StepPredictions
from sslcore.testing import HeadSpec, cases


class GoodProjection(nn.Module):
    """A layer, batch normalisation and another layer."""

    def __init__(self, feature_dim: int, *, dim: Annotated[int, Ge(1)] = 6) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(feature_dim, 10), nn.BatchNorm1d(10)
        self.last = nn.Linear(10, dim)

    def forward(self, features: Tensor) -> Projections:
        hidden = self.norm(self.first(features.flatten(0, 1))).relu()
        return {"projections": self.shaped(self.last(hidden), features)}

    def shaped(self, rows: Tensor, features: Tensor) -> Tensor:
        return rows.unflatten(0, features.shape[:2])


class GoodSteps(nn.Module):
    """A recurrent network over the views, and a prediction for each step."""

    def __init__(self, feature_dim: int, num_views: int) -> None:
        super().__init__()
        self.context = nn.GRU(feature_dim, 7)
        self.steps = nn.Linear(7, 2 * feature_dim)

    def forward(self, features: Tensor) -> StepPredictions:
        made = self.steps(self.contexts(features)).unflatten(-1, (2, -1))
        return {"step_predictions": made.movedim(-2, 0)}

    def contexts(self, features: Tensor) -> Tensor:
        return self.context(features)[0]


class AveragesViews(GoodProjection):
    def shaped(self, rows, features):
        return super().shaped(rows, features).mean(0)


class BatchFirst(GoodProjection):
    def shaped(self, rows, features):
        return super().shaped(rows, features).transpose(0, 1)


class BatchForViews(GoodProjection):
    def shaped(self, rows, features):
        views, batch = features.shape[:2]
        return rows.unflatten(0, (batch, views)).transpose(0, 1)


class CentresTheBatch(GoodProjection):
    def shaped(self, rows, features):
        return super().shaped(rows - rows.mean(0), features)


class Detached(GoodProjection):
    def forward(self, features: Tensor) -> Projections:
        return super().forward(features.detach())


class DeclaresAPredictor(GoodProjection):
    def forward(self, features: Tensor) -> Predictions:
        return super().forward(features)  # type: ignore[return-value]


class AnUnusedPredictor(GoodProjection):
    def __init__(self, feature_dim: int) -> None:
        super().__init__(feature_dim)
        self.predictor = nn.Linear(6, 6)


class CentreInPython(GoodProjection):
    centre = torch.zeros(6)

    def shaped(self, rows, features):
        if self.training:
            self.centre = 0.9 * self.centre + 0.1 * rows.detach().mean(0)
        return super().shaped(rows - self.centre, features)


class LooksBothWays(GoodSteps):
    def __init__(self, feature_dim: int, num_views: int) -> None:
        super().__init__(feature_dim, num_views)
        self.context = nn.GRU(feature_dim, 7, bidirectional=True)
        self.steps = nn.Linear(14, 2 * feature_dim)


class ReadsBackwards(GoodSteps):
    def contexts(self, features):
        return super().contexts(features.flip(0)).flip(0)


class NormalisesOverViews(GoodSteps):
    def contexts(self, features):
        return super().contexts(features - features.mean(0))


class SeesOneAhead(GoodSteps):
    def contexts(self, features):
        return super().contexts(features.roll(-1, 0))


class LagsBehind(GoodSteps):
    def contexts(self, features):
        return super().contexts(torch.cat([features[:1] * 0, features[:-1]]))


class StepsLast(GoodSteps):
    def forward(self, features: Tensor) -> StepPredictions:
        return {"step_predictions": super().forward(features)["step_predictions"].movedim(0, 2)}


class RunsOverTheBatch(GoodSteps):
    def __init__(self, feature_dim: int, num_views: int) -> None:
        super().__init__(feature_dim, num_views)
        self.context = nn.GRU(feature_dim, 7, batch_first=True)


class TooSmallAnImage(nn.Module):
    def __init__(self, feature_dim: int, image_size: int, channels: int) -> None:
        super().__init__()
        self.side, self.channels = image_size // 2, channels
        self.layer = nn.Linear(feature_dim, channels * self.side**2)

    def forward(self, features: Tensor) -> Reconstructions:
        shape = (self.channels, self.side, self.side)
        return {"reconstructions": self.layer(features).unflatten(-1, shape)}


class GoodClassifier(nn.Module):
    """A layer with a logit for each class."""

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(feature_dim, num_classes + self.too_many)

    too_many = 0

    def forward(self, features: Tensor) -> Logits:
        return {"logits": self.layer(features)}


class AClassTooMany(GoodClassifier):
    too_many = 1


class MeanOfViews(GoodClassifier):
    def forward(self, features: Tensor) -> Logits:
        return {"logits": super().forward(features)["logits"].mean(0)}


class TheClassItself(GoodClassifier):
    def forward(self, features: Tensor) -> Logits:
        logits = super().forward(features)["logits"]
        return {"logits": (logits == logits.amax(-1, keepdim=True)).float()}


BROKEN = {
    AveragesViews: "outputs-follow-the-contract",
    BatchFirst: "outputs-follow-the-contract",
    BatchForViews: "an-image-is-on-its-own",
    CentresTheBatch: "an-image-is-on-its-own",
    Detached: "gradient-reaches-everything",
    DeclaresAPredictor: "outputs-follow-the-contract",
    AnUnusedPredictor: "gradient-reaches-everything",
    CentreInPython: "state-is-complete",
    LooksBothWays: "predictions-look-back-only",
    ReadsBackwards: "predictions-look-back-only",
    NormalisesOverViews: "predictions-look-back-only",
    SeesOneAhead: "predictions-look-back-only",
    LagsBehind: "predictions-look-back-only",
    StepsLast: "outputs-follow-the-contract",
    RunsOverTheBatch: "an-image-is-on-its-own",
    TooSmallAnImage: "outputs-follow-the-contract",
    AClassTooMany: "outputs-follow-the-contract",
    MeanOfViews: "outputs-follow-the-contract",
    TheClassItself: "gradient-reaches-everything",
}


@pytest.mark.parametrize("head", [GoodProjection, GoodSteps, GoodClassifier])
def test_a_head_in_order_passes_every_check(head):
    rows = {case.id: case.row() for case in cases(HeadSpec(head))}
    failed = {name: row.reason for name, row in rows.items() if row.status not in ("pass", "n/a")}
    assert failed == {}
    assert sum(row.status == "pass" for row in rows.values()) >= 8


@pytest.mark.parametrize(
    ("broken", "caught_by"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", "")
)
def test_a_broken_head_is_caught(broken, caught_by):
    case = next(case for case in cases(HeadSpec(broken)) if case.id == caught_by)
    assert case.row().status == "fail"
