"""The cross-entropy of logits and labels."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor, nn
from torch.nn import functional as F

#: A label that no data has: torch leaves out images of this label, by default those of -100.
_IGNORED = -(2**63)


class CrossEntropy(nn.Module):
    """Cross-entropy with smoothed labels (Szegedy et al. 2016, section 7).

    With the softmax p of the logits and K classes, an image of class y has the loss

        -(1 - ε) log p_y - ε/K Σ_k log p_k,

    and the loss is its mean over all views of all images.

    Args:
        label_smoothing: ε in [0, 1).

    Raises:
        ValueError: when called, the shapes don't fit, or there are no images.
        IndexError: when called on a CPU, a label is none of the classes. On a GPU, torch stops
            the process instead.
    """

    def __init__(self, *, label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.1) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor, rows: slice | None = None) -> Tensor:
        """Return the loss of `logits` (V, B, K) and `labels` (B,), int64, a scalar.

        Given `rows`, it is the mean over these images only.
        """
        if logits.dim() != 3 or not logits.numel() or labels.shape != logits.shape[1:2]:
            raise ValueError(
                f"cross-entropy takes logits (V, B, K) and labels (B,) of at least one image, got "
                f"shapes {tuple(logits.shape)} and {tuple(labels.shape)}"
            )
        if rows is not None:
            logits, labels = logits[:, rows], labels[rows]
        # In half precision, the sum of an image's losses over all classes may overflow.
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return F.cross_entropy(
            exact.flatten(0, 1),
            labels.repeat(len(logits)),
            ignore_index=_IGNORED,
            label_smoothing=self.label_smoothing,
        ).to(logits.dtype)
