"""Which images a step sees depends on (seed, step) alone."""

from __future__ import annotations

import pytest
import torch

from sslcore.batches import Batches
from sslcore.data import Data, Split
from sslcore.errors import DataError, UsageError

CPU = torch.device("cpu")


def _split(size=23):
    images = torch.arange(size, dtype=torch.uint8).reshape(size, 1, 1, 1).expand(-1, 3, 2, 2)
    return Split(images.contiguous(), torch.arange(size))


def _seen(batches, start, stop):
    return [batch.images[:, 0, 0, 0].tolist() for batch in batches.between(start, stop)]


def test_an_epoch_sees_each_image_at_most_once_in_whole_batches():
    batches = Batches(_split(), 5, 0, CPU)
    assert batches.steps_per_epoch == 4
    seen = [row for batch in _seen(batches, 0, 4) for row in batch]
    assert len(seen) == len(set(seen)) == 20


def test_starting_at_a_step_sees_what_coming_there_sees():
    whole = _seen(Batches(_split(), 5, 3, CPU), 0, 12)
    assert _seen(Batches(_split(), 5, 3, CPU), 7, 12) == whole[7:]


def test_another_seed_gives_another_order():
    assert _seen(Batches(_split(), 5, 0, CPU), 0, 4) != _seen(Batches(_split(), 5, 1, CPU), 0, 4)


@pytest.mark.parametrize("workers", [1, 2])
def test_streaming_with_any_number_of_workers_gives_the_same_batches(workers):
    state = torch.get_rng_state()
    resident = _seen(Batches(_split(), 5, 0, CPU), 2, 9)
    assert _seen(Batches(_split(), 5, 0, CPU, workers=workers), 2, 9) == resident
    assert torch.equal(torch.get_rng_state(), state)


def test_streaming_begins_at_once_however_long_the_run_is():
    batches = Batches(_split(), 5, 0, CPU, labels=True, workers=1)
    first = next(batches.between(0, 10**12))
    assert torch.equal(first.labels, first.images[:, 0, 0, 0].long())


def test_images_that_do_not_fit_are_streamed(monkeypatch):
    monkeypatch.setattr("sslcore.batches.free_memory", lambda device: 100)
    batches = Batches(_split(), 5, 0, CPU)
    assert batches.workers == 2
    monkeypatch.setattr("sslcore.batches.free_memory", lambda device: 2**30)
    assert Batches(_split(), 5, 0, CPU).workers == 0
    assert _seen(batches, 0, 4) == _seen(Batches(_split(), 5, 0, CPU), 0, 4)


def test_labels_come_with_their_images_and_only_when_asked_for():
    for batch in Batches(_split(), 5, 0, CPU, labels=True).between(0, 4):
        assert torch.equal(batch.labels, batch.images[:, 0, 0, 0].long())
    assert next(Batches(_split(), 5, 0, CPU).between(0, 1)).labels is None


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UsageError, match="24 is larger than the 23 training images"):
        Batches(_split(), 24, 0, CPU)
    assert Batches(_split(), 23, 0, CPU).steps_per_epoch == 1


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (torch.zeros(2, 1, 4, 4), None, "must be uint8"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), None, "must be uint8 of shape"),
        (torch.zeros(2, 1, 4, 5, dtype=torch.uint8), None, "must be square"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3), "2 images but labels"),
    ],
)
def test_a_split_of_another_form_is_refused(images, labels, said):
    with pytest.raises(DataError, match=said):
        Split(images, labels)


def test_evaluators_fit_on_the_labelled_split_where_there_is_one():
    labelled, unlabelled = _split(), Split(_split().images)
    assert Data(unlabelled, labelled).labelled is False
    assert Data(unlabelled, labelled, probe=labelled).labelled is True
    assert Data(unlabelled, labelled, probe=labelled).fit is labelled
