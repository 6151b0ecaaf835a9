"""The labelled images of a supervised loss: drawn by the seed, of each class alike."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sslcore.data import Data, Split
from sslcore.data.labelled import labelled, with_classes
from sslcore.errors import UsageError

COUNTS = {"ant": 12, "bee": 7, "cow": 3}


def _split(counts, *, names=True, start=0):
    """Return a split in which the first pixel of an image is its number."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(labels)) + start
    found = [f"file {number + start}" for number in range(len(labels))] if names else None
    return Split(images, labels[order], names=found)


def _data(counts=(12, 7, 3), **more):
    test = _split([2] * len(counts), start=100)
    return Data(train=_split(counts), test=test, classes=tuple(COUNTS)[: len(counts)], **more)


def _numbers(split):
    return split.images[:, 0, 0, 0].tolist()


def _by_class(split):
    return split.labels.bincount(minlength=len(COUNTS)).tolist()


@pytest.mark.parametrize("per_class", [1, 2, 3])
def test_each_class_has_the_number_asked_for(per_class):
    found = labelled(_data(), per_class=per_class)
    assert _by_class(found.train) == [per_class] * 3
    assert found.notes == ()


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.25, 0.5, 1.0])
def test_each_class_has_the_fraction_asked_for_and_one_image_at_least(fraction):
    found = labelled(_data(), fraction=fraction)
    assert _by_class(found.train) == [math.ceil(fraction * count) for count in COUNTS.values()]
    assert min(_by_class(found.train)) >= 1


def test_a_class_with_fewer_images_keeps_all_of_them_and_a_note_says_so():
    found = labelled(_data(notes=("one file is damaged",)), per_class=5)
    assert _by_class(found.train) == [5, 5, 3]
    assert found.notes == (
        "one file is damaged",
        "the class cow has 3 labelled images, fewer than 5",
    )


def test_a_class_without_a_training_image_is_left_as_it_is():
    found = labelled(_data((4, 0, 3)), per_class=3)
    assert _by_class(found.train) == [3, 0, 3]
    assert found.notes == ()


def test_images_keep_their_labels_names_and_order():
    data = _data()
    found = labelled(data, per_class=3).train
    numbers = _numbers(found)
    assert numbers == sorted(numbers)
    assert len({*numbers}) == 9
    assert found.labels.tolist() == [int(data.train.labels[number]) for number in numbers]
    assert [found.name_of(row) for row in range(9)] == [f"file {number}" for number in numbers]


def test_the_draw_depends_on_the_seed_alone():
    first = _numbers(labelled(_data(), per_class=3, seed=4).train)
    state = torch.get_rng_state()
    torch.rand(100)
    assert _numbers(labelled(_data(), per_class=3, seed=4).train) == first
    torch.set_rng_state(state)
    labelled(_data(), per_class=3, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    others = [_numbers(labelled(_data(), per_class=3, seed=seed).train) for seed in range(5, 9)]
    assert first not in others
    assert len({*map(tuple, others)}) > 1


def test_more_labels_include_those_of_fewer():
    few, many = ({*_numbers(labelled(_data(), per_class=count, seed=2).train)} for count in (2, 5))
    assert few < many


def test_every_image_of_a_class_can_be_drawn():
    drawn = [_numbers(labelled(_data(), per_class=1, seed=seed).train) for seed in range(200)]
    assert {number for numbers in drawn for number in numbers} == {*range(22)}


def test_evaluators_fit_on_the_same_images_and_test_images_stay():
    data = _data(probe=_split([9, 9, 9]))
    found = labelled(data, per_class=2)
    assert found.fit is found.train
    assert found.test is data.test
    assert found.classes == data.classes


def test_without_a_number_the_data_is_as_it_was():
    data = _data()
    assert labelled(data) is data


@pytest.mark.parametrize("asked", [{}, {"per_class": 2}])
def test_of_unlabelled_training_images_the_labelled_ones_take_their_place(asked):
    unlabelled = Split(torch.zeros(50, 1, 2, 2, dtype=torch.uint8))
    probe = _split([4, 4, 4])
    data = Data(train=unlabelled, test=_split([1, 1, 1]), probe=probe, classes=tuple(COUNTS))
    found = labelled(data, **asked)
    assert _by_class(found.train) == [asked.get("per_class", 4)] * 3
    assert found.fit is found.train


def test_both_numbers_at_once_are_an_error():
    with pytest.raises(UsageError, match=r"labels_per_class and training\.label_fraction both"):
        labelled(_data(), per_class=2, fraction=0.5)


def test_data_without_labels_is_an_error():
    unlabelled = Split(torch.zeros(5, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(UsageError, match="class folders are labels"):
        labelled(Data(train=unlabelled, test=unlabelled), per_class=2)


def test_labels_are_numbered_as_the_classifier_numbers_its_classes():
    data = _data(probe=_split([1, 2, 3]))
    found = with_classes(data, ("cow", "ant", "dog", "bee"))
    assert found.classes == ("cow", "ant", "dog", "bee")
    for name in ("train", "test", "probe"):
        before, after = getattr(data, name), getattr(found, name)
        assert [data.classes[label] for label in before.labels] == [
            found.classes[label] for label in after.labels
        ]
        assert torch.equal(after.images, before.images)


def test_data_with_the_classes_of_the_classifier_or_without_classes_stays_as_it_is():
    data = _data()
    assert with_classes(data, tuple(COUNTS)) is data
    bare = Data(train=data.train, test=data.test)
    assert with_classes(bare, tuple(COUNTS)) is bare


def test_unlabelled_splits_stay_unlabelled():
    unlabelled = Split(torch.zeros(5, 1, 2, 2, dtype=torch.uint8))
    data = Data(train=unlabelled, test=_split([1, 1]), classes=("ant", "bee"))
    found = with_classes(data, ("bee", "ant"))
    assert found.train.labels is None
    assert found.test.labels.tolist() == [1 - label for label in data.test.labels.tolist()]


def test_a_class_that_the_classifier_does_not_know_is_an_error_with_the_nearest_one():
    with pytest.raises(
        UsageError, match=r"does not know the class bee; nearest: bees; it tells apart ant, bees"
    ):
        with_classes(_data(), ("ant", "bees", "cow"))


@pytest.mark.parametrize("asked", [{"per_class": 2}, {"fraction": 0.1}])
def test_a_loss_that_can_do_without_labels_keeps_all_images_and_labels_of_the_chosen_ones(asked):
    data = _data()
    chosen, kept = labelled(data, **asked), labelled(data, optional=True, **asked)
    assert torch.equal(kept.train.images, data.train.images)
    known = kept.train.labels != -1
    assert torch.equal(kept.train.labels[known], chosen.train.labels)
    assert torch.equal(kept.train.images[known], chosen.train.images)
    assert torch.equal(kept.train.labels[known], data.train.labels[known])


def test_a_loss_that_can_do_without_labels_trains_on_data_without_any():
    unlabelled = Split(torch.zeros(5, 1, 2, 2, dtype=torch.uint8))
    data = Data(train=unlabelled)
    assert labelled(data, optional=True) is data
    some = replace(unlabelled, labels=torch.tensor([0, -1, 1, -1, -1]))
    found = labelled(Data(train=some, classes=("ant", "bee")), optional=True)
    assert found.train.labels.tolist() == [0, -1, 1, -1, -1]
