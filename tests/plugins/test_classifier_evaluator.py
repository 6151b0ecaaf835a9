"""The accuracy of a trained classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from sslcore_classifier.evaluator import Classification


def scores(labels, logits):
    found = Classification()(torch.as_tensor(labels), torch.as_tensor(logits))
    assert list(found) == ["accuracy", "balanced_accuracy"]
    return found["accuracy"], found["balanced_accuracy"]


def test_the_figures_of_a_small_example_are_those_counted_by_hand():
    # Of four images of class 0, three are right; the one of class 1 is wrong.
    logits = [[2.0, 1.0], [2.0, 1.0], [5.0, -5.0], [0.0, 1.0], [3.0, 1.0]]
    assert scores([0, 0, 0, 0, 1], logits) == (pytest.approx(3 / 5), pytest.approx(3 / 8))


@pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label")
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 6))
def test_the_figures_are_those_of_scikit_learn(seed, count, classes):
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(0, classes, count)
    logits = drawn.normal(size=(count, classes)) + np.eye(classes)[labels]
    found = scores(labels, logits)
    predicted = logits.argmax(1)
    assert found[0] == pytest.approx(accuracy_score(labels, predicted))
    assert found[1] == pytest.approx(balanced_accuracy_score(labels, predicted))


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_most_frequent_class_for_all_has_the_balanced_accuracy_of_guessing(classes):
    labels = torch.arange(classes).repeat(3)
    labels = torch.cat([labels, torch.zeros(50, dtype=torch.int64)])
    logits = torch.nn.functional.one_hot(torch.zeros_like(labels), classes).float()
    accuracy, balanced = scores(labels, logits)
    assert accuracy == pytest.approx(53 / len(labels))
    assert balanced == pytest.approx(1 / classes)


def test_a_class_without_a_test_image_counts_for_nothing():
    labels = torch.tensor([0, 0, 2])
    logits = torch.eye(3)[[0, 1, 2]]
    assert scores(labels, logits) == (pytest.approx(2 / 3), pytest.approx(3 / 4))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_only_the_order_of_an_images_logits_matters(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (30,), generator=generator)
    logits = torch.randn(30, 4, generator=generator)
    changed = logits.exp() * 3 + torch.randn(30, 1, generator=generator)
    assert scores(labels, changed) == scores(labels, logits)


def test_baselines_have_no_classifier_and_so_no_figures():
    labels = torch.tensor([0, 1])
    assert Classification()(labels) == {}
    assert Classification()(labels, None) == {}


def test_it_runs_during_training():
    assert Classification.fast
