"""What an evaluator checks before it scores, so that a bad input is one clear sentence."""

from __future__ import annotations

import torch
from torch import Tensor


def check_samples(features: Tensor, labels: Tensor, split: str, *, several: bool = False) -> None:
    """Check features (N, F) and labels (N,) of one split, `"training"` or `"test"`.

    Args:
        features: the features.
        labels: the labels.
        split: the name of the split.
        several: whether bool labels (N, K) are taken too.

    Raises:
        ValueError: a shape is another one, the lengths differ, there are no samples, or a feature
            is not finite.
    """
    many = several and labels.dim() == 2 and labels.dtype == torch.bool
    if features.dim() != 2 or not (labels.dim() == 1 or many):
        raise ValueError(
            f"{split} features must be of shape (N, F) and labels of shape (N,), "
            f"got {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if len(features) != len(labels):
        raise ValueError(
            f"{len(features)} {split} features but {len(labels)} labels: give one label for each"
        )
    if features.numel() == 0:
        raise ValueError(
            f"the {split} features are empty, of shape {tuple(features.shape)}: "
            "give at least one sample"
        )
    check_finite(features, "features", f"{split} samples")


def check_probe(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    several: bool = False,
) -> None:
    """Check what a probe is fitted on, (N, F) and (N,), and scored on, (M, F) and (M,).

    With `several`, bool labels (N, K) and (M, K) are taken too.

    Raises:
        ValueError: as `check_samples`; or the splits differ in F or K, or there is one class only.
    """
    check_samples(train_features, train_labels, "training", several=several)
    check_samples(test_features, test_labels, "test", several=several)
    if train_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            f"training features have {train_features.shape[1]} dimensions but test features "
            f"{test_features.shape[1]}: take both from the same encoder"
        )
    if train_labels.shape[1:] != test_labels.shape[1:]:
        raise ValueError(
            f"training labels are of shape {tuple(train_labels.shape)}, and test labels of "
            f"{tuple(test_labels.shape)}: give both the same classes"
        )
    if train_labels.dim() == 1:
        check_classes(train_labels, "training")


def check_classes(labels: Tensor, split: str) -> None:
    """Check that labels (N,) name two classes or more.

    Raises:
        ValueError: they name one.
    """
    if bool((labels == labels[0]).all()):
        raise ValueError(f"the {split} labels hold one class: give images of at least two classes")


def check_finite(tensor: Tensor, name: str, samples: str) -> None:
    """Check that a tensor (N, ...) holds no NaN and no infinity.

    Raises:
        ValueError: it does; the message counts the samples.
    """
    finite = tensor.isfinite()
    if not bool(finite.all()):
        bad = int((~finite.flatten(1).all(1)).sum())
        raise ValueError(
            f"the {name} are not finite: {bad} of {len(tensor)} {samples} hold NaN or infinity; "
            "training may have diverged, so look at its loss"
        )
