"""An evaluator that fails loses its own figures only."""

from __future__ import annotations

import math

import pytest
import torch

import sslcore
from sslcore.api import make_recipe
from sslcore.errors import SslcoreError, UsageError


class Raises:
    def __call__(self, test_features: torch.Tensor) -> dict[str, float]:
        raise KeyError("lost")


class RaisesOnPixels:
    def __call__(self, test_features: torch.Tensor) -> dict[str, float]:
        if test_features.shape[1] == 64 and test_features.min() >= 0:
            raise RuntimeError("pixels\nare too many")
        return {"own": 1.0}


class ReturnsNumber:
    def __call__(self, test_features: torch.Tensor) -> float:
        return 3.0


class ReturnsText:
    def __call__(self, test_features: torch.Tensor) -> dict[str, str]:
        return {"own": "0.5"}


class Clashes:
    def __call__(self, test_features: torch.Tensor) -> dict[str, float]:
        return {"knn_top1": 0.5}


class Fine:
    def __call__(self, test_features: torch.Tensor) -> dict[str, float]:
        return {"a": math.nan, "b": torch.tensor(2.0), "c": 3, "d": test_features.numpy().mean()}


@pytest.fixture
def train(registry, console, tiny):
    # The linear encoder's features have 64 entries, like images of 8 px; they are not all positive.
    return lambda *evaluators: sslcore.train(
        "agreement",
        data="noise",
        evaluators=evaluators,
        settings=tiny,
        output="run",
        registry=registry,
        console=console,
    )


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Raises, "failed on encoder: KeyError: 'lost'"),
        (RaisesOnPixels, "failed on pixels: pixels; its figures"),
        (ReturnsNumber, "it returned float, expected a dict of numbers"),
        (ReturnsText, "it returned 'own': '0.5', expected a dict of numbers"),
    ],
)
def test_an_evaluator_that_fails_is_named_in_one_line_and_the_others_are_kept(
    target, said, train, registry, add, console
):
    add(registry, "evaluator", target)
    table = train("made-up", "knn").read_evaluation()
    assert all(list(column) == ["knn_top1"] for column in table.values())
    assert list(table) == ["encoder", "random_init", "pixels"]
    lines = [line for line in console.file.getvalue().splitlines() if "made-up" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: evaluator made-up (from made-up-dist 1.2) failed on ")
    assert said in lines[0]


def test_where_no_evaluator_is_left_the_evaluation_has_failed(train, registry, add):
    add(registry, "evaluator", Raises)
    with pytest.raises(SslcoreError, match="no evaluator is left:\nevaluator made-up") as failed:
        train("made-up")
    assert failed.value.exit_code == 1


def test_two_evaluators_that_give_one_metric_are_both_named(train, registry, add, console):
    add(registry, "evaluator", Clashes)
    run = train("knn")
    before = run.read_evaluation()
    said = (
        r"evaluator knn \(from sslcore .*\) and evaluator made-up \(from made-up-dist 1.2\) both "
    )
    with pytest.raises(UsageError, match=said + "give the metric knn_top1"):
        sslcore.evaluate(
            run.path, evaluators=["knn", "made-up"], registry=registry, console=console
        )
    assert run.read_evaluation() == before


def test_one_evaluator_named_in_two_ways_is_one():
    recipe, _ = make_recipe("simclr", evaluators=["knn", "sslcore:knn", "linear-probe"])
    assert [part.name for part in recipe.evaluators] == ["knn", "linear-probe"]


def test_numbers_of_any_kind_are_figures_finite_or_not(train, registry, add):
    add(registry, "evaluator", Fine)
    figures = train("made-up").read_evaluation()["encoder"]
    assert math.isnan(figures["a"])
    assert (figures["b"], figures["c"]) == (2, 3)
    assert isinstance(figures["d"], float)
