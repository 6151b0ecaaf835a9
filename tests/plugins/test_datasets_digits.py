"""The digits and the clips made of them."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from sslcore_torchvision.digits import digits, moving_digits


def test_digits_are_split_three_to_one_within_each_class():
    data = digits()
    assert data.train.images.shape == (1347, 1, 16, 16)
    assert data.test.images.shape == (450, 1, 16, 16)
    part = data.test.labels.bincount() / torch.cat([data.train.labels, data.test.labels]).bincount()
    assert ((part - 0.25).abs() < 0.01).all()
    assert data.classes == tuple("0123456789")
    assert data.labelled


def test_digits_of_their_own_size_are_those_of_scikit_learn_with_their_labels():
    data = digits(image_size=8)
    bunch = load_digits()
    originals = {}
    for image, label in zip(bunch.images, bunch.target, strict=True):
        key = (image * (255 / 16)).round().astype("uint8").tobytes()
        originals.setdefault(key, set()).add(int(label))
    for split in (data.train, data.test):
        for image, label in zip(split.images, split.labels.tolist(), strict=True):
            assert label in originals[image.numpy().tobytes()]
    assert data.train.images.max() == 255


def test_no_digit_is_in_both_splits():
    # The original images have no duplicates.
    data = digits(image_size=8)
    seen = {image.numpy().tobytes() for image in data.train.images}
    assert len(seen) == len(data.train)
    assert seen.isdisjoint(image.numpy().tobytes() for image in data.test.images)


def test_every_fourth_digit_of_a_class_is_for_testing_whatever_the_seed():
    torch.manual_seed(1)
    first = digits(image_size=8)
    torch.manual_seed(2)
    second = digits(image_size=8)
    assert torch.equal(first.train.images, second.train.images)
    bunch = load_digits()
    by_class = sorted(range(1797), key=lambda row: (bunch.target[row], row))
    held_out = sorted(by_class[::4])
    expected = torch.from_numpy(bunch.images[held_out] * (255 / 16)).round().to(torch.uint8)
    assert torch.equal(first.test.images[:, 0], expected)


def test_scaling_keeps_the_brightness_of_a_digit():
    small, large = digits(image_size=8), digits(image_size=24)
    assert torch.equal(small.train.labels, large.train.labels)
    difference = small.train.images.float().mean((1, 2, 3)) - large.train.images.float().mean(
        (1, 2, 3)
    )
    assert difference.abs().max() < 1


def test_moving_digits_show_train_digits_in_training_and_test_digits_in_testing():
    clips = moving_digits(frames=3, image_size=20, digit_size=12)
    still = digits(image_size=12)
    for moving, digit in ((clips.train, still.train), (clips.test, still.test)):
        assert moving.images.shape == (len(digit), 3, 1, 20, 20)
        assert torch.equal(moving.labels, digit.labels)
        # The digit is whole in every frame.
        brightness = moving.images.sum((-1, -2), dtype=torch.int64)
        expected = digit.images.sum((-1, -2), dtype=torch.int64)
        assert torch.equal(brightness, expected[:, None].expand_as(brightness))


def test_a_moving_digit_keeps_its_velocity_until_it_bounces():
    clips = moving_digits(frames=8, image_size=40, digit_size=8).train.images[:, :, 0].float()
    pixels = torch.arange(40.0)
    mass = clips.sum((-1, -2))
    centre = torch.stack(
        [(clips.sum(-1) * pixels).sum(-1) / mass, (clips.sum(-2) * pixels).sum(-1) / mass], -1
    )
    speed = centre.diff(dim=1).abs()
    assert speed.max() <= 3 + 1 + 1e-3  # positions are whole pixels
    # Between bounces, steps differ by rounding only; a bounce mirrors them.
    change = centre.diff(dim=1).diff(dim=1).abs()
    assert (change <= 1 + 1e-3).float().mean() > 0.85
    assert centre[:, 0].std(0).min() > 8  # they start anywhere


def test_moving_digits_are_the_same_at_every_call():
    torch.manual_seed(1)
    first = moving_digits(frames=2)
    torch.manual_seed(2)
    assert torch.equal(first.train.images, moving_digits(frames=2).train.images)
    # Longer clips begin with the frames of shorter clips.
    assert torch.equal(first.test.images, moving_digits(frames=3).test.images[:, :2])


@pytest.mark.parametrize("image_size", [14, 15])
def test_a_digit_may_fill_its_frame(image_size):
    clips = moving_digits(image_size=image_size, digit_size=14, frames=2)
    assert clips.test.images.shape[-1] == image_size


def test_a_digit_larger_than_its_frame_is_an_error():
    with pytest.raises(ValueError, match="14 px does not fit in a frame of 12 px"):
        moving_digits(image_size=12)
