"""patch-mask hides an exact number of patches per image, which depend on seed and step only."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore import BatchRandom, transforms
from sslcore_mae.masking import PatchMask


def _images(count=5, channels=1, size=16):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(2))


def _masked(seed=0, step=0, count=5, rows=None, size=16, **more):
    random = BatchRandom(seed, step, count, rows=rows)
    images = _images(count, size=size)
    return PatchMask(size, 1, **{"patch_size": 4, **more})(
        images if rows is None else images[rows], random
    )


@given(grid=st.integers(2, 8), ratio=st.floats(0.05, 0.95), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_exactly_so_many_patches_are_hidden_as_the_ratio_says(grid, ratio, seed):
    hidden = round(ratio * grid**2)
    if not 0 < hidden < grid**2:
        with pytest.raises(ValueError, match=f"of {grid**2} patches is {hidden}"):
            PatchMask(2 * grid, 1, patch_size=2, mask_ratio=ratio)
        return
    made = _masked(seed, size=2 * grid, patch_size=2, mask_ratio=ratio)
    assert made["mask"].shape == (1, 5, grid**2)
    assert made["mask"].dtype == torch.bool
    assert (made["mask"].sum(-1) == hidden).all()


@given(seed=st.integers(0, 99), ratio=st.sampled_from([0.1, 0.5, 0.75]))
@settings(deadline=None, max_examples=10)
def test_visible_are_the_positions_that_the_mask_leaves_ascending(seed, ratio):
    made = _masked(seed, mask_ratio=ratio)
    for mask, visible in zip(made["mask"][0], made["visible"][0], strict=True):
        assert visible.tolist() == [place for place, hidden in enumerate(mask) if not hidden]


def test_each_image_has_a_mask_of_its_own():
    masks = _masked(count=64)["mask"][0]
    assert len(masks.unique(dim=0)) > 60


def test_each_patch_is_hidden_as_often_as_any_other():
    made = [_masked(step=step, count=200)["mask"][0] for step in range(10)]
    often = torch.cat(made).float().mean(0)
    # Five standard errors of 2,000 draws.
    assert (often - 0.75).abs().max() < 5 * (0.75 * 0.25 / 2000) ** 0.5


def test_masks_depend_on_seed_step_and_place_in_the_batch_alone():
    whole = _masked(3, 7)["mask"]
    assert torch.equal(_masked(3, 7)["mask"], whole)
    torch.manual_seed(5)
    assert torch.equal(_masked(3, 7, rows=slice(2, 5))["mask"], whole[:, 2:])
    assert not torch.equal(_masked(3, 8)["mask"], whole)
    assert not torch.equal(_masked(4, 7)["mask"], whole)


def test_how_images_are_cropped_leaves_what_is_hidden_as_it_was():
    others = _masked(crop_scale=(0.9, 1.0), flip=0.0)
    assert torch.equal(others["mask"], _masked()["mask"])
    assert not torch.equal(others["views"], _masked()["views"])


def test_views_are_not_erased_where_they_are_hidden():
    made = _masked(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, mean=(0.2,), std=(2.0,))
    torch.testing.assert_close(made["views"][0], (_images() - 0.2) / 2.0)


def test_crops_are_drawn_as_two_views_draws_them():
    random = BatchRandom(0, 0, 5).fork("crop")
    boxes = transforms.crop_parameters(random, 16, scale=(0.2, 1.0))
    flip = random.bernoulli(0.5)
    expected = transforms.resized_crop(_images(), *boxes, size=16, flip=flip)
    torch.testing.assert_close(_masked()["views"][0], (expected - 0.5) / 0.25)
    assert flip.any()
    assert not flip.all()


def test_evaluators_see_the_whole_image_with_nothing_hidden():
    made = PatchMask(16, 1, patch_size=4).eval()(_images())
    torch.testing.assert_close(made["views"][0], (_images() - 0.5) / 0.25)
    assert not made["mask"].any()
    assert made["visible"].shape == (1, 5, 16)
    assert torch.equal(made["visible"][0, 3], torch.arange(16))


def test_images_of_another_size_become_views_of_the_size_it_was_made_for():
    for mode in (True, False):
        made = PatchMask(16, 1, patch_size=4).train(mode)(_images(size=24), BatchRandom(0, 0, 5))
        assert made["views"].shape == (1, 5, 1, 16, 16)
        assert made["mask"].shape == (1, 5, 16)


def test_training_without_random_numbers_is_refused():
    with pytest.raises(ValueError, match="needs random numbers"):
        PatchMask(16, 1)(_images())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"patch_size": 5}, "views of 16 px can't be cut into patches of 5 px.* 1, 2, 4, 8, 16 px"),
        ({"patch_size": 16}, "0.75 of 1 patches is 1"),
        ({"mask_ratio": 0.01}, "0.01 of 16 patches is 0"),
        ({"crop_scale": (0.9, 0.2)}, "crop_scale: expected 0 < low ≤ high"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio: expected 0 < low ≤ high"),
        ({"mean": (0.1, 0.2)}, "mean: expected 1 or 1 numbers"),
        ({"std": (0.0,)}, "std: expected numbers > 0"),
    ],
)
def test_settings_that_cant_work_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        PatchMask(16, 1, **{"patch_size": 4, **wrong})


@pytest.mark.parametrize(
    ("size", "patches"), [(4, 4), (16, 64), (28, 49), (64, 256), (80, 25), (224, 196)]
)
def test_patches_are_of_2_px_up_to_views_of_16_of_4_up_to_64_and_of_16_beyond(size, patches):
    assert PatchMask(size, 3).patches == patches


def test_crops_are_resized_as_asked():
    assert PatchMask(16, 1).crops.interpolation == "bilinear"
    assert PatchMask(16, 1, interpolation="bicubic").crops.interpolation == "bicubic"
