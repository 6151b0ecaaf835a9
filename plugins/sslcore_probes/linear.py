"""The linear probe: logistic regression on frozen features, with all labels and with few."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from sslcore.random import generator_for
from sslcore_probes.checks import check_probe
from sslcore_probes.penalty import choose_penalty
from sslcore_probes.precision import mean_average_precision
from sslcore_probes.scaling import accuracy, standardize
from sslcore_probes.several_labels import choose_penalty as choose_penalty_of_each
from sslcore_probes.several_labels import fit_each
from sslcore_probes.softmax_regression import fit, logits

#: The penalty where there are too few labels to choose one: a standard normal prior on the weights.
_FEW_LABELS_L2 = 1.0

#: Numbers in the arrays of the draws that are solved together: bounds the memory.
_BLOCK = 2**24


class LinearProbe:
    """Accuracy of multinomial logistic regression on frozen, standardised features.

    Of images with several labels, a logistic regression for each class ranks the test images, and
    the score is the mean average precision.

    The probe is fitted once with the labels of all training images, and several times with the
    labels of a few images of each class. The few images depend on the seed and on the order of the
    training images, not on the features, so all encoders are compared on the same images.

    Args:
        labels_per_class: labelled images of each class in the few-label case; all images of a class
            that has fewer. 0 disables the case.
        draws: number of random draws of few labels, each with a fit of its own.
        l2: weight of half the squared weights, added to the cross-entropy summed over the images
            (1 / C in scikit-learn). None chooses it on a held-out fifth of the training images;
            in the few-label case it means 1.
    """

    #: It takes labels (N, K).
    several_labels = True

    def __init__(
        self,
        *,
        labels_per_class: Annotated[int, Ge(0)] = 5,
        draws: Annotated[int, Ge(1)] = 10,
        l2: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        self.labels_per_class, self.draws, self.l2 = labels_per_class, draws, l2

    @torch.no_grad()
    def __call__(
        self,
        train_features: Tensor,
        train_labels: Tensor,
        test_features: Tensor,
        test_labels: Tensor,
        seed: int,
    ) -> dict[str, float]:
        """Return `linear_top1`, and for n labels per class `linear_top1_n_per_class` and its std.

        All are in [0, 1]; the few-label figure is the mean over the draws, and
        `linear_top1_n_per_class_std` the standard deviation between them. Of several labels an
        image, return `linear_map`.

        Args:
            train_features: (N, F).
            train_labels: (N,), or (N, K) bool.
            test_features: (M, F).
            test_labels: (M,), or (M, K) bool.
            seed: of the draws.

        Raises:
            ValueError: there are no samples or one class, lengths differ, or a feature is not
                finite.
        """
        check_probe(train_features, train_labels, test_features, test_labels, several=True)
        train, test = standardize(train_features, test_features)
        if train_labels.dim() == 2:
            l2 = choose_penalty_of_each(train, train_labels) if self.l2 is None else self.l2
            scores = logits(test, fit_each(train, train_labels, l2=l2)).T
            return {"linear_map": mean_average_precision(scores, test_labels)}
        classes, targets = train_labels.unique(return_inverse=True)
        weights = self._fit_all(train, targets, len(classes))
        predicted = classes[logits(test, weights).argmax(0)]
        name = "linear_top1"
        found = {name: accuracy(predicted, test_labels)}
        if self.labels_per_class:
            name = f"{name}_{self.labels_per_class}_per_class"
            generator = generator_for(seed, "linear-probe", "draws")
            rows = draw_per_class(targets, self.labels_per_class, self.draws, generator)
            predictions = self._predict_few(train, targets, test, len(classes), rows)
            each = torch.tensor(
                [accuracy(classes[row], test_labels) for row in predictions], dtype=torch.float64
            )
            found[name] = float(each.mean())
            found[f"{name}_std"] = float(each.std(correction=min(1, self.draws - 1)))
        return found

    def _fit_all(self, train: Tensor, targets: Tensor, num_classes: int) -> Tensor:
        """Return the weights (K, F + 1) fitted on all labels."""
        l2, start = self.l2, None
        if l2 is None:
            l2, start = choose_penalty(train, targets, num_classes)
        return fit(train[None], targets[None], num_classes, l2=l2, start=start)[0]

    def _predict_few(
        self, train: Tensor, targets: Tensor, test: Tensor, num_classes: int, rows: Tensor
    ) -> Tensor:
        """Return the predicted class indices (draws, M) for the training rows (draws, S)."""
        l2 = _FEW_LABELS_L2 if self.l2 is None else self.l2
        width = max(train.shape[1], num_classes)
        together = max(1, _BLOCK // (max(rows.shape[1], num_classes) * width))
        predictions = []
        for some in rows.to(train.device).split(together):
            weights = fit(train[some], targets[some], num_classes, l2=l2)
            predictions += [logits(test, each).argmax(0) for each in weights]
        return torch.stack(predictions)


def draw_per_class(
    targets: Tensor, per_class: int, draws: int, generator: torch.Generator
) -> Tensor:
    """Return rows (draws, S) of training images: in each draw, so many of each class.

    A class with fewer images gives all it has.

    Args:
        targets: class indices, (N,) int64.
        per_class: images of each class.
        draws: independent draws.
        generator: on the CPU.
    """
    targets = targets.cpu()
    shuffled = torch.rand(draws, len(targets), generator=generator).argsort(1)
    by_class = shuffled.gather(1, targets[shuffled].argsort(dim=1, stable=True))
    counts = targets.bincount()
    first = counts.cumsum(0) - counts
    place_in_class = torch.arange(len(targets)) - first.repeat_interleave(counts)
    return by_class[:, place_in_class < per_class]
