"""Losses without a family are checked against their author's statements, at several settings."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch
from annotated_types import Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.catalogue import catalogue
from sslcore.testing.losses.contrastive import INVARIANCES


def uniformity(projections: Tensor, t: float) -> Tensor:
    """log E exp(−t ‖x − y‖²) over pairs of different unit rows (Wang & Isola 2020)."""
    unit = F.normalize(projections.flatten(0, 1), dim=-1)
    apart = (unit[:, None] - unit).square().sum(-1)
    others = ~torch.eye(len(unit), dtype=torch.bool)
    return (-t * apart[others]).exp().mean().log()


def reference(projections: Tensor, weight: float, t: float) -> Tensor:
    unit = F.normalize(projections, dim=-1)
    return (unit[0] - unit[1]).square().sum(-1).mean() + weight * uniformity(projections, t)


class Right(nn.Module):
    def __init__(
        self,
        *,
        weight: Annotated[float, Gt(0), Le(1)] = 0.5,
        t: Annotated[float, Gt(0)] = 2.0,
    ) -> None:
        super().__init__()
        self.weight, self.t = weight, t

    def forward(self, projections: Tensor) -> Tensor:
        return reference(projections, self.weight, self.t)


class NoWeight(Right):
    def forward(self, projections: Tensor) -> Tensor:
        return reference(projections, 0.5, self.t)


class NoT(Right):
    def forward(self, projections: Tensor) -> Tensor:
        return reference(projections, self.weight, 2.0)


def failing(make, **stated):
    spec = LossSpec(make=make, family="custom", dtypes=("float64", "float32"), **stated)
    report = check(spec, mutation=False)
    return {row.property for row in report.failures}, report.notes


@pytest.mark.slow
def test_a_setting_that_does_nothing_is_found_where_the_reference_has_it_too():
    right, notes = failing(Right, reference=reference)
    assert not any("reference" in name for name in right)
    assert notes == ()
    for broken in (NoWeight, NoT):
        assert "value-matches-reference-float64" in failing(broken, reference=reference)[0]


def test_settings_that_are_never_varied_are_named():
    _, notes = failing(NoWeight, reference=lambda projections: reference(projections, 0.5, 2.0))
    assert [note.partition(":")[0] for note in notes] == ["weight, t"]


def test_only_values_that_the_annotation_allows_are_tried():
    seen = set()

    class Watched(Right):
        def __init__(self, *, weight: Annotated[float, Gt(0), Le(1)] = 0.5, t: float = 2.0) -> None:
            seen.add(weight)
            super().__init__(weight=weight, t=t)

    failing(Watched, reference=reference)
    assert len(seen) > 2
    assert all(0 < weight <= 1 for weight in seen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_point_may_be_given_in_either_precision(dtype):
    point = {
        "projections": torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=dtype),
        "teacher_projections": torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]], dtype=dtype),
    }

    class Distance(nn.Module):
        def forward(self, projections: Tensor, teacher_projections: Tensor) -> Tensor:
            if projections.shape != teacher_projections.shape or not projections.numel():
                raise ValueError("one shape, please")
            return (projections - teacher_projections.flip(0)).square().sum()

    assert failing(Distance, points=[(point, 0.0)])[0] == set()


def test_the_invariances_that_may_be_claimed_are_listed_with_their_formulas():
    found = {item["name"]: item for item in catalogue("custom")}
    for item in INVARIANCES:
        assert found[item.name]["formula"]
        assert item.name in found[item.name]["precondition"]
