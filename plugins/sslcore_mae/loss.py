"""Mean squared error over hidden patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sslcore.patches import cut

#: Added to the variance of a patch, so that one of a single colour becomes zero.
_EPSILON = 1e-6


def masked_mean_squared_error(
    reconstructions: Tensor, targets: Tensor, mask: Tensor, *, normalize_targets: bool = False
) -> Tensor:
    """Return the mean of (reconstructions − targets)² over the pixels of all hidden patches.

    He et al. 2022, section 3, "Reconstruction target". What is visible has no part in it, and
    where nothing is hidden the loss is 0. Low precision is squared and summed in float32, and the
    result returned in the inputs' type.

    Args:
        reconstructions: (V, B, C, h, w).
        targets: the same shape.
        mask: (V, B, L) bool, True where one of the L square patches, row by row, is hidden.
        normalize_targets: whether each patch of the targets is normalised first, see
            `normalized`.

    Raises:
        ValueError: the shapes don't go together, even where they would broadcast, or there are no
            entries.
    """
    side = _checked_side(reconstructions, targets, mask)
    kept = torch.promote_types(reconstructions.dtype, targets.dtype)
    exact = torch.promote_types(kept, torch.float32)
    wanted = cut(targets.to(exact), side)
    if normalize_targets:
        wanted = normalized(wanted)
    difference = cut(reconstructions.to(exact), side) - wanted
    # Before it is squared, so that no value there, however large, reaches a gradient.
    difference = difference.where(mask[..., None], 0)
    pixels = mask.sum().clamp_min(1) * difference.shape[-1]
    return (difference.square().sum() / pixels).to(kept)


def normalized(patches: Tensor) -> Tensor:
    """Return patches (..., P), each less its mean and divided by its standard deviation.

    The deviation is that of a sample of P numbers, whose variance is that of the paper's code
    (divided by P − 1, 10⁻⁶ added); a patch of one colour becomes zeros.
    """
    unbiased = min(1, patches.shape[-1] - 1)
    variance, mean = torch.var_mean(patches, -1, correction=unbiased, keepdim=True)
    return (patches - mean) / (variance + _EPSILON).sqrt()


class MaskedMSE(nn.Module):
    """Mean squared error over the pixels of hidden patches (He et al. 2022, section 3).

    Args:
        normalize_targets: whether each patch of the targets is normalised by its own mean and
            standard deviation, which the paper finds to give better features (section 4.1,
            "Reconstruction target"; not its default). The reconstructions are in these units then.

    Raises:
        ValueError: (when called) the shapes don't go together, or are empty.
    """

    def __init__(self, *, normalize_targets: bool = False) -> None:
        super().__init__()
        self.normalize_targets = normalize_targets

    def forward(
        self, reconstructions: Tensor, views: Tensor, mask: Tensor, targets: Tensor | None = None
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            reconstructions: (V, B, C, h, w).
            views: (V, B, C, h, w).
            mask: (V, B, L) bool, True where a patch is hidden.
            targets: (V, B, C, h, w), where they are others than the views.
        """
        return masked_mean_squared_error(
            reconstructions,
            views if targets is None else targets,
            mask,
            normalize_targets=self.normalize_targets,
        )


def _checked_side(reconstructions: Tensor, targets: Tensor, mask: Tensor) -> int:
    """Return the side of the patches that a mask speaks of, px."""
    shape = tuple(reconstructions.shape)
    if reconstructions.dim() != 5 or reconstructions.shape != targets.shape:
        raise ValueError(
            f"reconstructions have shape {shape} but what they should look like has "
            f"{tuple(targets.shape)}; both must be (V, B, C, h, w), and equal"
        )
    if not reconstructions.numel():
        raise ValueError(
            f"there is nothing to compare in tensors of shape {shape}; give at least one image"
        )
    if mask.dim() != 3 or mask.shape[:2] != shape[:2] or mask.dtype != torch.bool:
        raise ValueError(
            f"mask must be {shape[:2]} by L, bool, for reconstructions of shape {shape}; got "
            f"{mask.dtype} of shape {tuple(mask.shape)}"
        )
    height, width = shape[-2:]
    side = math.isqrt(height * width // max(1, mask.shape[-1]))
    if not side or height % side or width % side or height * width != mask.shape[-1] * side**2:
        raise ValueError(
            f"mask has {mask.shape[-1]} entries, and so many square patches don't fill "
            f"{height} × {width} px"
        )
    return side
