"""Bringing features to a common scale: standardised columns, or rows of unit length.

Both divide by the largest magnitude first, so that no square leaves the range of float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: A column whose standard deviation is below this part of its largest magnitude is constant: what
#: is left of it is rounding.
_CONSTANT = 1e-6


def standardize(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Return both with each column's mean and standard deviation over `train` removed.

    A column that is constant in `train` is centred, and divided by its magnitude alone.

    Args:
        train: (N, F).
        test: (M, F).
    """
    largest = train.abs().amax(0)
    largest = torch.where(largest > 0, largest, 1)
    train, test = train / largest, test / largest
    deviation, mean = torch.std_mean(train, dim=0, correction=0)
    deviation = torch.where(deviation > _CONSTANT, deviation, 1)
    return train.sub_(mean).div_(deviation), test.sub_(mean).div_(deviation)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the part of the predicted classes (M,) that equals the labels (M,), in [0, 1]."""
    return int((predicted == labels).sum()) / len(labels)
