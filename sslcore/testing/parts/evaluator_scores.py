"""Properties of the scores of evaluators: on perfect features, on noise, and without leaks."""

from __future__ import annotations

from dataclasses import replace

import torch

from sslcore.testing.parts.evaluator_subject import (
    EvaluatorSubject,
    fits_classes,
    is_balanced,
    rank,
    rebuilds,
    scores_accuracy,
    scores_balanced,
    searches_test_images,
    takes_logits,
)
from sslcore.testing.parts.evaluators import kinds, same
from sslcore.testing.parts.scenes import Scene
from sslcore.testing.parts.subject import PartExample
from sslcore.testing.property import declare
from sslcore.testing.violation import Violation

#: Standard deviations by which the score of noise may differ from chance.
_DEVIATIONS = 6


@declare(
    "perfect-features-score-1",
    "V9",
    formula="features that are the unit vector of their class, and logits that are largest at "
    "their class, have accuracy 1",
    kills="labels that are off by one, a probe that does not converge, an inverted metric",
    precondition="it has an accuracy",
    anchors=kinds("perfect"),
    applies=scores_accuracy,
)
def perfect_features_score_1(subject: EvaluatorSubject, shown: Scene) -> None:
    for name, value in subject.accuracies(subject.scores(shown)).items():
        if not value > 1 - 1e-6:
            raise Violation(
                f"{name} of perfect features is {value:.4g}", subject.code(shown, PartExample())
            )


@declare(
    "noise-scores-chance",
    "V10",
    formula="features and logits that are independent of the class have the accuracy of guessing, "
    "1/K (for the k best, between k/K and 1 − (1 − 1/K)^k), within 6 standard deviations",
    kills="test images or labels that leak into training, a query that finds itself",
    precondition="it has an accuracy",
    anchors=lambda subject: [subject.scene("random", train=30, test=80)],
    applies=scores_accuracy,
)
def noise_scores_chance(subject: EvaluatorSubject, shown: Scene) -> None:
    classes, count = shown.num_classes, len(shown.test_labels)
    for name, value in subject.accuracies(subject.scores(shown)).items():
        k = rank(name)
        bounds = (min(1.0, k / classes), 1 - (1 - 1 / classes) ** k)
        spread = _DEVIATIONS * (bounds[1] * (1 - bounds[1]) / count) ** 0.5
        if not min(bounds) - spread <= value <= max(bounds) + spread:
            raise Violation(
                f"{name} of noise is {value:.4g}, but guessing gives {max(bounds):.4g} ± "
                f"{spread:.2g}",
                subject.code(shown, PartExample()),
            )


@declare(
    "test-labels-only-score",
    "V11",
    formula="predictions do not depend on test labels: the accuracies with all test labels equal "
    "to c, summed over the classes c, are 1 (k for the k best)",
    kills="training on test labels, settings chosen by the test score, ties counted as right",
    precondition="it fits labelled training images or takes logits, and has an accuracy",
    anchors=kinds("overlapping", "random", "tied", "collapsed"),
    applies=fits_classes,
)
def test_labels_only_score(subject: EvaluatorSubject, shown: Scene) -> None:
    total: dict[str, float] = {}
    for label in range(shown.num_classes):
        constant = torch.full_like(shown.test_labels, label)
        found = subject.accuracies(subject.scores(replace(shown, test_labels=constant)))
        for name, value in found.items():
            total[name] = total.get(name, 0.0) + value
    for name, value in total.items():
        wanted = min(rank(name), shown.num_classes)
        subject.meter.see(abs(value - wanted) / 1e-3)
        if not abs(value - wanted) <= 1e-3:
            raise Violation(
                f"{name} with all test labels 0, then 1, … adds up to {value:.4g}, but each image "
                f"has only {wanted} predicted class{'es' if wanted > 1 else ''}",
                subject.code(shown, PartExample()),
            )


@declare(
    "wrong-labels-score-0",
    "V12",
    formula="perfect features whose test labels are all wrong have accuracy 0",
    kills="classes matched to the test labels, a score on the training images",
    precondition="it fits labelled training images or takes logits, and has an accuracy",
    anchors=kinds("perfect"),
    applies=fits_classes,
)
def wrong_labels_score_0(subject: EvaluatorSubject, shown: Scene) -> None:
    wrong = (shown.test_labels + 1) % shown.num_classes
    found = subject.accuracies(subject.scores(replace(shown, test_labels=wrong)))
    for name, value in found.items():
        if rank(name) == 1 and not value < 1e-6:
            raise Violation(
                f"{name} is {value:.4g} although every test label is wrong",
                subject.code(shown, PartExample()),
            )


@declare(
    "test-images-are-scored-alone",
    "V13",
    formula="the accuracy of the test images is the mean of the accuracies of its parts, weighted "
    "by size (not so a balanced accuracy)",
    kills="statistics of the test images, a last batch that is left out",
    precondition="it fits labelled training images or takes logits, and has an accuracy",
    anchors=kinds("overlapping", "tied"),
    applies=fits_classes,
)
def test_images_are_scored_alone(subject: EvaluatorSubject, shown: Scene) -> None:
    count = len(shown.test_labels)
    found = subject.accuracies(subject.scores(shown))
    whole = {name: value for name, value in found.items() if not is_balanced(name)}
    parts = dict.fromkeys(whole, 0.0)
    by_class = shown.test_labels.argsort(stable=True)
    for rows in (by_class[: count // 3], by_class[count // 3 : -1], by_class[-1:]):
        found = subject.scores(shown.with_test(rows))
        for name in whole:
            parts[name] += found[name] * len(rows) / count
    for name, value in whole.items():
        # Rounding may change the class of one image if its votes are tied.
        if not abs(parts[name] - value) <= 1.5 / count:
            raise Violation(
                f"{name} is {value:.4g}, and {parts[name]:.4g} if the test images come in parts",
                subject.code(shown, PartExample()),
            )


@declare(
    "a-query-does-not-find-itself",
    "V14",
    formula="if every test image is the only one of its class, the accuracy is 0",
    kills="a query that finds itself in the gallery",
    precondition="it compares test images with each other",
    anchors=kinds("random"),
    applies=searches_test_images,
)
def a_query_does_not_find_itself(subject: EvaluatorSubject, shown: Scene) -> None:
    single = replace(shown, test_labels=torch.arange(len(shown.test_labels)))
    for name, value in subject.accuracies(subject.scores(single)).items():
        if not value < 1e-6:
            raise Violation(
                f"{name} is {value:.4g}, although no other image has the query's class",
                subject.code(shown, PartExample()),
            )


@declare(
    "errors-are-mean-squares",
    "V15",
    formula="exact reconstructions have NAME_mse = 0; those that are off by c have NAME_mse = c²",
    kills="a sum instead of a mean, a root, another range of values",
    precondition="it asks for reconstructions",
    anchors=kinds("random"),
    applies=rebuilds,
)
def errors_are_mean_squares(subject: EvaluatorSubject, shown: Scene) -> None:
    for offset in (0.0, 0.5, -2.0):
        rebuilt = shown.test_views + offset
        for name, value in subject.scores(replace(shown, reconstructions=rebuilt)).items():
            if name.endswith("_mse") and not abs(value - offset**2) <= 1e-4 * (1 + offset**2):
                raise Violation(
                    f"{name} is {value:.6g} if every value is off by {offset}",
                    subject.code(shown, PartExample()),
                )


@declare(
    "pixels-have-no-reconstructions",
    "V16",
    formula="V1 holds without `reconstructions`: the column of raw pixels has none",
    kills="a parameter without a default",
    precondition="it asks for reconstructions",
    anchors=kinds("random"),
    applies=rebuilds,
)
def pixels_have_no_reconstructions(subject: EvaluatorSubject, shown: Scene) -> None:
    subject.scores(shown, leave_out="reconstructions")


@declare(
    "baselines-have-no-logits",
    "V17",
    formula="without `test_logits` it returns a dict, which may be empty: the columns of the "
    "untrained encoder and of raw pixels have none",
    kills="a parameter without a default, None that is taken for logits",
    precondition="it asks for logits",
    anchors=kinds("random"),
    applies=takes_logits,
)
def baselines_have_no_logits(subject: EvaluatorSubject, shown: Scene) -> None:
    subject.scores(shown, leave_out="test_logits")


@declare(
    "a-shift-of-logits-changes-nothing",
    "V18",
    formula="metrics are the same if a number is added to all logits of an image, another one for "
    "each image",
    kills="logits taken for probabilities, a threshold for logits, logits compared across images",
    precondition="it asks for logits",
    anchors=kinds("overlapping", "perfect"),
    applies=takes_logits,
)
def a_shift_of_logits_changes_nothing(subject: EvaluatorSubject, shown: Scene) -> None:
    first = subject.scores(shown)
    for size in (-8.0, 8.0):
        each = size * (1 + torch.arange(len(shown.test_labels)) % 3)[:, None]
        shifted = replace(shown, test_logits=shown.test_logits + each)
        same(subject, first, subject.scores(shifted), shown, "level of the logits")


@declare(
    "a-balanced-accuracy-counts-classes-alike",
    "V19",
    formula="a balanced accuracy is the same if every test image of one class is there ten times",
    kills="a mean over the images, a mean over classes that have no test image",
    precondition="it has a balanced accuracy, and scores each test image alone",
    anchors=kinds("overlapping"),
    applies=lambda subject: fits_classes(subject) or scores_balanced(subject),
)
def a_balanced_accuracy_counts_classes_alike(subject: EvaluatorSubject, shown: Scene) -> None:
    first = subject.accuracies(subject.scores(shown))
    by_class = [(shown.test_labels == label).nonzero()[:, 0] for label in range(shown.num_classes)]
    for repeated in by_class:
        rows = torch.cat([torch.arange(len(shown.test_labels)), *[repeated] * 9])
        found = subject.scores(shown.with_test(rows))
        for name in filter(is_balanced, first):
            if not abs(found[name] - first[name]) <= 1e-3:
                raise Violation(
                    f"{name} is {first[name]:.4g}, but {found[name]:.4g} if the images of one "
                    "class are there ten times",
                    subject.code(shown, PartExample()),
                )


EVALUATOR_SCORES = (
    perfect_features_score_1,
    noise_scores_chance,
    test_labels_only_score,
    wrong_labels_score_0,
    test_images_are_scored_alone,
    a_query_does_not_find_itself,
    errors_are_mean_squares,
    pixels_have_no_reconstructions,
    baselines_have_no_logits,
    a_shift_of_logits_changes_nothing,
    a_balanced_accuracy_counts_classes_alike,
)
