"""The patches augmentation: a grid in reading order, the same for any split of the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslcore import BatchRandom
from sslcore_cpc.patches import Patches, shift

#: Statistics that leave values as they are.
AS_IS: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)}


def images(count: int = 6, channels: int = 3, size: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def random_of(count: int = 6, seed: int = 0, step: int = 0) -> BatchRandom:
    return BatchRandom(seed, step, count)


@settings(deadline=None, max_examples=25)
@given(size=st.integers(2, 20), patch=st.integers(1, 20), stride=st.integers(1, 8), data=st.data())
def test_views_are_the_patches_of_the_grid_row_by_row(size, patch, stride, data):
    patch = min(patch, size)
    channels = data.draw(st.sampled_from([1, 3, 4]))
    batch = images(2, channels, size)
    cut = Patches(size, channels, patch_size=patch, stride=stride, **AS_IS).eval()
    starts = range(0, size - patch + 1, stride)
    expected = [batch[:, :, y : y + patch, x : x + patch] for y in starts for x in starts]
    assert torch.equal(cut(batch)["views"], torch.stack(expected))


def test_default_is_nine_patches_of_half_the_side_of_16_px():
    assert Patches(16, 3)(images(), random_of())["views"].shape == (9, 6, 3, 8, 8)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 28, 33])
def test_default_grid_exists_for_images_of_any_size(size):
    views = Patches(size, 1)(images(2, 1, size), random_of(2))["views"]
    assert views.shape[1:3] == (2, 1)
    assert views.isfinite().all()


def test_views_are_centred_and_scaled_by_channel():
    plain = Patches(16, 3, **AS_IS).eval()(images())["views"]
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    by_channel = Patches(16, 3, mean=mean, std=std).eval()(images())["views"]
    for channel in range(3):
        expected = (plain[:, :, channel] - mean[channel]) / std[channel]
        torch.testing.assert_close(by_channel[:, :, channel], expected)
    default = Patches(16, 3).eval()(images())["views"]
    torch.testing.assert_close(default, (plain - 0.5) / 0.25)


def test_training_without_disturbance_gives_the_views_of_eval_mode():
    plain = Patches(16, 3, crop=0, jitter=0.0)
    assert torch.equal(plain(images(), random_of())["views"], plain.eval()(images())["views"])


def test_views_are_a_function_of_seed_and_step():
    cut = Patches(16, 3, crop=2)
    views = cut(images(), random_of(seed=3, step=5))["views"]
    torch.rand(7)
    assert torch.equal(cut(images(), random_of(seed=3, step=5))["views"], views)
    assert not torch.equal(cut(images(), random_of(seed=4, step=5))["views"], views)
    assert not torch.equal(cut(images(), random_of(seed=3, step=6))["views"], views)


@pytest.mark.parametrize("parts", [[6], [1, 5], [2, 2, 2], [1, 1, 1, 1, 1, 1]])
def test_any_split_of_the_batch_gives_the_same_views(parts):
    cut, batch = Patches(16, 3, crop=2, jitter=0.4), images()
    whole = cut(batch, random_of())["views"]
    start, made = 0, []
    for length in parts:
        rows = slice(start, start + length)
        made.append(cut(batch[rows], BatchRandom(0, 0, 6, rows=rows))["views"])
        start += length
    torch.testing.assert_close(torch.cat(made, 1), whole)


def test_every_image_is_shifted_on_its_own_by_whole_pixels_with_edges_repeated():
    size, most = 8, 2
    # Every value encodes its row and column.
    codes = (torch.arange(size)[:, None] * size + torch.arange(size)).float() / size**2
    batch = codes.expand(64, 1, size, size)
    cut = Patches(size, 1, patch_size=size, crop=most, jitter=0.0, **AS_IS)
    views = cut(batch, random_of(64))["views"][0, :, 0]
    at = torch.arange(size)
    moves = {
        (down, right): codes[(at + down).clamp(0, size - 1)][:, (at + right).clamp(0, size - 1)]
        for down in range(-most, most + 1)
        for right in range(-most, most + 1)
    }
    found = [
        next(move for move, expected in moves.items() if torch.equal(view, expected))
        for view in views
    ]
    assert {down for down, _ in found} == set(range(-most, most + 1))
    assert {right for _, right in found} == set(range(-most, most + 1))


def test_shift_moves_up_and_left():
    batch = images(1, 2, 4)
    moved = shift(batch, torch.tensor([[1, 2]]))
    assert torch.equal(moved[:, :, :3, :2], batch[:, :, 1:, 2:])
    assert torch.equal(moved[:, :, 3, :2], batch[:, :, 3, 2:])


def test_jitter_lights_every_patch_by_its_own_factor_within_its_range():
    grey = torch.full((32, 1, 16, 16), 0.5)
    views = Patches(16, 1, jitter=0.3, **AS_IS)(grey, random_of(32))["views"]
    brightness = views[..., 0, 0, 0] / 0.5
    # A uniform patch has no contrast to change, so it stays uniform.
    torch.testing.assert_close(views, (0.5 * brightness)[..., None, None, None].expand_as(views))
    assert brightness.min() >= 0.7
    assert brightness.max() <= 1.3
    assert brightness.min() < 0.75
    assert brightness.max() > 1.25
    assert len(brightness.unique()) > 9 * 32 * 0.9


def test_jitter_scales_the_contrast_of_a_patch_about_its_mean():
    stripes = (torch.arange(16) % 2 * 0.2 + 0.3).expand(32, 1, 16, 16)
    views = Patches(16, 1, jitter=0.3, **AS_IS)(stripes, random_of(32))["views"]
    low, high = views.amin((2, 3, 4)), views.amax((2, 3, 4))
    brightness = (low + high) / 0.8
    contrast = (high - low) / (0.2 * brightness)
    assert contrast.min() >= 0.7 - 1e-5
    assert contrast.max() <= 1.3 + 1e-5
    assert contrast.std() > 0.1
    together = torch.corrcoef(torch.stack([brightness.flatten(), contrast.flatten()]))
    assert together[0, 1].abs() < 0.3


def test_more_jitter_leaves_the_shifts_alone():
    moved = [
        Patches(16, 1, crop=4, jitter=jitter, **AS_IS)(images(6, 1), random_of())["views"]
        for jitter in (0.0, 1e-6)
    ]
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-4, atol=1e-4)


def test_images_are_left_alone():
    batch = images()
    before = batch.clone()
    Patches(16, 3, crop=2)(batch, random_of())
    assert torch.equal(batch, before)


def test_training_mode_asks_for_random_numbers():
    with pytest.raises(ValueError, match="random is needed"):
        Patches(16, 3)(images())


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"patch_size": 17}, "patch_size is 17 px but the images are 16 px"),
        ({"crop": 17}, "crop is 17 px but the images are 16 px"),
        ({"mean": (0.5, 0.5)}, "mean has 2 numbers and the images have 3 channels"),
        ({"std": (0.5,) * 4}, "std has 4 numbers and the images have 3 channels"),
        ({"std": (0.5, 0.0, 0.5)}, "std must be > 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(given_settings, message):
    with pytest.raises(ValueError, match=message):
        Patches(16, 3, **given_settings)
