"""Weighted nearest neighbours and retrieval, against closed forms and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

import sslcore_probes.nearest
from sslcore_probes.nearest import Knn, Retrieval


def _random(seed, count, classes=3, dimensions=6):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, dimensions, generator=generator)
    return features, torch.randint(classes, (count,), generator=generator)


def _knn(train, test, **options):
    return Knn(**options)(*train, *test)["knn_top1"]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([0.05, 0.1, 1.0]))
def test_knn_agrees_with_scikit_learn(seed, k, temperature):
    train, test = _random(seed, 40), _random(seed + 1, 25)
    train[1][:3] = torch.arange(3)
    reference = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda d: np.exp(-d / temperature)
    )
    expected = reference.fit(*train).score(*test)
    assert _knn(train, test, k=k, temperature=temperature) == pytest.approx(expected)


def test_the_temperature_weighs_one_near_neighbour_against_two_far_ones():
    angles = torch.tensor([0.1, 0.5, 0.5])
    train = torch.stack([angles.cos(), angles.sin()], 1), torch.tensor([0, 1, 1])
    test = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    # cos 0.1 - cos 0.5 = 0.117, which outweighs two votes below a temperature of 0.117 / log 2.
    turning_point = (math.cos(0.1) - math.cos(0.5)) / math.log(2)
    assert _knn(train, test, temperature=0.99 * turning_point) == 1
    assert _knn(train, test, temperature=1.01 * turning_point) == 0


def test_more_neighbours_than_training_images_are_all_of_them():
    train, test = _random(0, 12), _random(1, 50)
    assert _knn(train, test, k=200) == _knn(train, test, k=12)


def test_a_low_temperature_is_the_nearest_neighbour():
    train, test = _random(0, 60), _random(1, 50)
    assert _knn(train, test, k=60, temperature=1e-6) == _knn(train, test, k=1)


@pytest.mark.parametrize("first", [0, 1])
def test_training_images_as_near_as_the_last_neighbour_vote_too(first):
    # Two against one at the same place: which of them comes first must not matter.
    features = torch.tensor([[1.0, 0.0]]).repeat(3, 1)
    labels = torch.tensor([first, 1 - first, 1 - first])
    test = torch.tensor([[2.0, 0.0]]), torch.tensor([1 - first])
    assert _knn((features, labels), test, k=1) == 1


def test_classes_with_equal_votes_are_not_told_apart_by_rounding():
    # The two classes tie for every query, up to differences far below float32.
    train = torch.ones(40, 3) + 2e-7 * torch.eye(3)[0] * (torch.arange(40) % 2)[:, None]
    labels = torch.arange(40) % 2
    assert _knn((train, labels), (train, labels), k=5) == 0.5


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31))
def test_neighbours_are_by_angle_whatever_the_length_of_each_feature(seed):
    train, test = _random(seed, 30), _random(seed + 1, 20)
    lengths = 10.0 ** torch.linspace(-20, 20, 30)[:, None]
    other = train[0] * lengths, train[1]
    assert _knn(other, test, k=5) == _knn(train, test, k=5)


def test_blocks_change_nothing(monkeypatch):
    train, test = _random(0, 60), _random(1, 53)
    whole = _knn(train, test, k=5), Retrieval()(*test)
    monkeypatch.setattr(sslcore_probes.nearest, "_BLOCK", 200)
    assert (_knn(train, test, k=5), Retrieval()(*test)) == whole


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(2, 30))
def test_retrieval_agrees_with_looking_at_each_query_alone(seed, count):
    features, labels = _random(seed, count)
    labels[0], labels[1] = 0, 1
    hits = {1: 0, 5: 0}
    for query in range(count):
        cosine = torch.cosine_similarity(features[query], features, dim=1)
        ranked = [index for index in cosine.argsort(descending=True).tolist() if index != query]
        for k in hits:
            hits[k] += any(labels[index] == labels[query] for index in ranked[:k])
    expected = {f"retrieval_top{k}": hits[k] / count for k in hits}
    assert Retrieval()(features, labels) == pytest.approx(expected)


def test_a_query_is_not_found_by_itself():
    # Every image is nearest to itself, and all others are of another class.
    metrics = Retrieval()(torch.eye(6), torch.arange(6))
    assert metrics == {"retrieval_top1": 0, "retrieval_top5": 0}


def test_a_copy_of_the_query_counts():
    features = torch.eye(8).repeat(2, 1)
    same, other = torch.arange(8).repeat(2), torch.arange(16)
    assert Retrieval()(features, same)["retrieval_top1"] == 1
    assert Retrieval()(features, other)["retrieval_top1"] == 0


def test_five_chances_find_what_one_misses():
    # The nearest image by angle has the other class, and the next has the query's class.
    angles = torch.tensor([0.0, 0.1, 0.25, 0.35])
    features = torch.stack([angles.cos(), angles.sin()], 1)
    metrics = Retrieval()(features, torch.tensor([0, 1, 0, 1]))
    assert metrics == {"retrieval_top1": 0, "retrieval_top5": 1}


def test_collapsed_features_retrieve_by_chance():
    sizes = [6, 10, 14]
    labels = torch.arange(3).repeat_interleave(torch.tensor(sizes))
    metrics = Retrieval()(torch.ones(30, 4), labels)
    for k in (1, 5):
        miss = sum(n / 30 * math.comb(30 - n, k) / math.comb(29, k) for n in sizes)
        assert metrics[f"retrieval_top{k}"] == pytest.approx(1 - miss)


def test_a_tie_for_the_last_place_counts_in_part():
    # For the query at 0, one is nearer than three that tie for the four places after it.
    features = torch.eye(8)[[0, 0, 1, 2, 3, 4, 5, 6]]
    labels = torch.tensor([0, 1, 0, 2, 2, 2, 2, 2])
    chance = sslcore_probes.nearest.chance_of_hit
    similarities = features[:1] @ features.T
    similarities[0, 0] = -torch.inf
    same = labels[:1, None] == labels
    assert chance(similarities, same, 1).item() == 0
    # Four places among six tied images, of which one is of the query's class.
    assert chance(similarities, same, 5).item() == pytest.approx(4 / 6)
