"""Labels of images: a class each, or several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslcore.errors import DataError

#: The label of an image whose class is not known, among images whose class is.
UNKNOWN = -1


def check_labels(labels: Tensor, images: int) -> None:
    """Check the labels of images: int64 (N,), each a class or -1, or bool (N, K).

    Args:
        labels: the labels.
        images: how many images there are, N.

    Raises:
        DataError: they have another type or shape, or a label is below -1.
    """
    kind, shape = labels.dtype, tuple(labels.shape)
    if kind == torch.bool and labels.dim() == 2:
        if not shape[1]:
            raise DataError("labels of shape (N, 0) name no class; give None without labels")
    elif kind != torch.int64 or labels.dim() != 1:
        raise DataError(
            "labels must be int64 of shape (N,), the number of a class each, or bool of shape "
            f"(N, K), whether each of K classes is there; got {kind} of shape {shape}"
            f"{_advice(labels)}"
        )
    if len(labels) != images:
        raise DataError(f"{images} images but labels of shape {shape}")
    if kind == torch.int64 and images and int(labels.min()) < UNKNOWN:
        row = int(labels.argmin())
        raise DataError(
            f"label {row} is {int(labels[row])}; classes count from 0, and -1 is an unknown class"
        )


def _advice(labels: Tensor) -> str:
    if labels.dim() == 1 and labels.dtype != torch.bool:
        return "; numbers of classes become int64 with labels.long()"
    if labels.dim() == 2 and bool(((labels == 0) | (labels == 1)).all()):
        return "; zeros and ones become bool with labels.bool()"
    return ""


def are_several(labels: Tensor | None) -> bool:
    """Whether images have several labels each, bool (N, K)."""
    return labels is not None and labels.dim() == 2


def are_known(labels: Tensor) -> Tensor:
    """Return which images have a label, bool (N,)."""
    if are_several(labels):
        return torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    return labels != UNKNOWN


def class_of(labels: Tensor | None, row: int, classes: Sequence[str]) -> str:
    """Return the name of the class of an image, or of several; empty without a label.

    A class without a name has its number.
    """
    if labels is None:
        return ""
    numbers = labels[row].nonzero()[:, 0].tolist() if are_several(labels) else [int(labels[row])]
    return ", ".join(
        classes[number] if number < len(classes) else str(number)
        for number in numbers
        if number != UNKNOWN
    )


def renumbered(labels: Tensor, numbers: Tensor, count: int) -> Tensor:
    """Return labels with other numbers for their classes.

    Args:
        labels: int64 (N,), or bool (N, K).
        numbers: the new number of each class, (K,), int64.
        count: how many classes there are then.
    """
    if are_several(labels):
        found = torch.zeros(len(labels), count, dtype=torch.bool)
        found[:, numbers] = labels
        return found
    known = are_known(labels)
    return torch.where(known, numbers[labels.clamp_min(0)], labels)
