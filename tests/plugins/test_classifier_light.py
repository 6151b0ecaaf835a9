"""The augmentation for fine-tuning: its random and its fixed part."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import functional as oracle

from sslcore import BatchRandom
from sslcore_classifier.light import Light

#: Settings at which a view is the whole, unchanged image.
STILL = {
    "crop_scale": (1.0, 1.0),
    "crop_ratio": (1.0, 1.0),
    "flip": 0.0,
    "mean": (0.0,),
    "std": (1.0,),
}
#: Settings at which a view gets every transform.
EVERYTHING = {"degrees": 20.0, "translate": 0.1, "brightness": 0.3, "contrast": 0.3}


def images_of(count: int, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def views_of(images: Tensor, seed: int = 0, step: int = 0, **settings) -> Tensor:
    module = Light(images.shape[-1], images.shape[1], **settings)
    return module(images, BatchRandom(seed, step, len(images)))["views"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [None, 10, 21])
def test_there_is_one_view_of_the_size_asked_for(channels, size):
    made = views_of(images_of(5, channels), size=size, **EVERYTHING)
    assert made.shape == (1, 5, channels, size or 16, size or 16)
    assert made.dtype == torch.float32
    assert made.isfinite().all()


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(deadline=None, max_examples=10)
def test_views_depend_on_seed_and_step_and_nothing_else(seed, step):
    images = images_of(4)
    made = views_of(images, seed, step, **EVERYTHING)
    state = torch.get_rng_state()
    assert torch.equal(views_of(images, seed, step, **EVERYTHING), made)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(views_of(images, seed + 1, step, **EVERYTHING), made)
    assert not torch.equal(views_of(images, seed, step + 1, **EVERYTHING), made)


def test_a_part_of_the_batch_gets_the_views_it_gets_in_the_whole():
    images, rows = images_of(10), slice(3, 7)
    module = Light(16, 3, **EVERYTHING)
    whole = module(images, BatchRandom(3, 5, 10))["views"]
    part = module(images[rows], BatchRandom(3, 5, 10, rows=rows))["views"]
    torch.testing.assert_close(part, whole[:, rows], atol=1e-4, rtol=0)


def test_at_no_strength_a_view_is_the_image():
    images = images_of(4)
    assert torch.equal(views_of(images, **STILL)[0], images)


def test_a_view_is_the_image_or_its_mirror_image_if_it_is_only_mirrored():
    images = images_of(40)
    made = views_of(images, **{**STILL, "flip": 0.5})[0]
    mirrored = (made == images.flip(-1)).flatten(1).all(1)
    assert ((made == images).flatten(1).all(1) ^ mirrored).all()
    assert 8 <= int(mirrored.sum()) <= 32


def test_brightness_and_contrast_change_each_image_by_a_factor_of_its_own():
    images = images_of(30) * 0.5 + 0.1
    ratio = (views_of(images, **STILL, brightness=0.3)[0] / images).flatten(1)
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), atol=1e-4, rtol=0)
    assert ratio.min() >= 0.7 - 1e-4
    assert ratio.max() <= 1.3 + 1e-4
    assert ratio[:, 0].std() > 0.05
    changed = views_of(images, **STILL, contrast=0.3)[0]
    spread = changed.flatten(1).std(1) / images.flatten(1).std(1)
    assert 0.7 - 1e-3 <= spread.min() <= 0.9
    assert 1.1 <= spread.max() <= 1.3 + 1e-3


@pytest.mark.parametrize("least", [0.25, 0.9])
def test_crops_have_at_least_the_area_asked_for(least):
    # A ramp shows how much of its axis a crop keeps.
    ramp = torch.linspace(0, 1, 32).expand(60, 1, 32, 32)
    both = [ramp, ramp.transpose(-1, -2)]
    settings_ = {**STILL, "crop_scale": (least, 1.0), "crop_ratio": (0.75, 4 / 3)}
    kept = [
        made.flatten(1).amax(1) - made.flatten(1).amin(1)
        for made in (views_of(images.contiguous(), **settings_)[0] for images in both)
    ]
    area = kept[0] * kept[1]
    assert area.min() > least - 0.1
    assert area.min() < least + 0.3
    assert area.max() > 0.85


@pytest.mark.parametrize(("ratio", "kept"), [(2.0, (1.0, 0.5)), (0.5, (0.5, 1.0))])
def test_crops_have_the_ratio_asked_for(ratio, kept):
    ramp = torch.linspace(0, 1, 32).expand(4, 1, 32, 32)
    both = ramp.contiguous(), ramp.transpose(-1, -2).contiguous()
    settings_ = {**STILL, "crop_scale": (0.5, 0.5), "crop_ratio": (ratio, ratio)}
    for images, expected in zip(both, kept, strict=True):
        made = views_of(images, **settings_)[0].flatten(1)
        found = made.amax(1) - made.amin(1)
        torch.testing.assert_close(found, torch.full((4,), expected), atol=0.1, rtol=0)


@pytest.mark.parametrize("setting", [{"degrees": 30.0}, {"translate": 0.3}])
def test_each_image_is_turned_or_moved_by_its_own_draw_if_asked_for(setting):
    same = images_of(1).expand(20, -1, -1, -1)
    assert len(views_of(same, **STILL, **setting)[0].flatten(1).unique(dim=0)) >= 15


def test_the_whole_image_is_normalised_in_eval_mode_without_random_numbers():
    module = Light(16, 3, mean=(0.1, 0.2, 0.3), std=(0.5,), **EVERYTHING).eval()
    images = images_of(4)
    expected = oracle.normalize(images, [0.1, 0.2, 0.3], [0.5] * 3)
    views = module(images)["views"]
    torch.testing.assert_close(views, expected[None])
    assert torch.equal(module(images, BatchRandom(0, 0, 4))["views"], views)


def test_by_default_values_are_centred_at_a_half_and_divided_by_a_quarter():
    images = images_of(4)
    torch.testing.assert_close(Light(16, 3).eval()(images)["views"][0], (images - 0.5) / 0.25)


def test_training_without_random_numbers_is_an_error():
    with pytest.raises(ValueError, match="pass `random`"):
        Light(16, 3)(images_of(2))


@pytest.mark.parametrize(
    "wrong", [{"mean": (0.1, 0.2)}, {"std": (0.1, 0.2)}, {"crop_scale": (0.9, 0.5)}]
)
def test_settings_that_do_not_fit_are_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Light(16, 3, **wrong)


def test_each_image_is_described_as_it_was_changed():
    images = images_of(3)
    described = Light(16, 3, **EVERYTHING).describe(images, BatchRandom(0, 0, 3))["views"]
    assert [len(texts) for texts in described] == [3]
    assert len({*described[0]}) == 3
