"""Broken data sets; the conformance tests detect each of them."""

from __future__ import annotations

import urllib.request
from typing import Annotated

import pytest
import torch
from annotated_types import Ge

from sslcore import Data, Split
from sslcore.testing import DatasetSpec, cases, check, example_images

_CLASSES = ("bright", "dark")


def _drawn(count, size=8):
    """Bright and dark images (N, 1, size, size) in turns, and their classes."""
    labels = torch.arange(count) % 2
    images = example_images(count, 1, size, "random") * 100
    images[labels == 0] += 120
    return images.to(torch.uint8), labels


def good(*, image_size: Annotated[int, Ge(1)] = 8):
    images, labels = _drawn(90, image_size)
    if image_size < 4:
        raise ValueError("images must be of 4 px or more")
    return Data(Split(images[:60], labels[:60]), Split(images[60:], labels[60:]), classes=_CLASSES)


def _with(**changed):
    images, labels = _drawn(90)
    given = {
        "train": Split(images[:60], labels[:60]),
        "test": Split(images[60:], labels[60:]),
        "classes": _CLASSES,
        **changed,
    }
    return Data(**given)


def overlapping():
    images, labels = _drawn(90)
    return _with(test=Split(images[59:], labels[59:]))


def probe_overlaps():
    images, labels = _drawn(90)
    return _with(probe=Split(images[50:70], labels[50:70]))


def empty_test():
    images, labels = _drawn(90)
    return _with(test=Split(images[:0], labels[:0]))


def five_channels_to_test():
    images, labels = _drawn(20)
    return _with(test=Split(images.expand(-1, 5, -1, -1).contiguous(), labels))


def labels_from_one():
    images, labels = _drawn(90)
    return _with(train=Split(images[:60], labels[:60] + 1))


def labels_of_bytes():
    images, labels = _drawn(90)
    return _with(train=Split(images[:60], labels[:60].to(torch.uint8)))


def classes_without_names():
    return _with(classes=())


def a_class_to_test_only():
    return _with(classes=("bright", "dark", "middling"))


def shuffled_labels():
    images, labels = _drawn(90)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    return _with(train=Split(images[:60], labels[:60][order]))


def dark_floats():
    images, labels = _drawn(90)
    return _with(train=Split((images[:60] / 255).round().to(torch.uint8), labels[:60]))


def one_image():
    images, labels = _drawn(90)
    return _with(test=Split(images[60:61].expand(30, -1, -1, -1), labels[60:]))


def drawn_anew():
    images, labels = _drawn(90)
    order = torch.randperm(90)
    images, labels = images[order], labels[order]
    return _with(train=Split(images[:60], labels[:60]), test=Split(images[60:], labels[60:]))


def seeds_torch():
    torch.manual_seed(0)
    return drawn_anew()


def floats():
    images, labels = _drawn(90)
    return _with(train=Split(images[:60].float() / 255, labels[:60]))


def a_dictionary():
    return {"train": None}


def crashes_on_small_images(*, image_size: Annotated[int, Ge(1)] = 8):
    assert image_size > 2
    return good(image_size=image_size)


BROKEN = {
    overlapping: "test-images-are-not-trained-on",
    probe_overlaps: "test-images-are-not-trained-on",
    empty_test: "splits-follow-the-contract",
    five_channels_to_test: "splits-follow-the-contract",
    labels_from_one: "labels-are-classes",
    labels_of_bytes: "labels-are-classes",
    classes_without_names: "labels-are-classes",
    a_class_to_test_only: "labels-are-classes",
    shuffled_labels: "labels-belong-to-their-images",
    dark_floats: "images-show-something",
    one_image: "images-show-something",
    drawn_anew: "built-twice-the-same",
    seeds_torch: "built-twice-the-same",
    floats: "splits-follow-the-contract",
    a_dictionary: "splits-follow-the-contract",
    crashes_on_small_images: "settings-at-their-bounds-work",
}


def _spec(make):
    return DatasetSpec(make, learnable=True, clips=False)


def test_a_data_set_in_order_passes_every_check():
    rows = {case.id: case.row() for case in cases(_spec(good))}
    assert {name: row.reason for name, row in rows.items() if row.status != "pass"} == {}


@pytest.mark.parametrize(
    ("broken", "caught_by"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", "")
)
def test_a_broken_data_set_is_caught(broken, caught_by):
    case = next(case for case in cases(_spec(broken)) if case.id == caught_by)
    assert case.row().status == "fail"


def test_images_that_a_record_calls_clips_are_caught():
    case = cases(DatasetSpec(good, clips=True))[0]
    assert case.row().status == "fail"


def test_what_must_be_fetched_is_not_checked_and_says_why():
    def remote():
        with urllib.request.urlopen("http://localhost:9/images") as answer:
            return answer.read()

    report = check(DatasetSpec(remote))
    assert {row.status for row in report.rows} == {"n/a"}
    assert "no network" in report.rows[0].reason
    assert not report.passed


def test_a_setting_that_must_be_given_is_named():
    def opened(*, path: str):
        return good()

    assert "path must be given" in cases(DatasetSpec(opened))[0].row().reason
    assert cases(DatasetSpec(opened, settings={"path": "."}))[0].row().status == "pass"
