"""Tests of every evaluator that scores features against labels."""

from __future__ import annotations

import math

import pytest
import torch

from sslcore_probes.linear import LinearProbe
from sslcore_probes.mlp import MlpProbe
from sslcore_probes.nearest import Knn, Retrieval

PROBES = {
    "knn": Knn(k=10),
    "linear-probe": LinearProbe(draws=3),
    "mlp-probe": MlpProbe(widths=(16,), epochs=20, batch_size=32, lr=0.01),
    "retrieval": Retrieval(),
}
ON_TRAINING_SET = [name for name in PROBES if name != "retrieval"]


def score(name, train_features, train_labels, test_features, test_labels, seed=0):
    """Return the metrics of a probe, called with the inputs that it asks for."""
    if name == "retrieval":
        return PROBES[name](test_features=test_features, test_labels=test_labels)
    arguments = {
        "train_features": train_features,
        "train_labels": train_labels,
        "test_features": test_features,
        "test_labels": test_labels,
    }
    return PROBES[name](**arguments, **({} if name == "knn" else {"seed": seed}))


def clusters(seed=0, train=120, test=80, classes=4, dimensions=12, spread=1.0):
    """Return noisy features around one mean for each class, as (train, test) pairs."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(classes, dimensions, generator=generator)
    labels = torch.arange(train + test) % classes
    noise = torch.randn(train + test, dimensions, generator=generator)
    features = means[labels] + spread * noise
    return features[:train], labels[:train], features[train:], labels[train:]


def accuracies(metrics):
    return {name: value for name, value in metrics.items() if not name.endswith("_std")}


@pytest.mark.parametrize("name", PROBES)
def test_perfect_features_score_one(name):
    labels = torch.arange(60) % 5
    features = torch.eye(5)[labels]
    metrics = score(name, features, labels, features, labels)
    assert accuracies(metrics) == pytest.approx(dict.fromkeys(accuracies(metrics), 1.0))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", PROBES)
def test_random_features_score_chance(name, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(800, 10, generator=generator)
    labels = torch.arange(800) % 4
    metrics = score(name, features[:400], labels[:400], features[400:], labels[400:])
    five_sigma = 5 * math.sqrt(0.25 * 0.75 / 400)
    for metric, value in accuracies(metrics).items():
        chance = 1 - 0.75**5 if metric == "retrieval_top5" else 0.25
        assert abs(value - chance) < five_sigma, metric


@pytest.mark.parametrize("constant", [0.0, 3.3, -1e20])
@pytest.mark.parametrize("name", ON_TRAINING_SET)
def test_collapsed_features_score_no_more_than_one_class_of_them(name, constant):
    # Sorted by class, as in class folders: the order of samples must not replace features.
    train_labels = torch.arange(4).repeat_interleave(torch.tensor([20, 50, 30, 20]))
    test_labels = torch.arange(4).repeat_interleave(torch.tensor([10, 20, 15, 15]))
    metrics = score(
        name,
        torch.full((120, 8), constant),
        train_labels,
        torch.full((60, 8), constant),
        test_labels,
    )
    few = {key: value for key, value in accuracies(metrics).items() if "per_class" in key}
    everything = {key: value for key, value in accuracies(metrics).items() if key not in few}
    # With all labels, the probe predicts the most frequent training class.
    assert list(everything.values()) == [pytest.approx(20 / 60)]
    assert all(value <= 20 / 60 for value in few.values())


@pytest.mark.parametrize("name", PROBES)
def test_features_that_vary_by_rounding_alone_count_as_collapsed(name):
    train, train_labels, test, test_labels = clusters(spread=0.01)
    metrics = score(name, 1 + 1e-7 * train, train_labels, 1 + 1e-7 * test, test_labels)
    chance = 1 - 0.75**5 if name == "retrieval" else 0.25
    assert all(value < chance + 0.01 for value in accuracies(metrics).values())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", PROBES)
def test_the_order_of_the_test_images_makes_no_difference(name, seed):
    train, train_labels, test, test_labels = clusters(seed)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
    before = score(name, train, train_labels, test, test_labels)
    after = score(name, train, train_labels, test[order], test_labels[order])
    assert after == pytest.approx(before)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "metric"), [("knn", "knn_top1"), ("linear-probe", "linear_top1")])
def test_the_order_of_the_training_images_makes_no_difference(name, metric, seed):
    train, train_labels, test, test_labels = clusters(seed)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    before = score(name, train, train_labels, test, test_labels)
    after = score(name, train[order], train_labels[order], test, test_labels)
    assert after[metric] == pytest.approx(before[metric])


@pytest.mark.parametrize("name", ON_TRAINING_SET)
def test_predictions_do_not_depend_on_test_labels(name):
    train, train_labels, test, test_labels = clusters()
    # Each prediction is right under exactly one of the four shifts of the labels, unless it moves.
    shifted = [
        accuracies(score(name, train, train_labels, test, (test_labels + shift) % 4))
        for shift in range(4)
    ]
    for metric in shifted[0]:
        assert sum(scores[metric] for scores in shifted) == pytest.approx(1)


@pytest.mark.parametrize("name", ON_TRAINING_SET)
def test_the_names_of_the_classes_make_no_difference(name):
    train, train_labels, test, test_labels = clusters()
    names = torch.tensor([3, 17, 40, 99])
    before = score(name, train, train_labels, test, test_labels)
    assert score(name, train, names[train_labels], test, names[test_labels]) == before


@pytest.mark.parametrize("name", ON_TRAINING_SET)
def test_a_class_that_was_not_trained_on_is_a_miss(name):
    train, train_labels, test, _ = clusters()
    metrics = score(name, train, train_labels, test, torch.full((len(test),), 7))
    assert set(metrics.values()) == {0.0}


@pytest.mark.parametrize("name", PROBES)
def test_a_second_call_gives_the_same_and_leaves_the_global_random_numbers_alone(name):
    data = clusters()
    copies = [tensor.clone() for tensor in data]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = score(name, *data)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert score(name, *data) == first
    assert all(torch.equal(now, then) for now, then in zip(data, copies, strict=True))


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("scale", [1e-25, 1e-3, 1e25])
def test_a_common_scale_of_the_features_makes_no_difference(name, scale):
    train, train_labels, test, test_labels = clusters()
    before = score(name, train, train_labels, test, test_labels)
    after = score(name, train * scale, train_labels, test * scale, test_labels)
    assert after == pytest.approx(before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", PROBES)
def test_the_score_is_the_same_without_gradients(name, mode):
    before = score(name, *clusters())
    with mode():
        assert score(name, *clusters()) == before


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", PROBES)
def test_features_that_are_not_finite_are_refused(name, bad):
    train, train_labels, test, test_labels = clusters()
    test[3:5, 1] = bad
    with pytest.raises(ValueError, match="the features are not finite: 2 of 80 test samples"):
        score(name, train, train_labels, test, test_labels)


@pytest.mark.parametrize("name", PROBES)
def test_a_single_class_is_refused(name):
    train, train_labels, test, test_labels = clusters()
    ones, more_ones = torch.ones_like(train_labels), torch.ones_like(test_labels)
    with pytest.raises(ValueError, match="labels hold one class"):
        score(name, train, ones, test, more_ones)


@pytest.mark.parametrize("name", PROBES)
def test_no_samples_are_refused(name):
    train, train_labels, test, test_labels = clusters()
    with pytest.raises(ValueError, match="test features are empty"):
        score(name, train, train_labels, test[:0], test_labels[:0])
    with pytest.raises(ValueError, match="features are empty"):
        score(name, train[:, :0], train_labels, test[:, :0], test_labels)


@pytest.mark.parametrize("name", PROBES)
def test_labels_of_another_length_are_refused(name):
    train, train_labels, test, test_labels = clusters()
    with pytest.raises(ValueError, match="80 test features but 79 labels"):
        score(name, train, train_labels, test, test_labels[1:])
    with pytest.raises(ValueError, match=r"must be of shape \(N, F\)"):
        score(name, train, train_labels, test[None], test_labels)


@pytest.mark.parametrize("name", ON_TRAINING_SET)
def test_training_data_is_checked_as_well(name):
    train, train_labels, test, test_labels = clusters()
    with pytest.raises(ValueError, match="120 training features but 119 labels"):
        score(name, train, train_labels[1:], test, test_labels)
    with pytest.raises(ValueError, match="12 dimensions but test features 11"):
        score(name, train, train_labels, test[:, 1:], test_labels)
    train[0, 0] = torch.nan
    with pytest.raises(ValueError, match="1 of 120 training samples"):
        score(name, train, train_labels, test, test_labels)
