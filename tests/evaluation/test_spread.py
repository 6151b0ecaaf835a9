"""How far a score is known, and the digits that it is shown with."""

from __future__ import annotations

import math

import pytest

from sslcore.evaluation.spread import decimals, rounded, spread


def test_an_accuracy_has_the_binomial_spread():
    # 50 of 100 right, and one hit and one miss: √(0.5 · 0.5 / 100).
    assert spread({"knn_top1": 0.5}, "knn_top1", 100) == pytest.approx(0.05)
    # Four times the images, half the spread.
    assert spread({"knn_top1": 0.5}, "knn_top1", 400) == pytest.approx(0.025)


@pytest.mark.parametrize("name", ["retrieval_top5", "knn_top1 [k=1]", "linear_top1_5_per_class"])
def test_accuracies_are_known_by_their_names(name):
    assert spread({name: 0.5}, name, 100) == pytest.approx(0.05)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_perfect_score_has_a_spread_too(value):
    found = spread({"knn_top1": value}, "knn_top1", 41)
    assert found is not None
    assert 0 < found < 0.05


@pytest.mark.parametrize("name", ["reconstruction_mse", "rank", "topsy"])
def test_of_another_score_nothing_is_known_without_its_standard_deviation(name):
    assert spread({name: 0.5}, name, 100) is None
    assert spread({name: 0.5, f"{name}_std": 0.1}, name, 100) == pytest.approx(0.1)


def test_draws_and_test_images_add_up_in_squares():
    metrics = {"linear_top1": 0.5, "linear_top1_std": 0.05}
    assert spread(metrics, "linear_top1", 100) == pytest.approx(0.05 * math.sqrt(2))
    assert spread(metrics, "linear_top1") == pytest.approx(0.05)
    assert spread({"linear_top1": 0.5}, "linear_top1") is None


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        (0.07, 2),
        (0.013, 3),
        (0.019, 3),
        (0.035, 3),
        (0.0999, 2),
        (0.0045, 3),
        (2.0, 1),
        (5.0, 0),
        (15.0, 0),
    ],
)
def test_digits_end_where_the_spread_begins(within, expected):
    assert decimals(within) == expected


@pytest.mark.parametrize(
    ("value", "within", "shown"),
    [
        (0.8536, 0.055, "0.85"),
        (0.93640, 0.013, "0.936"),
        (0.00213456, None, "0.00213"),
        (0.73264, None, "0.7326"),
        (0.5, 0.0, "0.5000"),
        (math.nan, None, "nan"),
    ],
)
def test_a_score_is_shown_with_the_digits_that_are_known(value, within, shown):
    assert rounded(value, within) == shown
