"""Broken evaluators; the conformance tests detect each of them."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional

from sslcore.random import generator_for
from sslcore.testing import EvaluatorSpec, cases
from sslcore_probes.precision import mean_average_precision


class NearestMean:
    """The class whose mean is nearest; every part of it can be broken."""

    def __init__(self, *, power: Annotated[float, Ge(1)] = 2.0) -> None:
        self.power = power

    def __call__(
        self,
        train_features: Tensor,
        train_labels: Tensor,
        test_features: Tensor,
        test_labels: Tensor,
        num_classes: int,
    ) -> dict[str, float]:
        membership = functional.one_hot(train_labels, num_classes).float()
        means = (membership.T @ train_features) / membership.sum(0).clamp_min(1)[:, None]
        distance = torch.cdist(test_features, means, p=self.power)
        return self.scored(distance.argmin(1), test_labels)

    def scored(self, predicted: Tensor, labels: Tensor) -> dict[str, float]:
        return {"mean_top1": float((predicted == labels).float().mean())}


class GoodRetrieval:
    """Whether the nearest other test image is of the same class."""

    def __call__(self, test_features: Tensor, test_labels: Tensor) -> dict[str, float]:
        near = -torch.cdist(test_features, test_features)
        best = self.without_query(near)
        # Images that tie for the first place share the score.
        tied = (best >= best.amax(1, keepdim=True) - 1e-5).float()
        same = (test_labels[:, None] == test_labels).float()
        return {"search_top1": float(((tied * same).sum(1) / tied.sum(1)).mean())}

    def without_query(self, near: Tensor) -> Tensor:
        return near.clone().fill_diagonal_(-torch.inf)


class TrainsOnTestImages(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        features = torch.cat([train_features, test_features, test_features])
        labels = torch.cat([train_labels, test_labels, test_labels])
        return super().__call__(features, labels, test_features, test_labels, num_classes)


class ChoosesByTestScore(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        found = []
        for columns in range(1, train_features.shape[1] + 1):
            shown = train_features[:, :columns], test_features[:, :columns]
            found.append(
                super().__call__(shown[0], train_labels, shown[1], test_labels, num_classes)
            )
        return max(found, key=lambda row: row["mean_top1"])


class MatchesClassesToTestLabels(NearestMean):
    """Scored like a clustering, which is invalid for a probe."""

    def scored(self, predicted, labels):
        hits = 0
        for cluster in predicted.unique():
            hits += int(labels[predicted == cluster].bincount().max())
        return {"mean_top1": hits / len(labels)}


class ScoresTheTrainingImages(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        return super().__call__(
            train_features, train_labels, train_features, train_labels, num_classes
        )


class FindsTheQueryItself(GoodRetrieval):
    def without_query(self, near):
        return near


class TiesGoToTheFirst:
    """The label of the nearest training image, the first of several."""

    def __call__(self, train_features, train_labels, test_features, test_labels):
        nearest = torch.cdist(test_features, train_features).argmin(1)
        return {"nearest_top1": float((train_labels[nearest] == test_labels).float().mean())}


class LearnsFromTheFirst(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        return super().__call__(
            train_features[:30], train_labels[:30], test_features, test_labels, num_classes
        )


class ForgetsTheLastBatch(NearestMean):
    def scored(self, predicted, labels):
        whole = len(labels) // 32 * 32
        return {"mean_top1": int((predicted == labels)[:whole].sum()) / len(labels)}


class StandardisesByTestImages(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        test_features = test_features - test_features.mean(0)
        train_features = train_features - train_features.mean(0)
        return super().__call__(
            train_features, train_labels, test_features, test_labels, num_classes
        )


class StandardisesInPlace(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        mean = train_features.mean(0)
        return super().__call__(
            train_features.sub_(mean), train_labels, test_features.sub_(mean), test_labels,
            num_classes,
        )  # fmt: skip


class GlobalRandomNumbers(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        some = torch.randperm(len(train_features))[:25]
        return super().__call__(
            train_features[some], train_labels[some], test_features, test_labels, num_classes
        )


class SeedsTorch(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        torch.manual_seed(0)
        some = torch.randperm(len(train_features))[:25]
        return super().__call__(
            train_features[some], train_labels[some], test_features, test_labels, num_classes
        )


class DrawsFromTheFirst(NearestMean):
    """Few labels, drawn by the seed, but among the first images only."""

    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes, seed):  # type: ignore[override]
        some = torch.randperm(30, generator=generator_for(seed, "draws"))[:25]
        return super().__call__(
            train_features[some], train_labels[some], test_features, test_labels, num_classes
        )


class ClassesAreNumbers(NearestMean):
    """Regression of the class's number, rounded."""

    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        ones = [functional.pad(item, (0, 1), value=1.0) for item in (train_features, test_features)]
        weights = torch.linalg.pinv(ones[0]) @ train_labels.float()
        return self.scored((ones[1] @ weights).round().long(), test_labels)


class LeavesOutTheLastClass(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        kept = train_labels < num_classes - 1
        return super().__call__(
            train_features[kept], train_labels[kept], test_features, test_labels, num_classes - 1
        )


class InPercent(NearestMean):
    def scored(self, predicted, labels):
        return {"mean_top1": 100 * super().scored(predicted, labels)["mean_top1"]}


class CamelCase(NearestMean):
    def scored(self, predicted, labels):
        return {"meanTop1": super().scored(predicted, labels)["mean_top1"]}


class ATensor(NearestMean):
    def scored(self, predicted, labels):
        return {"mean_top1": (predicted == labels).float().mean()}


class NaNOfConstantFeatures(NearestMean):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        mean, std = train_features.mean(0), train_features.std(0)
        found = super().__call__(
            (train_features - mean) / std, train_labels, (test_features - mean) / std,
            test_labels, num_classes,
        )  # fmt: skip
        return {**found, "width_std": float((train_features / std).std()), "width": 0.5}


class Rebuilding:
    """Mean squared error of reconstructions."""

    def __call__(self, test_views, reconstructions=None):
        if reconstructions is None:
            return {"rebuilt_mse": 0.0}
        return {"rebuilt_mse": self.error(reconstructions - test_views)}

    def error(self, difference: Tensor) -> float:
        return float(difference.square().mean())


class SumOfSquares(Rebuilding):
    def error(self, difference):
        return float(difference.square().sum() / len(difference))


class NoDefaultForPixels:
    def __call__(self, test_views: Tensor, reconstructions: Tensor) -> dict[str, float]:
        return {"rebuilt_mse": float((reconstructions - test_views).square().mean())}


class GoodLogits:
    """The accuracies of a trained classifier; every part of it can be broken."""

    def __call__(self, test_labels: Tensor, test_logits: Tensor | None = None) -> dict[str, float]:
        if test_logits is None:
            return {}
        right = self.right(test_logits, test_labels)
        return {"accuracy": float(right.mean()), "balanced_acc": self.balanced(right, test_labels)}

    def right(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.argmax(1) == labels).double()

    def balanced(self, right: Tensor, labels: Tensor) -> float:
        return float(
            torch.stack([right[labels == label].mean() for label in labels.unique()]).mean()
        )


class NoDefaultForBaselines(GoodLogits):
    def __call__(self, test_labels, test_logits):  # type: ignore[override]
        return super().__call__(test_labels, test_logits)


class TiesAreRight(GoodLogits):
    def right(self, logits, labels):
        return (logits.gather(1, labels[:, None])[:, 0] >= logits.amax(1)).double()


class LogitsAbove0(GoodLogits):
    def right(self, logits, labels):
        sure = logits.amax(1) > 0
        return super().right(logits, labels) * sure


class LargestLogitOfAll(GoodLogits):
    def right(self, logits, labels):
        return super().right(logits, labels) * (logits.amax(1) > logits.amax() - 2)


class LeastLogit(GoodLogits):
    def right(self, logits, labels):
        return super().right(-logits, labels)


class BalancedOverImages(GoodLogits):
    def balanced(self, right, labels):
        return float(right.mean())


class ClustersOfLogits(GoodLogits):
    def right(self, logits, labels):
        right = torch.zeros(len(labels)).double()
        for label in labels.unique():
            own = labels == label
            right[own] = (logits.argmax(1)[own] == logits.argmax(1)[own].mode().values).double()
        return right


class Ranking(NearestMean):
    """How well the distance to the mean of a class ranks the images that have it."""

    several_labels = True

    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        given = (train_features, train_labels, test_features, test_labels, num_classes)
        if train_labels.dim() == 1:
            return super().__call__(*given)
        members = train_labels.float()
        means = (members.T @ train_features) / members.sum(0).clamp_min(1)[:, None]
        return self.ranked(-torch.cdist(test_features, means), test_labels)

    def ranked(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        return {"mean_map": mean_average_precision(scores.mul(1e4).round(), labels)}


class RanksUpsideDown(Ranking):
    def ranked(self, scores, labels):
        return super().ranked(-scores, labels)


class TheFirstOfSeveral(Ranking):
    def __call__(self, train_features, train_labels, test_features, test_labels, num_classes):
        labels = [
            each.int().argmax(1) if each.dim() == 2 else each
            for each in (train_labels, test_labels)
        ]
        return NearestMean.__call__(
            self, train_features, labels[0], test_features, labels[1], num_classes
        )


class TakesOneAfterAll(NearestMean):
    several_labels = True


BROKEN = {
    RanksUpsideDown: "several-labels-are-scored",
    TakesOneAfterAll: "several-labels-are-scored",
    TheFirstOfSeveral: "order-of-several-labels-does-not-matter",
    TrainsOnTestImages: "test-labels-only-score",
    ChoosesByTestScore: "test-labels-only-score",
    MatchesClassesToTestLabels: "wrong-labels-score-0",
    ScoresTheTrainingImages: "test-labels-only-score",
    FindsTheQueryItself: "a-query-does-not-find-itself",
    TiesGoToTheFirst: "order-of-training-images-does-not-matter",
    LearnsFromTheFirst: "order-of-training-images-does-not-matter",
    ForgetsTheLastBatch: "perfect-features-score-1",
    StandardisesByTestImages: "test-images-are-scored-alone",
    StandardisesInPlace: "leaves-inputs-alone",
    GlobalRandomNumbers: "a-seed-decides",
    SeedsTorch: "a-seed-decides",
    DrawsFromTheFirst: "order-of-training-images-does-not-matter",
    ClassesAreNumbers: "names-of-classes-do-not-matter",
    LeavesOutTheLastClass: "perfect-features-score-1",
    InPercent: "metrics-follow-the-contract",
    CamelCase: "metrics-follow-the-contract",
    ATensor: "metrics-follow-the-contract",
    NaNOfConstantFeatures: "metrics-follow-the-contract",
    SumOfSquares: "errors-are-mean-squares",
    NoDefaultForPixels: "pixels-have-no-reconstructions",
    NoDefaultForBaselines: "baselines-have-no-logits",
    TiesAreRight: "test-labels-only-score",
    LogitsAbove0: "a-shift-of-logits-changes-nothing",
    LargestLogitOfAll: "a-shift-of-logits-changes-nothing",
    LeastLogit: "perfect-features-score-1",
    BalancedOverImages: "a-balanced-accuracy-counts-classes-alike",
    ClustersOfLogits: "wrong-labels-score-0",
}


@pytest.mark.parametrize("evaluator", [NearestMean, GoodRetrieval, Rebuilding, GoodLogits, Ranking])
def test_an_evaluator_in_order_passes_every_check(evaluator):
    rows = {case.id: case.row() for case in cases(EvaluatorSpec(evaluator))}
    failed = {name: row.reason for name, row in rows.items() if row.status not in ("pass", "n/a")}
    assert failed == {}


@pytest.mark.parametrize(
    ("broken", "caught_by"), BROKEN.items(), ids=lambda item: getattr(item, "__name__", "")
)
def test_a_broken_evaluator_is_caught(broken, caught_by):
    case = next(case for case in cases(EvaluatorSpec(broken)) if case.id == caught_by)
    assert case.row().status == "fail"


def test_leaks_are_also_seen_on_mere_noise():
    for broken in (TrainsOnTestImages, ScoresTheTrainingImages, FindsTheQueryItself):
        case = next(c for c in cases(EvaluatorSpec(broken)) if c.id == "noise-scores-chance")
        assert case.row().status == "fail"
