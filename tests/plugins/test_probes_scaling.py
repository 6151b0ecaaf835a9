"""Standardised columns and rows of unit length, at any scale."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore.functional import unit_rows
from sslcore_probes.scaling import standardize


def _features(seed, count=50, dimensions=7):
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31))
def test_columns_of_the_training_part_get_mean_zero_and_deviation_one(seed):
    scales = 10.0 ** torch.linspace(-30, 30, 7)
    train, _ = standardize((_features(seed) + 3) * scales, _features(seed + 1))
    assert torch.allclose(train.mean(0), torch.zeros(7), atol=1e-5)
    assert torch.allclose(train.std(0, correction=0), torch.ones(7), atol=1e-5)


def test_the_test_part_is_moved_and_scaled_as_the_training_part():
    train, test = _features(0) * 5 + 2, _features(1)
    _, result = standardize(train, test)
    expected = (test - train.mean(0)) / train.std(0, correction=0)
    assert torch.allclose(result, expected, atol=1e-5)


def test_a_constant_column_is_not_blown_up():
    train, test = _features(0), _features(1)
    # Constant up to rounding.
    train[:, 2] = 0.1 * (1 + 1e-7 * train[:, 2])
    scaled, other = standardize(train, test)
    assert scaled[:, 2].abs().max() < 1e-6
    assert torch.allclose(other[:, 2], (test[:, 2] - 0.1) / 0.1, rtol=1e-4)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.sampled_from([1e-35, 1e-20, 1.0, 1e30]))
def test_rows_have_length_one_whatever_they_had(seed, scale):
    rows = unit_rows(_features(seed) * scale)
    assert torch.allclose(rows.norm(dim=1), torch.ones(50), atol=1e-5)


def test_a_row_of_zeros_stays_zero():
    assert (unit_rows(torch.zeros(2, 3)) == 0).all()
