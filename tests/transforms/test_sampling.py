"""Draws of crops and jitter: distribution, bounds, and independence of the split."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore import BatchRandom, transforms


@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    scale=st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)).map(sorted).map(tuple),
    ratio=st.tuples(st.floats(0.1, 10.0), st.floats(0.1, 10.0)).map(sorted).map(tuple),
)
@settings(deadline=None, max_examples=60)
def test_every_box_lies_within_its_image(seed, height, width, scale, ratio):
    drawn = transforms.crop_parameters(
        BatchRandom(seed, 0, 20), (height, width), 3, scale=scale, ratio=ratio
    )
    assert all(value.shape == (20, 3) and value.dtype == torch.int64 for value in drawn)
    assert drawn.height.min() >= 1
    assert drawn.width.min() >= 1
    assert drawn.top.min() >= 0
    assert drawn.left.min() >= 0
    assert (drawn.top + drawn.height).max() <= height
    assert (drawn.left + drawn.width).max() <= width


def test_area_and_aspect_ratio_are_distributed_as_asked():
    # In a large image rounding is negligible, and with these ranges most boxes fit at once.
    side = 10_000
    drawn = transforms.crop_parameters(
        BatchRandom(0, 0, 20_000), side, scale=(0.1, 0.5), ratio=(0.5, 2.0)
    )
    height, width = drawn.height.double(), drawn.width.double()
    area, log_ratio = height * width / side**2, (width / height).log()
    assert area.mean() == pytest.approx(0.3, abs=0.003)
    assert area.std() == pytest.approx(0.4 / math.sqrt(12), rel=0.02)
    assert log_ratio.mean() == pytest.approx(0.0, abs=0.01)
    assert log_ratio.std() == pytest.approx(2 * math.log(2) / math.sqrt(12), rel=0.02)
    assert (area > 0.0999).all()
    assert (area < 0.5001).all()
    top, left = drawn.top / (side - height), drawn.left / (side - width)
    correlation = torch.corrcoef(torch.stack((area, log_ratio, top, left))) - torch.eye(4)
    assert correlation.abs().max() < 0.04
    for place in (top, left):
        assert place.mean() == pytest.approx(0.5, abs=0.01)
        assert place.std() == pytest.approx(1 / math.sqrt(12), rel=0.02)


def test_boxes_are_distributed_as_those_of_torchvision():
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(0)
    image = torch.empty(3, 24, 32)
    scale, ratio = (0.3, 1.0), (0.75, 1.5)
    expected = torch.tensor(
        [RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(4000)]
    ).double()
    drawn = transforms.crop_parameters(BatchRandom(0, 0, 4000), (24, 32), scale=scale, ratio=ratio)
    found = torch.stack(drawn, dim=-1).double()
    error = expected.std(0) / math.sqrt(4000) * math.sqrt(2)
    assert ((found.mean(0) - expected.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(found.std(0), expected.std(0), rtol=0.05, atol=0)


@pytest.mark.parametrize(
    ("image_size", "ratio", "box"),
    [
        ((10, 40), (0.5, 2.0), (0, 10, 10, 20)),
        ((40, 10), (0.5, 2.0), (10, 0, 20, 10)),
        ((16, 16), (0.5, 2.0), (0, 0, 16, 16)),
    ],
)
def test_a_box_that_never_fits_becomes_the_largest_central_one(image_size, ratio, box):
    # Areas above the image's never fit.
    drawn = transforms.crop_parameters(
        BatchRandom(0, 0, 3), image_size, scale=(4.0, 5.0), ratio=ratio
    )
    assert torch.stack(drawn, dim=-1).tolist() == [list(box)] * 3


@pytest.mark.parametrize(
    "ranges",
    [{"scale": (0.0, 1.0)}, {"scale": (0.5, 0.2)}, {"ratio": (0.0, 1.0)}, {"ratio": (2.0, 1.0)}],
)
def test_a_range_that_is_empty_or_not_positive_is_an_error(ranges):
    with pytest.raises(ValueError, match="expected 0 < low ≤ high"):
        transforms.crop_parameters(BatchRandom(0, 0, 2), 8, **ranges)


def test_jitter_is_uniform_about_no_change():
    drawn = transforms.color_jitter_parameters(
        BatchRandom(0, 0, 20_000), brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1
    )
    for values, low, high in zip(drawn, (0.6, 0.0, 0.8, -0.1), (1.4, 2.5, 1.2, 0.1), strict=True):
        assert values.shape == (20_000,)
        assert low <= values.min() < low + 0.001 * (high - low) + 1e-6
        assert high - 0.001 * (high - low) - 1e-6 < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))


def test_a_jitter_of_no_strength_is_left_out_and_changes_no_other_draw():
    strengths = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    full = transforms.color_jitter_parameters(BatchRandom(3, 1, 5), 2, **strengths)
    for name in strengths:
        drawn = transforms.color_jitter_parameters(
            BatchRandom(3, 1, 5), 2, **{**strengths, name: 0.0}
        )
        assert getattr(drawn, name) is None
        for other in strengths:
            if other != name:
                assert torch.equal(getattr(drawn, other), getattr(full, other))


@pytest.mark.parametrize("strength", [{"brightness": -0.1}, {"hue": 0.6}, {"hue": -0.1}])
def test_a_strength_out_of_range_is_an_error(strength):
    with pytest.raises(ValueError, match="expected a number"):
        transforms.color_jitter_parameters(BatchRandom(0, 0, 2), **strength)


def test_a_part_of_the_batch_draws_the_rows_of_the_whole():
    strengths = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    rows = slice(3, 7)

    def draw(random: BatchRandom) -> list[torch.Tensor]:
        boxes = transforms.crop_parameters(random.fork("crop"), 32, 2)
        jitter = transforms.color_jitter_parameters(random.fork("jitter"), 2, **strengths)
        return [*boxes, *jitter]

    whole, part = draw(BatchRandom(5, 9, 10)), draw(BatchRandom(5, 9, 10, rows=rows))
    for values, some in zip(whole, part, strict=True):
        assert torch.equal(values[rows], some)
