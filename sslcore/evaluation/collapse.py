"""Whether representations have collapsed: two numbers, and a warning when they are low."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

#: Below these the representations have collapsed, wholly or to a few directions.
_LOW_SPREAD = 0.1
_LOW_RANK = 1.5

#: The signals that are read: the first of them that there is.
READ = ("projections", "features")


@dataclass(frozen=True)
class Reading:
    """How spread out a batch of representations is.

    Attributes:
        signal: what was read, `"projections"` or `"features"`.
        dim: their length D.
        std: mean over dimensions of the standard deviation of unit-norm representations; 1/√D
            for directions spread evenly (Chen & He 2021, section 4.1), 0 when all are equal.
        effective_rank: exp of the entropy of the singular values of unit-norm representations
            (Roy & Vetterli 2007, eq. 6; Garrido et al. 2023, eq. 1), from 1 to min(rows, D).
    """

    signal: str
    dim: int
    std: float
    effective_rank: float

    @property
    def spread(self) -> float:
        """`std` in units of 1/√D: 1 is even, 0 is collapsed."""
        result: float = self.std * self.dim**0.5
        return result

    @property
    def collapsed(self) -> bool:
        """Whether nearly all representations point the same way."""
        return self.spread < _LOW_SPREAD or self.effective_rank < _LOW_RANK

    def warning(self) -> str:
        """Say in words that they have collapsed, and what to try; empty where they have not."""
        if not self.collapsed:
            return ""
        return (
            f"the {self.signal} have collapsed: effective rank {self.effective_rank:.1f} of "
            f"{self.dim}, standard deviation {self.std:.4f} where {self.dim**-0.5:.4f} is even. "
            "The encoder gives nearly the same output for every image; try a lower "
            "optimizer.lr, batch norm in the head, or stronger augmentation"
        )


@torch.no_grad()
def read_collapse(signal: str, representations: Tensor) -> Reading:
    """Read the spread of representations.

    Args:
        signal: their name.
        representations: (..., D); all leading dimensions count as rows. Only the first view is
            read where there are views, since the views of an image are alike by design.
    """
    rows = representations[0] if representations.dim() > 2 else representations
    rows = functional.normalize(rows.flatten(0, -2).float(), dim=-1)
    std = rows.std(0, correction=0).mean()
    smaller = rows if rows.shape[0] >= rows.shape[1] else rows.T
    # Singular values by way of the smaller Gram matrix, in double: squaring halves the digits.
    smaller = smaller.cpu().double()
    singular = torch.linalg.eigvalsh(smaller.T @ smaller).clamp_min(0).sqrt()
    share = singular / singular.sum().clamp_min(1e-12)
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    return Reading(signal, rows.shape[-1], float(std), float(entropy.exp()))


def read_signals(signals: dict[str, Tensor]) -> Reading | None:
    """Read the projections, or where there are none the features."""
    for name in READ:
        # A single image is always alike itself.
        if name in signals and signals[name].shape[-2] > 1:
            return read_collapse(name, signals[name])
    return None
