"""Augmentations for reconstruction: the range, the noise, and the clean targets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sslcore import BatchRandom
from sslcore_autoencoder.augmentations import Cutout, Denoising, Plain

DISTURBING = [
    pytest.param(Denoising(noise=0.3, masking=0.4), id="denoising"),
    pytest.param(Cutout(16, holes=2, length=5), id="cutout"),
]


def images(count: int = 6, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, 16, 16, generator=torch.Generator().manual_seed(0))


def random_of(count: int = 6, seed: int = 0, step: int = 0) -> BatchRandom:
    return BatchRandom(seed, step, count)


@pytest.mark.parametrize("training", [True, False])
def test_plain_view_is_the_image_from_minus_one_to_one(training):
    batch = images()
    batch[0], batch[1] = 0.0, 1.0
    views = Plain().train(training)(batch)["views"]
    assert views.shape == (1, 6, 3, 16, 16)
    assert (views[0, 0] == -1).all()
    assert (views[0, 1] == 1).all()
    torch.testing.assert_close((views[0] + 1) / 2, batch)


@pytest.mark.parametrize("augmentation", DISTURBING)
def test_targets_are_the_clean_view_that_eval_mode_shows(augmentation):
    clean = Plain()(images())["views"]
    disturbed = augmentation.train()(images(), random_of())
    assert torch.equal(disturbed["targets"], clean)
    assert disturbed["views"].shape == clean.shape
    assert not torch.equal(disturbed["views"], clean)
    shown = augmentation.eval()(images())
    assert torch.equal(shown["views"], clean)
    assert torch.equal(shown["targets"], clean)


@pytest.mark.parametrize("augmentation", DISTURBING)
def test_disturbance_is_a_function_of_seed_and_step(augmentation):
    augmentation.train()
    views = augmentation(images(), random_of(seed=3, step=5))["views"]
    torch.rand(7)
    assert torch.equal(augmentation(images(), random_of(seed=3, step=5))["views"], views)
    assert not torch.equal(augmentation(images(), random_of(seed=4, step=5))["views"], views)
    assert not torch.equal(augmentation(images(), random_of(seed=3, step=6))["views"], views)


@pytest.mark.parametrize("augmentation", DISTURBING)
@pytest.mark.parametrize("parts", [[6], [1, 5], [2, 2, 2]])
def test_any_split_of_the_batch_gives_the_same_views(augmentation, parts):
    augmentation.train()
    start, made = 0, []
    for length in parts:
        rows = slice(start, start + length)
        random = BatchRandom(0, 0, 6, rows=rows)
        made.append(augmentation(images()[rows], random)["views"])
        start += length
    assert torch.equal(torch.cat(made, 1), augmentation(images(), random_of())["views"])


@pytest.mark.parametrize("augmentation", DISTURBING)
def test_equal_images_are_disturbed_differently(augmentation):
    same = images(1).expand(2, -1, -1, -1)
    views = augmentation.train()(same, random_of(2))["views"]
    assert not torch.equal(views[0, 0], views[0, 1])


@pytest.mark.parametrize("augmentation", DISTURBING)
def test_images_are_left_alone(augmentation):
    batch = images()
    augmentation.train()(batch, random_of())
    assert torch.equal(batch, images())


@pytest.mark.parametrize("augmentation", DISTURBING)
def test_training_mode_asks_for_random_numbers(augmentation):
    with pytest.raises(ValueError, match="random is needed"):
        augmentation.train()(images())


def difference(augmentation: nn.Module, batch: Tensor) -> Tensor:
    """The augmentation's change of each pixel, in the units of the images."""
    made = augmentation.train()(batch, random_of(len(batch)))
    return (made["views"] - made["targets"])[0] / 2


def test_noise_has_its_standard_deviation_in_units_of_the_image():
    # Black images: clipping would cut half of the noise away.
    added = difference(Denoising(noise=0.2, masking=0.0), torch.zeros(64, 3, 16, 16))
    assert added.std().item() == pytest.approx(0.2, rel=0.02)
    assert added.mean().item() == pytest.approx(0.0, abs=0.005)
    between_channels = torch.corrcoef(added.transpose(0, 1).flatten(1))
    assert between_channels.fill_diagonal_(0).abs().max() < 0.05


def test_masked_pixels_are_black_in_all_channels_and_the_others_untouched():
    batch = images(64) * 0.5 + 0.5
    made = Denoising(noise=0.0, masking=0.3)(batch, random_of(64))
    black = made["views"][0] == -1
    assert (black.all(1) == black.any(1)).all()
    assert torch.equal(made["views"][0][~black], made["targets"][0][~black])
    assert black.float().mean().item() == pytest.approx(0.3, abs=0.01)
    # Pixels are drawn independently, so counts per image spread as a binomial's do.
    counts = black[:, 0].sum((1, 2)).float()
    assert counts.std().item() == pytest.approx((256 * 0.3 * 0.7) ** 0.5, rel=0.3)


def test_masked_pixels_are_black_whatever_the_noise():
    noisy = Denoising(noise=0.5, masking=1.0)(images(), random_of())["views"]
    assert (noisy == -1).all()


def test_noise_does_not_move_the_mask():
    batch = torch.ones(6, 1, 16, 16)
    masks = [
        Denoising(noise=noise, masking=0.5)(batch, random_of())["views"] == -1
        for noise in (0.0, 1e-3)
    ]
    assert torch.equal(*masks)


def test_no_noise_and_no_mask_leave_the_image_as_it_is():
    made = Denoising(noise=0.0, masking=0.0)(images(), random_of())
    assert torch.equal(made["views"], made["targets"])


def test_hole_is_a_square_of_its_length_cut_off_at_the_edges():
    batch = torch.ones(256, 3, 16, 16)
    holes = difference(Cutout(16, length=5, fill=0.25), batch) != 0
    assert (holes.all(1) == holes.any(1)).all()
    rows, columns = holes[:, 0].any(2), holes[:, 0].any(1)
    assert torch.equal(holes[:, 0], rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):
        # A hole's centre lies in the image, so at least 3 of its 5 px do.
        assert set(side.sum(1).tolist()) == {3, 4, 5}
        edges = side.int().diff(dim=1, prepend=torch.zeros(256, 1), append=torch.zeros(256, 1))
        assert (edges.abs().sum(1) == 2).all()
        # Centres are uniform: every row and column is reached.
        assert side.any(0).all()
    first = torch.stack([rows.int().argmax(1), columns.int().argmax(1)]).float()
    assert torch.corrcoef(first)[0, 1].abs() < 0.2


def test_hole_is_filled_with_its_grey_level():
    batch = torch.ones(8, 1, 16, 16)
    views = Cutout(16, length=4, fill=0.25)(batch, random_of(8))["views"]
    assert set(views.unique().tolist()) == {-0.5, 1.0}


def test_more_holes_cover_more():
    covered = [
        (difference(Cutout(16, holes=holes, length=3), torch.ones(64, 1, 16, 16)) != 0).sum()
        for holes in (1, 2, 6)
    ]
    assert covered[0] < covered[1] < covered[2]


def test_default_hole_has_half_the_side():
    batch = torch.ones(256, 1, 16, 16)
    holes = difference(Cutout(16), batch)[:, 0] != 0
    assert holes.any(1).sum(1).max().item() == 8


def test_hole_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="length is 17 px but the images are 16 px"):
        Cutout(16, length=17)
