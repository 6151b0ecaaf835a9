"""Properties of data sets."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from sslcore.data import Split
from sslcore.data.labels import are_known, are_several
from sslcore.testing.parts.dataset_subject import (
    DatasetSubject,
    available,
    labelled,
    splits_of,
)
from sslcore.testing.parts.settings import settings_at_bounds
from sslcore.testing.parts.subject import (
    PartExample,
    Refused,
    once,
    states_bounds,
    with_global_seed,
)
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

#: Images of each split that are compared pixel by pixel.
_COMPARED = 500


def _follows(subject: DatasetSubject, example: PartExample) -> None:
    data = subject.data(example)
    code = f"data = {subject.made(subject.arguments({}, example))}"
    splits = splits_of(data)
    for name, split in splits.items():
        rows = torch.tensor([len(split) - 1, 0])
        read = split.read(rows)
        shape, wanted = tuple(read.shape[1:]), tuple(data.train.read(rows[1:]).shape[1:])
        if shape != wanted:
            raise Violation(f"{name} images are {shape}, those of train {wanted}", code)
        if 0 in shape:
            raise Violation(f"{name} images are empty, {shape}", code)
        if not torch.equal(read[1], split.read(rows[1:])[0]):
            raise Violation(
                f"rows of {name} read by index differ from the same rows of the whole", code
            )
    clips = subject.spec.clips
    if clips is not None and (data.train.num_frames is not None) != clips:
        found = "clips" if data.train.num_frames is not None else "images"
        raise Violation(f"its samples are {found}, but its record says otherwise", code)
    stated, extras = subject.spec.provides, tuple(data.train.extras)
    if stated is not None and {*stated} != {*extras}:
        raise Violation(
            f"the images to train on have the extras {', '.join(extras) or 'none'}, and its record "
            f"says provides={stated!r}",
            code,
        )
    if not all(isinstance(name, str) and name for name in (*data.classes, *data.notes)):
        raise Violation("classes and notes must be text, not empty", code)


@declare(
    "splits-follow-the-contract",
    "D1",
    formula="an sslcore.Data; splits are not empty, their images have one form; samples are clips "
    "if the record says so, and extras are those that it states",
    kills="an empty split, a test split of another size, frames in place of channels, an "
    "extra that is missing",
    anchors=once,
    applies=available,
)
def splits_follow_the_contract(subject: DatasetSubject, example: PartExample) -> None:
    _follows(subject, example)


@declare(
    "settings-at-their-bounds-work",
    "D2",
    formula="at each bound that a setting's annotation states, D1 holds or an error is raised",
    kills="an image of one pixel, a clip of one frame",
    anchors=once,
    applies=lambda subject: available(subject) or states_bounds(subject),
)
def settings_at_their_bounds_work(subject: DatasetSubject, example: PartExample) -> None:
    for settings in settings_at_bounds(subject.interface, fixed=subject.spec.settings):
        try:
            _follows(subject, replace(example, settings=settings, drawn=True))
        except Refused:
            continue


@declare(
    "labels-are-classes",
    "D3",
    formula="labels are int64, −1 ≤ label < number of classes (−1: not known), or bool, one column "
    "for each class; evaluators fit on images of every class",
    kills="labels that start at 1, missing names, a split by class",
    precondition="there are labels",
    anchors=once,
    applies=labelled,
)
def labels_are_classes(subject: DatasetSubject, example: PartExample) -> None:
    data = subject.built
    if not data.classes:
        raise Violation("there are labels, but `classes` does not name them", subject.code)
    if len(set(data.classes)) < len(data.classes):
        raise Violation("two classes have the same name", subject.code)
    for name, split in splits_of(data).items():
        labels = split.labels
        if labels is None:
            continue
        if are_several(labels):
            if labels.shape[1] != len(data.classes):
                raise Violation(
                    f"labels of {name} have {labels.shape[1]} columns, but there are "
                    f"{len(data.classes)} classes",
                    subject.code,
                )
            continue
        low, high = int(labels.min()), int(labels.max())
        if high >= len(data.classes):
            raise Violation(
                f"labels of {name} are from {low} to {high}, but there are {len(data.classes)} "
                "classes",
                subject.code,
            )
    if data.labelled:
        assert data.fit.labels is not None
        counts = _counts(data.fit.labels, len(data.classes))
        if bool((counts == 0).any()):
            missing = data.classes[int((counts == 0).nonzero()[0])]
            raise Violation(f"no image to fit on has the class {missing!r}", subject.code)


def _counts(labels: Tensor, classes: int) -> Tensor:
    """Return how many images each class has, (K,)."""
    if are_several(labels):
        return labels.sum(0)
    return labels[are_known(labels)].bincount(minlength=classes)


@declare(
    "test-images-are-not-trained-on",
    "D4",
    formula="no test image is in train or probe (except for `shared` images)",
    kills="overlapping splits, training images returned as test images",
    anchors=once,
    applies=available,
)
def test_images_are_not_trained_on(subject: DatasetSubject, example: PartExample) -> None:
    data = subject.built
    if data.test is None:
        return
    tested = _digests(data.test)
    for name, split in splits_of(data).items():
        if name == "test":
            continue
        seen = set(_digests(split))
        shared = [row for row, digest in enumerate(tested) if digest in seen]
        if len(shared) > subject.spec.shared:
            raise Violation(
                f"{len(shared)} of {len(tested)} test images are in {name} too, the first is "
                f"data.test.images[{shared[0]}]",
                subject.code,
            )


def _digests(split: Split) -> list[bytes]:
    return [
        hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
        for rows in torch.arange(len(split)).split(_COMPARED)
        for image in split.read(rows)
    ]


@declare(
    "built-twice-the-same",
    "D5",
    formula="two builds give the same bits in any state of the global generators, and do not "
    "change them",
    kills="a split drawn anew in each build, an order of files that depends on the disk",
    anchors=once,
    applies=available,
)
def built_twice_the_same(subject: DatasetSubject, example: PartExample) -> None:
    first = subject.built
    with subject.leaving_global_state(subject.code):
        second = subject.data(example)
    third = with_global_seed(13, lambda: subject.data(example))
    for other in (second, third):
        if first.classes != other.classes:
            raise Violation("the classes differ between two builds", subject.code)
        for name, split in splits_of(first).items():
            again = splits_of(other).get(name)
            if again is None or len(again) != len(split) or _digests(split) != _digests(again):
                raise Violation(f"{name} differs between two builds", subject.code)
            if split.labels is not None and not torch.equal(split.labels, _labels(again)):
                raise Violation(f"labels of {name} differ between two builds", subject.code)
            for extra, item in split.extras.items():
                if not torch.equal(item, again.extras.get(extra, torch.empty(0))):
                    raise Violation(f"{extra} of {name} differ between two builds", subject.code)


def _labels(split: Split) -> Tensor:
    return torch.empty(0) if split.labels is None else split.labels


@declare(
    "images-show-something",
    "D6",
    formula="the maximum of the values is above 1, and images in a split differ",
    kills="floats in [0, 1] cast to uint8, one image read over and over",
    anchors=once,
    applies=available,
)
def images_show_something(subject: DatasetSubject, example: PartExample) -> None:
    for name, split in splits_of(subject.built).items():
        some = split.read(torch.arange(min(len(split), _COMPARED)))
        if some.dtype == torch.uint8 and int(some.max()) <= 1:
            raise Violation(
                f"values of {name} are at most {int(some.max())}: images in [0, 1] must be "
                "multiplied by 255",
                subject.code,
            )
        if len(some) > 1 and bool((some == some[:1]).all()):
            raise Violation(f"all images of {name} are the same", subject.code)


@declare(
    "labels-belong-to-their-images",
    "D7",
    formula="the nearest training image is of the same class more often than by chance, by 6 "
    "standard deviations",
    kills="images shuffled without their labels, labels of another split",
    precondition="the spec says that pixels predict the class (learnable)",
    anchors=once,
    applies=lambda subject: (
        _one_class_each(subject)
        or ("" if subject.spec.learnable else "the spec does not say that pixels predict the class")
    ),
)
def labels_belong_to_their_images(subject: DatasetSubject, example: PartExample) -> None:
    data = subject.built
    assert data.test is not None
    images, labels = _sample(data.fit)
    queries, wanted = _sample(data.test)
    found = labels[torch.cdist(queries, images).argmin(1)]
    share = float((found == wanted).float().mean())
    chance = float(labels.bincount().max()) / len(labels)
    allowed = chance + 6 * (chance * (1 - chance) / len(wanted)) ** 0.5
    if not share > min(allowed, 0.99):
        raise Violation(
            f"the nearest of {len(images)} training images is of the test image's class in "
            f"{share:.2f} of cases; up to {allowed:.2f} may be chance",
            subject.code,
        )


def _one_class_each(subject: DatasetSubject) -> str:
    if reason := labelled(subject):
        return reason
    if not subject.built.labelled:
        return "it has no labels to fit on, or none to score"
    for split in (subject.built.fit, subject.built.test):
        labels = None if split is None else split.labels
        if labels is not None and (are_several(labels) or not bool(are_known(labels).all())):
            return "its images do not have one label each"
    return ""


def _sample(split: Split) -> tuple[Tensor, Tensor]:
    """Return some images, flat, and their labels, spread over the whole split."""
    assert split.labels is not None
    rows = torch.linspace(0, len(split) - 1, min(len(split), _COMPARED)).round().long()
    return split.read(rows).float().flatten(1), split.labels[rows]


DATASET = (
    splits_follow_the_contract,
    settings_at_their_bounds_work,
    labels_are_classes,
    test_images_are_not_trained_on,
    built_twice_the_same,
    images_show_something,
    labels_belong_to_their_images,
)
