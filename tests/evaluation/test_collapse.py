"""The measure of collapse, against closed forms."""

from __future__ import annotations

import pytest
import torch

from sslcore.evaluation.collapse import read_collapse, read_signals


def test_equal_representations_have_effective_rank_1_and_no_spread():
    reading = read_collapse("projections", torch.ones(2, 32, 128))
    assert reading.effective_rank == pytest.approx(1, abs=1e-3)
    assert reading.std == pytest.approx(0, abs=1e-6)
    assert reading.collapsed
    assert reading.warning().startswith("the projections have collapsed: effective rank 1.0 of 128")


def test_orthonormal_representations_have_full_effective_rank():
    reading = read_collapse("features", torch.eye(16))
    assert reading.effective_rank == pytest.approx(16, rel=1e-6)
    assert not reading.collapsed
    assert reading.warning() == ""


def test_isotropic_representations_have_a_spread_of_1():
    rows = torch.randn(4096, 64, generator=torch.Generator().manual_seed(0))
    assert read_collapse("features", rows).spread == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_the_effective_rank_of_equal_directions_is_their_number(rank):
    rows = torch.eye(rank, 32).repeat(10, 1)
    assert read_collapse("features", rows).effective_rank == pytest.approx(rank, rel=1e-4)


def test_scale_is_no_difference():
    rows = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    scales = torch.rand(64, 1, generator=torch.Generator().manual_seed(1)) + 0.1
    plain, scaled = read_collapse("f", rows), read_collapse("f", rows * scales * 1000)
    assert plain.effective_rank == pytest.approx(scaled.effective_rank, rel=1e-3)
    assert plain.std == pytest.approx(scaled.std, rel=1e-3)


def test_zero_rows_do_not_crash_the_reading():
    assert read_collapse("features", torch.zeros(8, 4)).collapsed


def test_projections_are_read_where_there_are_any_else_features():
    features, projections = torch.eye(4)[None], torch.eye(3)[None]
    both = read_signals({"features": features, "projections": projections})
    assert both is not None
    assert (both.signal, both.dim) == ("projections", 3)
    only = read_signals({"features": features})
    assert only is not None
    assert only.signal == "features"
    assert read_signals({}) is None
