"""Reconstruction error, and the principal components that stand in for a decoder."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from sslcore_probes import principal_components as components_module
from sslcore_probes.principal_components import principal_components
from sslcore_probes.reconstruction import Reconstruction


def _views(seed, count, num_views=1, channels=2, size=4, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    dimensions = channels * size * size
    # Decreasing variances, as in images.
    mixing = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(99))
    spectrum = 0.8 ** torch.arange(dimensions)
    samples = torch.randn(count * num_views, dimensions, generator=generator) * spectrum
    return (scale * (samples @ mixing + 3)).view(count, num_views, channels, size, size)


def _error(*arguments, **options):
    metrics = Reconstruction(**options)(*arguments)
    assert list(metrics) == ["reconstruction_mse"]
    return metrics["reconstruction_mse"]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.integers(1, 3), st.floats(-3, 3))
def test_an_offset_everywhere_costs_its_square(seed, num_views, offset):
    views = _views(seed, 5, num_views)
    error = _error(views, views, views + offset)
    assert error == pytest.approx(offset**2, rel=1e-3, abs=1e-6)


def test_the_error_is_a_mean_over_samples_views_and_pixels():
    views = torch.zeros(2, 3, 1, 2, 2)
    made = views.clone()
    made[1, 2, 0, 1, 1] = 6
    assert _error(views, views, made) == pytest.approx(36 / 24)


def _pca_error(train, test, components):
    pca = PCA(components).fit(train)
    return float(((pca.inverse_transform(pca.transform(test)) - test.numpy()) ** 2).mean())


@pytest.mark.parametrize("components", [1, 8, 31])
@pytest.mark.parametrize("count", [20, 200])
def test_raw_pixels_get_the_reconstruction_of_scikit_learns_pca(count, components):
    train, test = _views(0, count), _views(1, 30)
    flat = [views.double().flatten(1) for views in (train, test)]
    expected = pytest.approx(_pca_error(*flat, min(components, count - 1)), rel=1e-3, abs=1e-6)
    assert _error(train, test, components=components) == expected
    assert _error(train, test, None, components=components) == expected


@pytest.mark.parametrize("count", [20, 200])
def test_subspace_iteration_comes_close_to_it(monkeypatch, count):
    train, test = _views(0, count), _views(1, 30)
    exact = _error(train, test, components=4)
    monkeypatch.setattr(components_module, "_EXACT_SIDE", 1)
    state = torch.get_rng_state()
    close = _error(train, test, components=4)
    assert close == pytest.approx(exact, rel=1e-3)
    assert close == _error(train, test, components=4)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("exact_side", [1, 4096])
@pytest.mark.parametrize("count", [1, 6, 300])
def test_directions_are_orthonormal_and_no_more_than_there_can_be(monkeypatch, count, exact_side):
    monkeypatch.setattr(components_module, "_EXACT_SIDE", exact_side)
    samples = _views(0, count).flatten(1)
    mean, directions = principal_components(samples, 20)
    assert directions.shape == (32, min(20, count - 1))
    assert torch.allclose(mean, samples.mean(0), atol=1e-5)
    identity = torch.eye(directions.shape[1])
    assert torch.allclose(directions.T @ directions, identity, atol=1e-4)


def test_as_many_components_as_pixels_lose_nothing():
    assert _error(_views(0, 200), _views(1, 10), components=1000) < 1e-8


def test_a_single_training_view_leaves_the_distance_to_it():
    train, test = torch.full((1, 1, 1, 2, 2), 0.5), torch.full((4, 1, 1, 2, 2), 2.5)
    assert _error(train, test) == pytest.approx(4)


def test_constant_training_views_cost_no_more_than_the_distance_to_them():
    train, test = torch.full((9, 1, 1, 2, 2), 0.5), torch.full((4, 1, 1, 2, 2), 2.5)
    assert 0 <= _error(train, test, components=1) <= 4


def test_views_of_one_image_are_samples_of_their_own():
    train, test = _views(0, 100, num_views=2), _views(1, 20, num_views=2)
    apart = [views.flatten(0, 1)[:, None] for views in (train, test)]
    assert _error(train, test, components=5) == pytest.approx(_error(*apart, components=5))


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_error_is_in_the_units_of_the_views_squared(scale):
    plain = _error(_views(0, 100), _views(1, 20), components=5)
    scaled = _error(_views(0, 100, scale=scale), _views(1, 20, scale=scale), components=5)
    assert scaled == pytest.approx(plain * scale**2, rel=1e-3)


def test_the_order_of_the_images_makes_no_difference():
    train, test = _views(0, 100), _views(1, 20)
    generator = torch.Generator().manual_seed(0)
    shuffled = [views[torch.randperm(len(views), generator=generator)] for views in (train, test)]
    expected = _error(train, test, components=5)
    assert _error(*shuffled, components=5) == pytest.approx(expected, rel=1e-4)


def test_blocks_change_nothing(monkeypatch):
    train, test = _views(0, 100), _views(1, 20)
    whole = _error(train, test, components=5), _error(train, test, test * 0.5)
    monkeypatch.setattr(components_module, "_BLOCK", 100)
    blocked = _error(train, test, components=5), _error(train, test, test * 0.5)
    assert blocked == pytest.approx(whole, rel=1e-4)


def test_reconstructions_of_another_shape_are_refused():
    train, test = _views(0, 10), _views(1, 5)
    with pytest.raises(ValueError, match="one reconstruction for each view"):
        _error(train, test, test[:4])


def test_views_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4, 4\) but test views of shape \(2, 5, 5\)"):
        _error(_views(0, 10), _views(1, 5, size=5))


def test_no_views_are_refused():
    train, test = _views(0, 10), _views(1, 5)
    with pytest.raises(ValueError, match="test views must be of shape"):
        _error(train, test[:0])
    with pytest.raises(ValueError, match="training views must be of shape"):
        _error(train[:0], test)
    with pytest.raises(ValueError, match="test views must be of shape"):
        _error(train, test[0])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(bad):
    train, test = _views(0, 10), _views(1, 5)
    made = test.clone()
    made[2, 0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="the reconstructions are not finite: 1 of 5"):
        _error(train, test, made)
    with pytest.raises(ValueError, match="the test views are not finite"):
        _error(train, made)
    train[0, 0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="the training views are not finite"):
        _error(train, test)
