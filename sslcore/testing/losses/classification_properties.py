"""Properties of the cross-entropy of logits (V, B, K) and labels (B,), smoothed by ε."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.arithmetic import log1p_exp
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.invariances import coarse_anchors, coarse_examples, unchanged
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.tried import anchors, examples, first_anchors
from sslcore.testing.property import Property, declare
from sslcore.testing.violation import Violation


def smoothed(example: Example) -> Tensor:
    """Return the target of each image, (B, K): 1 − ε at its class, and ε/K everywhere."""
    smoothing = example.hyper["label_smoothing"]
    classes = example.inputs["logits"].shape[-1]
    own = F.one_hot(example.inputs["labels"], classes).double()
    return (1 - smoothing) * own + smoothing / classes


@declare(
    "uniform-logits-give-log-k",
    "S1",
    formula="L = log K if the logits of an image are equal, for any labels and any ε",
    kills="a sum for a mean, another base, a softmax of each class alone, probabilities taken for "
    "logits",
    anchors=anchors,
    examples=examples,
    max_examples=10,
)
def uniform_logits_give_log_k(subject: LossSubject, example: Example) -> None:
    logits = example.inputs["logits"]
    for number in (0.0, -3.0, 40.0):
        level = example.with_inputs(logits=torch.full_like(logits, number))
        expected = math.log(logits.shape[-1])
        tolerance = subject.tolerance(level, expected)
        subject.compare(subject.value(level), expected, tolerance, level, f"all logits {number}")


@declare(
    "two-classes-are-logistic",
    "S2",
    formula="K = 2: L = (1 − ε/2) log(1 + e^−d) + ε/2 log(1 + e^d), d the margin of the class",
    kills="a clamp, an ε in the logarithm, an exp that overflows, smoothing over the other classes",
    anchors=first_anchors,
)
def two_classes_are_logistic(subject: LossSubject, example: Example) -> None:
    half = example.hyper["label_smoothing"] / 2
    for margin in (0.5, -2.0, 30.0, -80.0, 800.0, -5000.0):
        logits = torch.tensor([[[margin + 0.25, 0.25], [0.0, margin]]], dtype=torch.float64)
        given = example.with_inputs(logits=logits, labels=torch.tensor([0, 1]))
        expected = (1 - half) * log1p_exp(-margin) + half * log1p_exp(margin)
        tolerance = subject.tolerance(given, expected)
        subject.compare(subject.value(given), expected, tolerance, given, f"a margin of {margin:g}")


@declare(
    "gradient-is-softmax-minus-target",
    "S3",
    formula="∂L/∂z = (softmax(z) − q) / (V B), q = (1 − ε) 1_y + ε/K",
    kills="a detached term, a clamp, a gradient that vanishes for sure or wrong predictions",
    anchors=anchors,
    examples=examples,
    max_examples=20,
)
def gradient_is_softmax_minus_target(subject: LossSubject, example: Example) -> None:
    logits = example.inputs["logits"]
    _, gradients = subject.gradients(example)
    rows = logits.shape[:2].numel()
    expected = (logits.softmax(-1) - smoothed(example)) / rows
    error = float((gradients["logits"] - expected).abs().max())
    tolerance = subject.tolerance(example, 1.0) / rows
    subject.at_most(error, 0.0, tolerance, example, "|∂L/∂z − (softmax(z) − q) / (V B)|")


@declare(
    "least-at-the-smoothed-target",
    "S4",
    formula="L ≥ H(q), the entropy of the smoothed target q, with equality for softmax(z) = q",
    kills="smoothing that rewards certainty, a margin, a term besides the cross-entropy",
    anchors=anchors,
    examples=examples,
    max_examples=10,
)
def least_at_the_smoothed_target(subject: LossSubject, example: Example) -> None:
    target = smoothed(example)
    least = float(-torch.xlogy(target, target).sum(1)[0])
    # Without smoothing, the logits of the target are infinite; at −800 nothing is left of e^z.
    logits = target.log().clamp_min(-800.0).expand_as(example.inputs["logits"]).clone()
    best = example.with_inputs(logits=logits)
    tolerance = subject.tolerance(best, least)
    subject.compare(subject.value(best), least, tolerance, best, "at the smoothed target")
    tolerance = subject.tolerance(example, least)
    subject.at_most(least, subject.value(example), tolerance, example, "H(q), against L")


@declare(
    "smoothing-mixes-labels",
    "S5",
    formula="L_ε(z, y) = (1 − ε) L_0(z, y) + ε/K Σ_k L_0(z, k)",
    kills="ε shared by the other classes only, added instead of mixed, fixed or ignored",
    precondition="make takes label_smoothing",
    anchors=anchors,
    applies=lambda subject: (
        "" if "label_smoothing" in subject.takes else "make takes no label_smoothing"
    ),
)
def smoothing_mixes_labels(subject: LossSubject, example: Example) -> None:
    labels, classes = example.inputs["labels"], example.inputs["logits"].shape[-1]
    if classes > 20:
        return
    plain = example.with_hyper(label_smoothing=0.0)
    own = subject.value(plain)
    others = [
        subject.value(plain.with_inputs(labels=torch.full_like(labels, label)))
        for label in range(classes)
    ]
    for smoothing in (0.1, 0.5):
        given = example.with_hyper(label_smoothing=smoothing)
        expected = (1 - smoothing) * own + smoothing * sum(others) / classes
        tolerance = 2 * subject.tolerance(given, max(others))
        subject.compare(subject.value(given), expected, tolerance, given, f"ε = {smoothing}")


@declare(
    "mean-of-the-rows",
    "S6",
    formula="L is the mean, over views and images, of L of each alone",
    kills="a sum, statistics of the batch, an image or view left out or weighted",
    anchors=anchors,
    examples=examples,
    max_examples=15,
)
def mean_of_the_rows(subject: LossSubject, example: Example) -> None:
    logits, labels = example.inputs["logits"], example.inputs["labels"]
    views, count = logits.shape[:2]
    if views * count > 16:
        return
    alone = [
        subject.value(_alone(example, view, slice(image, image + 1)))
        for view in range(views)
        for image in range(count)
    ]
    tolerance = 2 * subject.tolerance(example, max(alone))
    what = f"L, against the mean over {views} x {len(labels)} rows"
    subject.compare(subject.value(example), sum(alone) / len(alone), tolerance, example, what)


def _alone(example: Example, view: int, rows: slice) -> Example:
    logits, labels = example.inputs["logits"], example.inputs["labels"]
    return example.with_inputs(logits=logits[view : view + 1, rows], labels=labels[rows])


def _takes_rows(subject: LossSubject) -> str:
    loss = subject.make(anchors(subject)[0])
    function = loss.forward if isinstance(loss, torch.nn.Module) else loss
    return "" if "rows" in inspect.signature(function).parameters else "the loss takes no rows"


@declare(
    "rows-are-scored-alone",
    "S7",
    formula="L(z, y, rows) = L(z[:, rows], y[rows])",
    kills="rows that are ignored, or labels that stay those of the whole batch",
    precondition="it takes rows",
    anchors=anchors,
    applies=_takes_rows,
)
def rows_are_scored_alone(subject: LossSubject, example: Example) -> None:
    logits, labels = example.inputs["logits"], example.inputs["labels"]
    count = len(labels)
    for rows in (slice(0, 1), slice(count // 2, count), slice(0, count)):
        part = example.with_inputs(logits=logits[:, rows], labels=labels[rows])
        expected = subject.value(part)
        tolerance = subject.tolerance(example, expected)
        found = subject.value(example, rows=rows)
        subject.compare(found, expected, tolerance, example, f"rows {rows.start} to {rows.stop}")


def _shifted_rows(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    logits = example.inputs["logits"]
    each = (torch.arange(logits.shape[:2].numel()) % 5 - 2).double().view(*logits.shape[:2], 1)
    for size in (1.0, 256.0):
        yield f"with multiples of {size:g} added", example.with_inputs(logits=logits + size * each)


def _images_reordered(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    logits, labels = example.inputs["logits"], example.inputs["labels"]
    for order in (torch.arange(len(labels)).roll(1), torch.arange(len(labels)).flip(0)):
        moved = example.with_inputs(logits=logits[:, order], labels=labels[order])
        yield f"images in the order {order.tolist()}", moved
    yield "views in reverse", example.with_inputs(logits=logits.flip(0))


def _classes_renumbered(subject: LossSubject, example: Example) -> Iterable[tuple[str, Example]]:
    logits, labels = example.inputs["logits"], example.inputs["labels"]
    for order in (torch.arange(logits.shape[-1]).roll(1), torch.arange(logits.shape[-1]).flip(0)):
        # Class order[k] becomes class k.
        moved = example.with_inputs(logits=logits[..., order], labels=order.argsort()[labels])
        yield f"classes in the order {order.tolist()}", moved


shift_of_each_row = unchanged(
    "shift-of-each-row",
    "S8",
    formula="L(z_i + c_i) = L(z_i) for every number c_i, another one for each image",
    kills="a sigmoid of each class, a weight decay on logits, a clamp",
    moves=_shifted_rows,
    anchors=coarse_anchors,
    examples=coarse_examples,
)
joint_permutation = unchanged(
    "joint-permutation",
    "S9",
    formula="L is the same for images in any order, with their labels, and views in any order",
    kills="images or views that count by position, labels of another image",
    moves=_images_reordered,
)
class_permutation = unchanged(
    "class-permutation",
    "S10",
    formula="L is the same if classes are renumbered in both logits and labels",
    kills="weights of classes, a class left out, ties broken by number",
    moves=_classes_renumbered,
)


@declare(
    "refuses-labels-that-are-no-class",
    "S11",
    formula="a label below 0 or of K and more raises an error",
    kills="a label that is left out, wrapped around or clamped, such as −100 by torch's default",
    anchors=lambda subject: first_anchors(subject)[-1:],
)
def refuses_labels_that_are_no_class(subject: LossSubject, example: Example) -> None:
    labels, classes = example.inputs["labels"], example.inputs["logits"].shape[-1]
    for wrong in (classes, -1, -100, 255):
        changed = labels.clone()
        changed[1] = wrong
        given = example.with_inputs(labels=changed)
        loss = subject.make(given)
        try:
            if subject.is_plain(loss):
                for arguments in subject.family.plain(given.inputs):  # type: ignore[misc]
                    subject.raw(loss, given, *arguments)
            else:
                subject.raw(loss, given, **given.inputs)
        except Exception:  # noqa: BLE001 - the checked code may raise anything
            continue
        raise Violation(
            f"it accepted the label {wrong} among {classes} classes; raise an error",
            subject.code(given),
        )


CLASSIFICATION_PROPERTIES: tuple[Property, ...] = (
    uniform_logits_give_log_k,
    two_classes_are_logistic,
    gradient_is_softmax_minus_target,
    least_at_the_smoothed_target,
    smoothing_mixes_labels,
    mean_of_the_rows,
    rows_are_scored_alone,
    shift_of_each_row,
    joint_permutation,
    class_permutation,
    refuses_labels_that_are_no_class,
)
