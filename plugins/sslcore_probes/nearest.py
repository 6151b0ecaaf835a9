"""Evaluators that look at the nearest neighbours by cosine similarity, in blocks of queries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt
from torch import Tensor

from sslcore.functional import unit_rows
from sslcore_probes.checks import check_classes, check_probe, check_samples
from sslcore_probes.precision import mean_average_precision
from sslcore_probes.scaling import accuracy

#: Similarities in one block: bounds the memory at a few times 64 MiB.
_BLOCK = 2**24

#: Similarities closer than this are a tie, since they are equal but for rounding. A tie is never
#: broken by the order of the samples, which often is the order of the classes.
_TIE = 1e-6

#: Shares of the votes closer than this are equal; at usual temperatures, ties change them by less.
_EQUAL_VOTES = 1e-5


def _similarities(queries: Tensor, gallery: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and the cosine similarities (rows, N) of each block of queries."""
    queries, gallery = unit_rows(queries), unit_rows(gallery)
    rows = max(1, _BLOCK // len(gallery))
    for start in range(0, len(queries), rows):
        yield start, queries[start : start + rows] @ gallery.T


class Knn:
    """Accuracy of a weighted vote of the k nearest training images.

    A neighbour with cosine similarity s votes for its class with weight exp(s / temperature)
    (Wu et al. 2018, section 3.4). Training images as near as the k-th vote too. Of images with
    several labels, the share of the votes for each class ranks the test images, and the score is
    the mean average precision.

    Args:
        k: number of neighbours that vote; all training images if there are fewer.
        temperature: temperature of the vote weights; a lower one gives the nearest neighbours more
            weight.
    """

    #: It also runs during training.
    fast = True
    #: It takes labels (N, K).
    several_labels = True

    def __init__(
        self, *, k: Annotated[int, Ge(1)] = 20, temperature: Annotated[float, Gt(0)] = 0.1
    ) -> None:
        self.k, self.temperature = k, temperature

    @torch.no_grad()
    def __call__(
        self,
        train_features: Tensor,
        train_labels: Tensor,
        test_features: Tensor,
        test_labels: Tensor,
    ) -> dict[str, float]:
        """Return `knn_top1`, or of several labels an image `knn_map`, in [0, 1].

        Args:
            train_features: (N, F).
            train_labels: (N,), or (N, K) bool.
            test_features: (M, F).
            test_labels: (M,), or (M, K) bool.

        Raises:
            ValueError: there are no samples or one class, lengths differ, or a feature is not
                finite.
        """
        check_probe(train_features, train_labels, test_features, test_labels, several=True)
        k = min(self.k, len(train_features))
        if train_labels.dim() == 2:
            membership = train_labels.to(train_features.dtype)
            shares = [
                self._weights(block, k) @ membership
                for _, block in _similarities(test_features, train_features)
            ]
            # Shares that differ by rounding alone are a tie.
            found = (torch.cat(shares) / _EQUAL_VOTES).round()
            return {"knn_map": mean_average_precision(found, test_labels)}
        classes, targets = train_labels.unique(return_inverse=True)
        membership = F.one_hot(targets, len(classes)).to(train_features.dtype)
        predicted = [
            classes[_first_of_largest(self._weights(block, k) @ membership)]
            for _, block in _similarities(test_features, train_features)
        ]
        return {"knn_top1": accuracy(torch.cat(predicted), test_labels)}

    def _weights(self, similarities: Tensor, k: int) -> Tensor:
        """Return the weights (rows, N) of the votes, which sum to 1 for each query."""
        farthest = similarities.topk(k).values[:, -1:]
        votes = similarities >= farthest - _TIE
        return (similarities / self.temperature).masked_fill_(~votes, -torch.inf).softmax(1)


def _first_of_largest(votes: Tensor) -> Tensor:
    """Return the first class (rows,) with the most votes (rows, K), up to rounding."""
    return (votes >= votes.amax(1, keepdim=True) - _EQUAL_VOTES).byte().argmax(1)


class Retrieval:
    """How often the nearest other test images, by cosine similarity, are of the query's class.

    Every test image is a query once, and its gallery is all other test images. If several images
    tie for the last place, the score is the expected value over their order. A query that is the
    only image of its class counts as a miss.
    """

    @torch.no_grad()
    def __call__(self, test_features: Tensor, test_labels: Tensor) -> dict[str, float]:
        """Return `retrieval_top1` and `retrieval_top5`, in [0, 1].

        `retrieval_top5` counts the queries with at least one image of their class among the five
        nearest.

        Args:
            test_features: (M, F).
            test_labels: (M,).

        Raises:
            ValueError: there are no samples or one class, lengths differ, or a feature is not
                finite.
        """
        check_samples(test_features, test_labels, "test")
        check_classes(test_labels, "test")
        found = {1: 0.0, 5: 0.0}
        for start, similarities in _similarities(test_features, test_features):
            similarities.diagonal(start).fill_(-torch.inf)
            labels = test_labels[start : start + len(similarities)]
            same = labels[:, None] == test_labels
            for k in found:
                found[k] += float(chance_of_hit(similarities, same, k).sum())
        return {f"retrieval_top{k}": found[k] / len(test_labels) for k in found}


def chance_of_hit(similarities: Tensor, same: Tensor, k: int) -> Tensor:
    """Return the probability (rows,) that one of the k nearest has the same class, over ties.

    Args:
        similarities: (rows, M), minus infinity for the query itself.
        same: (rows, M), whether an image is of the query's class.
        k: number of neighbours; all images if there are fewer.
    """
    k = min(k, similarities.shape[1] - 1)
    last = similarities.topk(k).values[:, -1:]
    nearer = similarities > last + _TIE
    tied = (similarities - last).abs() <= _TIE
    places = k - nearer.sum(1)
    others, total = (tied & ~same).sum(1), tied.sum(1)
    miss = (~(nearer & same).any(1)).to(similarities.dtype)
    for place in range(k):
        # Drawing without replacement: all `places` from the tied images go to other classes.
        drawn = (others - place).clamp_min(0) / (total - place).clamp_min(1)
        miss = torch.where(place < places, miss * drawn, miss)
    return 1 - miss
