"""What a preview shows is what the encoder sees in the first step."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sslcore.data.batches import Batches
from sslcore.pipeline.build import ImageShape
from sslcore.random import BatchRandom
from sslcore.reports.pixels import Normalization, colour_note, covered, to_pixels
from sslcore.reports.sheet import _lines
from sslcore.reports.views import _together, draw_views, first_views


@pytest.mark.parametrize("method", ["simclr", "mae", "dino", "denoising-autoencoder"])
def test_the_views_are_those_of_the_first_step(session, method):
    prepared = session(method)
    sample = first_views(prepared)
    training = prepared.recipe.training
    batches = Batches(prepared.data.train, training.batch_size, training.seed, prepared.device)
    batch = next(batches.between(0, 1))
    random = BatchRandom(training.seed, 0, training.batch_size)
    expected = prepared.pipeline.augment(batch.images, random=random, progress=0.0)
    assert torch.equal(sample.images, batch.images[:8])
    for name in ("views", "local_views", "targets", "mask"):
        assert (name in sample.signals) == (name in expected)
        if name in expected:
            assert torch.equal(sample.signals[name], expected[name][:, :8])


@pytest.mark.parametrize(
    ("settings", "channels"), [({}, 1), ({"mean": (0.2, 0.5, 0.7), "std": (0.1, 0.3, 0.5)}, 3)]
)
def test_the_normalisation_is_measured_and_undone(session, settings, channels):
    from sslcore import build

    augmentation = build(
        "augmentation", "two-views", image_size=16, channels=channels, **settings
    ).eval()
    shape = ImageShape(16, channels)
    images = torch.rand(3, channels, 16, 16, generator=torch.Generator().manual_seed(0))
    undone = Normalization.of(augmentation, shape, torch.device("cpu"))
    assert torch.allclose(undone.undone(augmentation(images)["views"][0]), images, atol=1e-5)
    augmentation.train()
    Normalization.of(augmentation, shape, torch.device("cpu"))
    assert augmentation.training


def test_an_augmentation_that_shows_nothing_of_the_image_is_taken_as_it_is():
    class Blind(torch.nn.Module):
        def forward(self, images, random=None):
            return {"views": torch.full((1, *images.shape), 0.25)}

    found = Normalization.of(Blind(), ImageShape(4, 1), torch.device("cpu"))
    assert found.undone(torch.full((1, 1, 4, 4), 0.25)).unique().tolist() == [0.25]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_has_colours_and_a_note_where_they_are_false(channels):
    images = torch.arange(channels, dtype=torch.uint8).view(1, -1, 1, 1).expand(1, -1, 2, 2) + 10
    (pixels,) = to_pixels(images)
    colours = {1: [10, 10, 10], 2: [10, 11, 0], 3: [10, 11, 12], 5: [10, 11, 12]}
    assert pixels.shape == (2, 2, 3)
    assert pixels[0, 0].tolist() == colours[channels]
    assert bool(colour_note(channels)) == (channels not in (1, 3))


def test_hidden_patches_are_covered_and_the_others_are_not():
    pixels = np.full((4, 4, 3), 40, dtype=np.uint8)
    shown = covered(pixels, torch.tensor([True, False, False, False]))
    assert (shown[:2, :2] != 40).all()
    assert (shown[2:] == 40).all()
    assert (shown[:, 2:] == 40).all()
    # A mask that is no grid of patches of this view can't be drawn.
    assert covered(pixels, torch.tensor([True] * 3)) is pixels


def test_what_was_drawn_is_told_for_each_view(session):
    always = first_views(session("simclr", augmentation={"flip": 1.0, "jitter": 0.0}))
    (first, second) = always.drawn["views"]
    assert len(first) == len(second) == 8
    assert all("mirrored" in text and "brightness" not in text for text in first + second)
    never = first_views(session("simclr", augmentation={"flip": 0.0, "jitter": 1.0}))
    assert all(
        "mirrored" not in text and "brightness ×" in text for text in never.drawn["views"][0]
    )


def test_the_crop_that_is_told_is_the_crop_that_was_cut(session):
    from sslcore.transforms import resized_crop

    plain = {"flip": 0.0, "jitter": 0.0, "degrees": 0.0, "translate": 0.0, "cutout_holes": 0}
    sample = first_views(session("simclr", augmentation=plain | {"grayscale": 0.0}))
    text = sample.drawn["views"][1][3]
    size, _, place = text.removeprefix("crop ").partition(" at ")
    (height, width), (top, left) = size.split("×"), place.split(",")
    image = sample.images[3:4] / 255
    box = (torch.tensor([int(each)]) for each in (top, left, height, width))
    cut = resized_crop(image, *box, 16)
    seen = sample.normalization.undone(sample.signals["views"][1, 3])
    assert torch.allclose(seen, cut[0], atol=1e-4)


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("simclr", "digits"),
        ("mae", "digits"),
        ("dino", "digits"),
        ("cpc", "digits"),
        ("cpc", "moving-digits"),
        ("denoising-autoencoder", "digits"),
    ],
)
def test_every_kind_of_view_is_drawn(session, method, data):
    figure = draw_views(first_views(session(method, data)), "a heading $ with a dollar")
    assert isinstance(figure, Figure)
    words = [text.get_text() for text in figure.texts]
    assert "image" in words
    assert any("class" in text for text in words)


def test_images_have_their_names_and_classes(session, photos):
    folder = photos({"cat": 6, "dog": 6})
    sample = first_views(session("simclr", folder, training={"batch_size": 8}))
    assert all(text.endswith(("class cat", "class dog")) for text in sample.captions)
    assert all((folder / text.partition(",")[0]).is_file() for text in sample.captions)


def test_the_frames_that_are_told_are_the_frames_that_were_taken(session):
    sample = first_views(session("cpc", "moving-digits"))
    for view, texts in enumerate(sample.drawn["views"]):
        seen = sample.normalization.undone(sample.signals["views"][view])
        for image, text in enumerate(texts):
            frame = sample.images[image, int(text.removeprefix("frame ")) - 1] / 255
            assert torch.allclose(seen[image], frame, atol=1e-4)


def test_the_move_that_is_told_is_the_move_of_the_patches(session):
    sample = first_views(session("cpc", augmentation={"crop": 2, "jitter": 0.0, "stride": 8}))
    seen = sample.normalization.undone(sample.signals["views"][0])
    for image, text in enumerate(sample.drawn["views"][0]):
        up, left = (int(number) for number in re.findall(r"-?\d+", text))
        rows = (torch.arange(8) + up).clamp(0, 15)
        columns = (torch.arange(8) + left).clamp(0, 15)
        patch = sample.images[image][:, rows][:, :, columns] / 255
        assert torch.allclose(seen[image], patch, atol=1e-4)


def test_the_masked_part_that_is_told_is_the_part_that_was_masked(session):
    sample = first_views(session("denoising-autoencoder", augmentation={"noise": 0.0}))
    seen = sample.normalization.undone(sample.signals["views"][0])
    bright = sample.images > 0
    for image, text in enumerate(sample.drawn["views"][0]):
        told = float(text.partition("%")[0].rpartition(" ")[2]) / 100
        found = (seen[image][bright[image]] < 1e-4).float().mean()
        assert abs(float(found) - told) < 0.15
        assert 0 < told < 0.5


def test_the_holes_that_are_told_are_where_they_were_cut(session):
    sample = first_views(session("autoencoder", augmentation={"fill": 1.0}, part="cutout"))
    seen = sample.normalization.undone(sample.signals["views"][0])
    for image, text in enumerate(sample.drawn["views"][0]):
        y, x = (int(number) for number in re.search(r"around (\d+),(\d+)", text).groups())
        hole = seen[image, 0, max(0, y - 4) : y + 4, max(0, x - 4) : x + 4]
        assert (hole > 0.999).all()


def test_a_cell_of_several_views_has_the_first_line_of_each_text_once():
    assert _together(["moved 1\nbrightness 2", "moved 1\nbrightness 3", ""]) == "moved 1"
    assert _together([f"frame {number}" for number in range(8)]).endswith("frame 5; and 2 more")


def test_a_path_in_a_caption_is_broken_after_a_slash():
    assert _lines("test/bird/0039.jpg, bird", 72) == ["test/bird/", "0039.jpg, bird"]
    assert _lines("a" * 40, 72) == ["a" * 15, "a" * 15, "a" * 10]
