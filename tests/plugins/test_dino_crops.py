"""Multi-crop: two large views, several small ones."""

from __future__ import annotations

import pytest
import torch

from sslcore import BatchRandom
from sslcore.transforms import RandomViews
from sslcore_dino.crops import MultiCrop


def images_of(count: int, channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("local", [0, 1, 5])
def test_there_are_two_views_and_so_many_local_ones(channels, local):
    module = MultiCrop(16, channels, local_views=local, local_size=6)
    made = module(images_of(4, channels), random=BatchRandom(0, 0, 4))
    assert made["views"].shape == (2, 4, channels, 16, 16)
    if local:
        assert made["local_views"].shape == (local, 4, channels, 6, 6)
    else:
        assert "local_views" not in made


@pytest.mark.parametrize(
    ("size", "local"), [(224, 96), (96, 48), (64, 28), (32, 12), (16, 8), (4, 4), (3, 3)]
)
def test_local_views_have_about_three_sevenths_of_the_side(size, local):
    assert MultiCrop(size, 3).parts.size == local


def test_evaluators_see_the_image_itself():
    module = MultiCrop(16, 3, mean=(0.0,), std=(1.0,)).eval()
    images = images_of(4)
    made = module(images)
    assert set(made) == {"views"}
    assert torch.equal(made["views"], images[None])


def test_local_views_show_less_of_the_image():
    # Every pixel has its own value, so the range of a view shows the size of its crop.
    column = torch.linspace(0, 1, 64).expand(300, 1, 64, 64)
    still = {"flip": 0.0, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0, "solarize": 0.0}
    module = MultiCrop(64, 1, mean=(0.0,), std=(1.0,), **still)
    made = module(column, random=BatchRandom(0, 0, 300))
    widths = {name: (view.amax(-1) - view.amin(-1)).mean() for name, view in made.items()}
    assert widths["local_views"] < 0.6 < widths["views"]


def test_large_views_are_disturbed_as_in_byol_and_local_ones_half_blurred():
    module = MultiCrop(224, 3)
    assert (module.whole.blur, module.whole.solarize) == ((1.0, 0.1), (0.0, 0.2))
    assert (module.parts.blur, module.parts.solarize) == (0.5, 0.0)
    assert MultiCrop(32, 3).whole.blur == 0
    assert MultiCrop(224, 3, blur=0.3).parts.blur == 0.3


def test_local_views_draw_from_a_source_of_their_own():
    images = images_of(4)
    with_local = MultiCrop(16, 3, local_views=3)(images, BatchRandom(0, 0, 4))["views"]
    without = MultiCrop(16, 3, local_views=0)(images, BatchRandom(0, 0, 4))["views"]
    assert torch.equal(with_local, without)


def test_training_needs_random_numbers():
    with pytest.raises(ValueError, match="pass `random`"):
        MultiCrop(16, 3)(images_of(2))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"local_scale": (0.5, 0.4)}, "crop_scale"), ({"mean": (0.1, 0.2)}, "mean: expected 1 or 3")],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        MultiCrop(16, 3, **settings)


def test_it_is_made_of_the_random_views_that_all_may_use():
    assert isinstance(MultiCrop(16, 3).whole, RandomViews)


def test_crops_of_both_sizes_are_resized_as_asked():
    for way in ("bilinear", "bicubic"):
        module = MultiCrop(16, 3, local_views=1, interpolation=way)
        assert module.whole.interpolation == module.parts.interpolation == way
