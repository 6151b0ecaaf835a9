"""Random views equal torchvision's, for any blocks, threads and splits."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as oracle

from sslcore import BatchRandom
from sslcore.transforms import RandomViews, _blocks, _recolor

ADJUST = [
    oracle.adjust_brightness,
    oracle.adjust_contrast,
    oracle.adjust_saturation,
    oracle.adjust_hue,
]
EVERYTHING = RandomViews(
    size=12,
    channels=3,
    degrees=20.0,
    translate=0.1,
    blur=0.5,
    blur_kernel=5,
    solarize=0.3,
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
)


def images_of(count: int, channels: int = 3, height: int = 16, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, height, width, generator=generator)


def torchvisions(module: RandomViews, images: Tensor, seed: int, step: int) -> Tensor:
    """Make the views one by one with torchvision, from the module's draws."""
    draws = module.draw(images, BatchRandom(seed, step, len(images)))
    made = []
    for row in range(len(draws.owner)):
        box = [int(value[row]) for value in draws.boxes]
        image = oracle.resized_crop(
            images[draws.owner[row]],
            *box,
            [module.size] * 2,
            InterpolationMode(module.interpolation),
            antialias=True,
        ).clamp(0, 1)
        if draws.flip[row]:
            image = oracle.hflip(image)
        if draws.degrees is not None:
            image = oracle.affine(
                image,
                draws.degrees[row].item(),
                [0, 0],
                scale=1.0,
                shear=[0.0],
                interpolation=InterpolationMode.BILINEAR,
            )
        if draws.jittered is not None and draws.jittered[row]:
            order = range(4) if draws.order is None else draws.order[row].tolist()
            for kind in order:
                if draws.factors[kind] is not None:
                    image = ADJUST[kind](image, draws.factors[kind][row].item())
        if draws.grey is not None and draws.grey[row]:
            image = oracle.rgb_to_grayscale(image, num_output_channels=len(image))
        if draws.blurred is not None and draws.blurred[row]:
            image = oracle.gaussian_blur(image, [module.kernel] * 2, [draws.sigma[row].item()] * 2)
        if draws.solarized is not None and draws.solarized[row]:
            image = oracle.solarize(image, 0.5)
        spread = [
            list(values) * (len(image) // len(values)) for values in (module.mean, module.std)
        ]
        made.append(oracle.normalize(image, *spread))
    return torch.stack(made).unflatten(0, (module.views, len(images)))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("side", [(16, 16), (20, 31), (9, 12)])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"blur": 0.5, "blur_kernel": 5},
        {"blur": (1.0, 0.1), "solarize": (0.0, 0.5)},
        {"degrees": 25.0},
        {"jitter": 1.0, "jitter_order": "fixed", "grayscale": 0.5},
        {"jitter": 1.0, "hue": 0.5, "saturation": 1.5},
        {"jitter": 1.0, "hue": 0.0},
        {"jitter": 1.0, "brightness": 0.0, "saturation": 0.0},
        {"jitter": 0.0, "grayscale": 0.7},
        {"mean": (0.1, 0.2, 0.3), "std": (0.5,)},
        {"views": 3, "flip": 1.0},
    ],
)
def test_every_view_is_what_torchvision_makes_with_the_same_draws(changed, side, interpolation):
    module = RandomViews(size=12, channels=3, interpolation=interpolation, **changed)
    images = images_of(24, 3, *side)
    made = module(images, BatchRandom(3, 1, 24))
    # A rotation is exact to 1e-4, and normalisation divides the error by 0.25.
    tolerance = 4e-4 if module.degrees else 5e-5
    torch.testing.assert_close(made, torchvisions(module, images, 3, 1), atol=tolerance, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_channels_that_are_no_colours_are_jittered_in_brightness_and_contrast(channels):
    module = RandomViews(size=12, channels=channels, jitter=1.0, blur=0.5)
    images = images_of(24, channels)
    made = module(images, BatchRandom(0, 0, 24))
    if channels == 1:
        coloured = torchvisions(module, images, 0, 0)
        torch.testing.assert_close(made, coloured, atol=5e-5, rtol=0)
    at_once = module.at_once(images, module.draw(images, BatchRandom(0, 0, 24)))
    torch.testing.assert_close(made.flatten(0, 1), at_once, atol=1e-5, rtol=0)


def still(**changed) -> RandomViews:
    """Return views that are nothing but jittered."""
    plain = {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0, "grayscale": 0.0}
    return RandomViews(size=16, jitter=1.0, **{**plain, "mean": (0.0,), "std": (1.0,), **changed})


@pytest.mark.parametrize("order", ["random", "fixed"])
@pytest.mark.parametrize("channels", [1, 3, 13])
def test_a_channel_may_be_jittered_as_an_image_of_its_own(channels, order):
    changed = {"saturation": 0.0, "hue": 0.0, "jitter_order": order}
    module = still(channels=channels, jitter_channels="each", **changed)
    images = images_of(10, channels)
    draws = module.draw(images, BatchRandom(0, 0, 10))
    brightness, contrast = draws.factors.brightness, draws.factors.contrast
    made = module(images, BatchRandom(0, 0, 10)).flatten(0, 1)
    places = None if draws.order is None else draws.order.argsort(-1)
    for row, channel in itertools.product(range(20), range(channels)):
        image = images[row % 10, channel : channel + 1]
        steps = [(ADJUST[0], brightness), (ADJUST[1], contrast)]
        if places is not None and places[row, 1] < places[row, 0]:
            steps.reverse()
        for adjust, factors in steps:
            image = adjust(image, factors[row, channel].item())
        torch.testing.assert_close(made[row, channel], image[0], atol=1e-5, rtol=0)
    if channels > 1:
        assert brightness.std(1).min() > 0


@pytest.mark.parametrize("channels", [3, 13])
def test_channels_jittered_alone_are_the_same_in_blocks_and_at_once(channels):
    module = RandomViews(size=12, channels=channels, jitter_channels="each", blur=0.5)
    images = images_of(24, channels)
    draws = module.draw(images, BatchRandom(0, 0, 24))
    blocks, at_once = module.in_blocks(images, draws), module.at_once(images, draws)
    torch.testing.assert_close(blocks, at_once, atol=1e-4, rtol=0)
    assert "by channel" in module.describe(images, BatchRandom(0, 0, 24))[0][0]


def test_descriptions_of_grey_views_name_no_change_of_colours():
    described = {
        channels: str(
            RandomViews(size=12, channels=channels, jitter=1.0, grayscale=1.0).describe(
                images_of(24, channels), BatchRandom(0, 0, 24)
            )
        )
        for channels in (1, 3)
    }
    for change in ("saturation", "hue", "grey"):
        assert change in described[3]
        assert change not in described[1]
    assert "brightness" in described[1]


def test_jittering_channels_alone_leaves_the_other_draws_as_they_were():
    images = images_of(8)
    shared, each = (
        RandomViews(size=12, channels=3, jitter_channels=choice).draw(images, BatchRandom(0, 0, 8))
        for choice in ("shared", "each")
    )
    for own, other in ((shared.jittered, each.jittered), (shared.order, each.order)):
        assert torch.equal(own, other)
    assert torch.equal(shared.factors.hue, each.factors.hue)
    assert torch.equal(shared.factors.saturation, each.factors.saturation)


@given(
    st.integers(1, 20),
    st.integers(1, 3),
    st.integers(1, 24),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from(["random", "fixed"]),
    st.sampled_from(["bilinear", "bicubic"]),
    st.integers(0, 1000),
)
@settings(deadline=None, max_examples=40)
def test_in_blocks_and_all_at_once_views_are_the_same(
    count, views, size, blur, order, interpolation, seed
):
    module = RandomViews(
        size=size,
        channels=3,
        views=views,
        blur=blur,
        blur_kernel=min(5, 2 * size - 1),
        solarize=0.5,
        degrees=10.0,
        jitter_order=order,
        interpolation=interpolation,
    )
    images = images_of(count)
    draws = module.draw(images, BatchRandom(seed, 0, count))
    blocks, at_once = module.in_blocks(images, draws), module.at_once(images, draws)
    torch.testing.assert_close(blocks, at_once, atol=1e-4, rtol=0)


@given(st.integers(0, 29), st.integers(1, 30), st.integers(0, 100))
@settings(deadline=None, max_examples=25)
def test_a_part_of_the_batch_gets_bit_for_bit_the_views_it_gets_in_the_whole(start, length, seed):
    images, rows = images_of(30), slice(start, min(30, start + length))
    whole = EVERYTHING(images, BatchRandom(seed, 0, 30))
    part = EVERYTHING(images[rows], BatchRandom(seed, 0, 30, rows=rows))
    assert torch.equal(part, whole[:, rows])


@pytest.fixture
def threads():
    """Set how many threads torch may use, for a test."""
    usual = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(usual)


@pytest.mark.parametrize("size", [8, 13, 32])
@pytest.mark.parametrize("block", [1, 5000, 2**24])
def test_views_do_not_depend_on_blocks(size, block, monkeypatch):
    images, module = images_of(30), dataclasses.replace(EVERYTHING, size=size)
    usual = module(images, BatchRandom(0, 0, 30))
    monkeypatch.setattr(_blocks, "_BLOCK", block)
    monkeypatch.setattr(_blocks, "_EACH", 1)
    monkeypatch.setattr(_blocks, "_FEWEST", 1)
    assert torch.equal(module(images, BatchRandom(0, 0, 30)), usual)


@pytest.mark.parametrize(("count", "size"), [(30, 32), (3, 224), (40, 96)])
def test_views_do_not_depend_on_threads(count, size, threads):
    # Large enough for an operation to be split over threads, and for one range to be one view.
    images, module = images_of(count), dataclasses.replace(EVERYTHING, size=size)
    threads(1)
    usual = module(images, BatchRandom(0, 0, count))
    for number in (2, 3, 8):
        threads(number)
        assert torch.equal(module(images, BatchRandom(0, 0, count)), usual)


def test_images_in_any_layout_have_the_same_views():
    images = images_of(8)
    expected = EVERYTHING(images, BatchRandom(0, 0, 8))
    for other in (images.to(memory_format=torch.channels_last), images.mT.contiguous().mT):
        assert torch.equal(EVERYTHING(other, BatchRandom(0, 0, 8)), expected)


def test_the_images_are_left_as_they_were():
    images = images_of(40)
    before, version = images.clone(), images._version
    EVERYTHING(images, BatchRandom(0, 0, 40))
    assert torch.equal(images, before)
    assert images._version == version


def test_views_can_be_made_in_inference_mode_and_of_half_or_double_precision():
    images = images_of(8)
    expected = EVERYTHING(images, BatchRandom(0, 0, 8))
    with torch.inference_mode():
        assert torch.equal(EVERYTHING(images, BatchRandom(0, 0, 8)), expected)
    for dtype, tolerance in ((torch.float64, 1e-4), (torch.bfloat16, 0.5)):
        made = EVERYTHING(images.to(dtype), BatchRandom(0, 0, 8))
        assert made.dtype == dtype
        torch.testing.assert_close(made.float(), expected, atol=tolerance, rtol=0)


def test_autocast_does_not_lower_the_precision_of_views():
    images = images_of(8)
    expected = EVERYTHING(images, BatchRandom(0, 0, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(EVERYTHING(images, BatchRandom(0, 0, 8)), expected)


def test_gradients_flow_to_images_that_ask_for_them():
    images = images_of(4).requires_grad_()
    module = dataclasses.replace(EVERYTHING, solarize=0.0)
    module(images, BatchRandom(0, 0, 4)).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_away_from_the_cpu_views_need_no_values_on_the_host(monkeypatch):
    # Fake tensors have no values: reading one raises.
    module = dataclasses.replace(EVERYTHING, interpolation="bicubic")
    for name in ("filters", "geometry"):
        monkeypatch.setattr(f"sslcore.transforms.{name}.sums_rows", lambda images: False)
    with FakeTensorMode():
        images = torch.empty(6, 3, 16, 16)
        made = module.at_once(images, module.draw(images, BatchRandom(0, 0, 6)))
    assert made.shape == (12, 3, 12, 12)


def test_every_order_has_a_rank_of_its_own_and_shares_with_the_next_all_but_two_places():
    orders = torch.tensor(list(itertools.permutations(range(4))))
    due = _recolor.adjustments_due(torch.ones(24, dtype=torch.bool), orders, None)
    rank = _recolor.due_rank(due)
    assert sorted((rank // 2).tolist()) == list(range(24))
    by_rank = orders[rank.argsort()]
    moved = (by_rank[1:] != by_rank[:-1]).sum(-1)
    # When the hue moves to the next position, the others keep their order.
    assert moved.max() == 2


def test_views_that_are_due_nothing_are_not_touched():
    views = images_of(6).transpose(0, 1).flatten(2).contiguous()
    before = views.clone()
    none = torch.zeros(6, dtype=torch.bool)
    grey = torch.tensor([False, True, False, False, True, False])
    due = _recolor.adjustments_due(none, None, grey)
    _recolor.recolor(views, due, {kind: torch.full((6,), 0.5) for kind in range(4)})
    assert torch.equal(views[:, ~grey], before[:, ~grey])
    assert not torch.equal(views[:, grey], before[:, grey])


def test_an_unknown_interpolation_is_an_error():
    with pytest.raises(ValueError, match="expected one of bilinear, bicubic, got 'area'"):
        RandomViews(size=8, channels=3, interpolation="area")
