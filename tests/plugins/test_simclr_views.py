"""The views of SimCLR: their random and their fixed parts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import functional as oracle

import sslcore_simclr
from sslcore import BatchRandom, transforms
from sslcore.contract.interface import interface_of, load_reference
from sslcore_simclr.views import TwoViews

#: Settings at which a view is the whole, unchanged image.
STILL = {
    "crop_scale": (1.0, 1.0),
    "crop_ratio": (1.0, 1.0),
    "flip": 0.0,
    "jitter": 0.0,
    "grayscale": 0.0,
    "blur": 0.0,
    "mean": (0.0,),
    "std": (1.0,),
}
#: Settings at which many views get every transform.
EVERYTHING = {
    "degrees": 20.0,
    "translate": 0.1,
    "blur": 0.5,
    "solarize": 0.3,
    "cutout_holes": 2,
    "cutout_length": 4,
}


def images_of(count: int, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def views_of(images: Tensor, seed: int = 0, step: int = 0, **settings) -> Tensor:
    module = TwoViews(images.shape[-1], images.shape[1], **settings)
    return module(images, BatchRandom(seed, step, len(images)))["views"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("views", "size"), [(2, None), (3, 10), (2, 21)])
def test_views_have_the_shape_asked_for(channels, views, size):
    made = views_of(images_of(5, channels), views=views, size=size, **EVERYTHING)
    assert made.shape == (views, 5, channels, size or 16, size or 16)
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


@given(st.integers(0, 9), st.integers(1, 10))
@settings(deadline=None, max_examples=15)
def test_a_part_of_the_batch_gets_the_views_it_gets_in_the_whole(start, length):
    images, rows = images_of(10), slice(start, min(10, start + length))
    module = TwoViews(16, 3, **EVERYTHING)
    whole = module(images, BatchRandom(3, 5, 10))["views"]
    part = module(images[rows], BatchRandom(3, 5, 10, rows=rows))["views"]
    torch.testing.assert_close(part, whole[:, rows], atol=1e-4, rtol=0)


def test_each_view_of_each_image_is_disturbed_in_its_own_way():
    same = images_of(1).expand(30, -1, -1, -1)
    for settings_ in ({}, {**STILL, "jitter": 1.0}, {**STILL, "degrees": 30.0}):
        flat = views_of(same, **settings_).flatten(0, 1).flatten(1)
        assert len(flat.unique(dim=0)) == 60


def test_at_no_strength_every_view_is_the_image():
    images = images_of(4)
    assert torch.equal(views_of(images, **STILL), images.expand(2, -1, -1, -1, -1))


def test_the_whole_image_is_normalised_in_eval_mode_without_random_numbers():
    module = TwoViews(16, 3, mean=(0.1, 0.2, 0.3), std=(0.5,), **EVERYTHING).eval()
    images = images_of(4)
    expected = oracle.normalize(images, [0.1, 0.2, 0.3], [0.5] * 3)
    views = module(images)["views"]
    assert views.shape == (1, 4, 3, 16, 16)
    torch.testing.assert_close(views[0], expected)
    assert torch.equal(module(images, BatchRandom(0, 0, 4))["views"], views)


def test_the_whole_image_is_resized_in_eval_mode_where_views_have_another_size():
    module = TwoViews(16, 1, size=12).eval()
    images = images_of(4, 1)
    expected = (oracle.resize(images, [12, 12], antialias=True) - 0.5) / 0.25
    torch.testing.assert_close(module(images)["views"][0], expected, atol=1e-5, rtol=0)


def test_training_without_random_numbers_is_an_error():
    with pytest.raises(ValueError, match="pass `random`"):
        TwoViews(16, 3)(images_of(2))


def test_each_view_is_what_torchvision_makes_of_the_image_with_its_draws():
    images, count = images_of(6, size=20), 6
    made = views_of(images, 4, 7, size=14, blur=0.0)
    crop, jitter = (BatchRandom(4, 7, count).fork(name) for name in ("crop", "jitter"))
    boxes = transforms.crop_parameters(crop, 20, 2)
    flip = crop.bernoulli(0.5, 2)
    jittered = jitter.bernoulli(0.8, 2)
    factors = transforms.color_jitter_parameters(
        jitter, 2, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
    )
    order = jitter.permutations(4, 2)
    grey = BatchRandom(4, 7, count).fork("grayscale").bernoulli(0.2, 2)
    adjust = [getattr(oracle, f"adjust_{name}") for name in factors._fields]
    for index in range(count):
        for view in range(2):
            box = [int(value[index, view]) for value in boxes]
            image = oracle.resized_crop(images[index], *box, [14, 14], antialias=True)
            if flip[index, view]:
                image = oracle.hflip(image)
            if jittered[index, view]:
                for place in order[index, view].tolist():
                    image = adjust[place](image, factors[place][index, view].item())
            if grey[index, view]:
                image = oracle.rgb_to_grayscale(image, num_output_channels=3)
            image = oracle.normalize(image, [0.5] * 3, [0.25] * 3)
            torch.testing.assert_close(made[view, index], image, atol=2e-4, rtol=0)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_views_are_mirrored_as_often_as_asked(probability):
    images = images_of(300, 1, 4)
    views = views_of(images, **{**STILL, "flip": probability})
    mirrored = (views == images.flip(-1)).flatten(2).all(-1)
    plain = (views == images).flatten(2).all(-1)
    assert (mirrored ^ plain).all()
    assert mirrored.float().mean() == pytest.approx(probability, abs=0.08)


@pytest.mark.parametrize(
    ("name", "effect"),
    [
        ("grayscale", lambda images: transforms.grayscale(images)),
        ("solarize", lambda images: torch.where(images >= 0.5, 1 - images, images)),
    ],
)
def test_an_effect_strikes_as_often_as_asked(name, effect):
    images = images_of(300, 3, 4)
    views = views_of(images, **{**STILL, name: 0.3})
    struck = torch.isclose(views, effect(images), atol=1e-6).flatten(2).all(-1)
    spared = (views == images).flatten(2).all(-1)
    assert (struck ^ spared).all()
    assert struck.float().mean() == pytest.approx(0.3, abs=0.08)


def test_blur_softens_a_part_of_the_views_and_keeps_their_mean():
    images = images_of(100, 1, 16)
    views = views_of(images, **{**STILL, "blur": 0.5, "blur_sigma": (1.0, 2.0), "blur_kernel": 5})
    softened = views.std((-2, -1)).squeeze(-1) < 0.6 * images.std((-2, -1)).squeeze(-1)
    spared = (views == images).flatten(2).all(-1)
    assert (softened ^ spared).all()
    assert softened.float().mean() == pytest.approx(0.5, abs=0.12)
    mean = images.mean((1, 2, 3)).expand(2, -1)
    torch.testing.assert_close(views.mean((-3, -2, -1)), mean, atol=0.05, rtol=0)


@pytest.mark.parametrize(("size", "probability"), [(32, 0.0), (63, 0.0), (64, 0.5), (224, 0.5)])
def test_blur_is_for_large_views_unless_asked_for(size, probability):
    assert TwoViews(size, 3).random_views.blur == probability
    assert TwoViews(32, 3, size=size).random_views.blur == probability
    assert TwoViews(size, 3, blur=0.2).random_views.blur == 0.2


def test_the_kernel_of_the_blur_is_about_a_tenth_of_the_view():
    assert [TwoViews(size, 3).random_views.kernel for size in (32, 64, 96, 224)] == [3, 7, 9, 23]


def test_rotated_views_stay_within_the_angle():
    # A bright point at the right border shows how far the image was turned about its centre.
    images = torch.zeros(200, 1, 33, 33)
    images[..., 16, 31] = 1.0
    views = views_of(images, **{**STILL, "degrees": 30.0})
    down, right = torch.meshgrid(*[torch.arange(33.0) - 16] * 2, indexing="ij")
    total = views.sum((-3, -2, -1))
    y, x = (views * down).sum((-3, -2, -1)) / total, (views * right).sum((-3, -2, -1)) / total
    angle = torch.rad2deg(torch.atan2(y, x))
    assert angle.abs().max() <= 31
    assert angle.max() > 25
    assert angle.min() < -25


def test_moved_views_stay_within_the_distance():
    images = torch.zeros(200, 1, 20, 20)
    images[..., 10, 10] = 1.0
    views = views_of(images, **{**STILL, "translate": 0.2})
    place = torch.arange(20.0) - 10
    for axis in (-1, -2):
        moved = (views.sum((-3, axis)) * place).sum(-1)
        assert moved.abs().max() <= 4.01
        assert moved.max() > 3
        assert moved.min() < -3


def test_holes_are_cut_into_each_view_at_places_of_its_own():
    images = torch.ones(50, 1, 16, 16)
    views = views_of(images, **{**STILL, "cutout_holes": 1, "cutout_length": 4})
    holes = (views == 0).flatten(2).sum(-1)
    assert holes.max() == 16
    assert holes.min() >= 4
    assert len(views.flatten(0, 1).flatten(1).unique(dim=0)) > 60


def test_switching_one_effect_on_leaves_the_draws_of_the_others():
    images = images_of(8)
    plain = views_of(images)
    holed = views_of(images, cutout_holes=1, cutout_length=4)
    untouched = holed != 0
    assert torch.equal(holed[untouched], plain[untouched])
    solarized = views_of(images, solarize=0.5)
    spared = (solarized == plain).flatten(2).all(-1)
    assert 0 < spared.sum() < spared.numel()


def test_grey_images_are_jittered_in_brightness_and_contrast():
    images = images_of(20, 1)
    views = views_of(images, **{**STILL, "jitter": 1.0})
    assert (views != images).flatten(2).any(-1).all()
    without = {"brightness": 0.0, "contrast": 0.0}
    assert torch.equal(
        views_of(images, **{**STILL, "jitter": 1.0, **without}), images.expand(2, -1, -1, -1, -1)
    )


def test_the_fixed_order_of_the_jitter_is_that_of_the_settings():
    images = images_of(5, size=12)
    made = views_of(images, **{**STILL, "jitter": 1.0, "jitter_order": "fixed"})
    random = BatchRandom(0, 0, 5).fork("jitter")
    random.bernoulli(1.0, 2)
    factors = transforms.color_jitter_parameters(
        random, 2, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1
    )
    for view in range(2):
        expected = transforms.color_jitter(images, *(value[:, view] for value in factors))
        torch.testing.assert_close(made[view], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop_scale": (0.5, 0.2)}, "crop_scale: expected 0 < low ≤ high"),
        ({"crop_ratio": (0.0, 1.0)}, "crop_ratio: expected 0 < low ≤ high"),
        ({"blur_sigma": (2.0, 1.0)}, "blur_sigma: expected 0 < low ≤ high"),
        ({"mean": (0.5, 0.5)}, "mean: expected 1 or 3 numbers"),
        ({"std": (0.5,) * 4}, "std: expected 1 or 3 numbers"),
        ({"std": (0.0,)}, "std: expected numbers > 0"),
        ({"blur": 0.5, "blur_kernel": 4}, "blur_kernel: expected an odd number up to 31"),
        ({"blur": 0.5, "blur_kernel": 33}, "blur_kernel: expected an odd number up to 31"),
    ],
)
def test_settings_that_cannot_work_are_an_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        TwoViews(16, 3, **wrong)


def test_channels_that_are_no_colours_are_left_as_they_are_with_a_note():
    asked = TwoViews(16, 13)
    colourless = TwoViews(16, 13, saturation=0.0, hue=0.0, grayscale=0.0)
    images = images_of(6, 13)

    made = [module(images, BatchRandom(0, 0, 6))["views"] for module in (asked, colourless)]

    assert asked.notes == (
        "13 channels are neither grey nor RGB, so views are made without saturation, hue, "
        "grayscale",
    )
    assert colourless.notes == TwoViews(16, 1).notes == TwoViews(16, 3).notes == ()
    assert TwoViews(16, 13, jitter=0.0).notes[0].endswith("without grayscale")
    assert torch.equal(*made)


def test_every_part_of_the_plugin_loads_and_every_setting_has_help():
    records = [
        *sslcore_simclr.sslcore_augmentations(),
        *sslcore_simclr.sslcore_heads(),
        *sslcore_simclr.sslcore_losses(),
    ]
    assert [record.name for record in records] == ["two-views", "projection", "nt-xent"]
    for record in records:
        for setting in interface_of(load_reference(record.build)).settings.values():
            assert setting.help, f"{record.name}: {setting.name}"
            assert setting.validate(setting.default) == setting.default


@pytest.mark.parametrize("size", [16, 64])
def test_asymmetric_views_are_blurred_and_solarized_as_in_byol(size):
    made = TwoViews(size, 3, asymmetric=True).random_views
    assert made.blur == ((1.0, 0.1) if size == 64 else 0.0)
    assert made.solarize == (0.0, 0.2)
    stated = TwoViews(size, 3, asymmetric=True, blur=0.3, solarize=0.4).random_views
    assert (stated.blur, stated.solarize) == (0.3, 0.4)
    with pytest.raises(ValueError, match="2 views"):
        TwoViews(size, 3, asymmetric=True, views=3)


def test_a_probability_for_each_view_is_that_of_the_view():
    images = images_of(200, size=4) * 0.25
    still = transforms.RandomViews(
        size=4, channels=3, crop_scale=(1, 1), crop_ratio=(1, 1), flip=0, jitter=0, grayscale=0
    )
    inverted = dataclasses.replace(still, solarize=(0.0, 1.0), mean=(0.0,), std=(1.0,))
    # Values above the threshold are inverted, so bright images show it.
    first, second = inverted(1 - images, BatchRandom(0, 0, 200))
    assert torch.equal(first, 1 - images)
    torch.testing.assert_close(second, images)
    half = dataclasses.replace(inverted, solarize=(0.2, 0.8))
    for view, part in zip(half(1 - images, BatchRandom(0, 0, 200)), (0.2, 0.8), strict=True):
        changed = (view != 1 - images).flatten(1).any(1).float().mean()
        assert abs(float(changed) - part) < 0.12
    with pytest.raises(ValueError, match="one for each of 2 views"):
        dataclasses.replace(still, blur=(0.5, 0.5, 0.5))


def test_blur_and_solarize_take_a_probability_for_each_view():
    made = TwoViews(16, 3, blur=(0.7, 0.1), solarize=(0.0, 0.2)).random_views
    assert (made.blur, made.solarize) == ((0.7, 0.1), (0.0, 0.2))
    with pytest.raises(ValueError, match="blur: expected one probability, or one for each of 2"):
        TwoViews(16, 3, blur=(0.7, 0.1, 0.2))


def test_student_and_teacher_can_get_half_of_the_views_each():
    images, both = images_of(5), TwoViews(16, 3)
    apart = TwoViews(16, 3, teacher_apart=True)
    views = both(images, BatchRandom(0, 3, 5))["views"]
    made = apart(images, BatchRandom(0, 3, 5))
    assert torch.equal(made["views"], views[:1])
    assert torch.equal(made["teacher_views"], views[1:])
    words = apart.describe(images, BatchRandom(0, 3, 5))
    whole = both.describe(images, BatchRandom(0, 3, 5))["views"]
    assert words == {"views": whole[:1], "teacher_views": whole[1:]}
    assert set(apart.eval()(images)) == {"views"}
    with pytest.raises(ValueError, match="halves the views"):
        TwoViews(16, 3, views=3, teacher_apart=True)
