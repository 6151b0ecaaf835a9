"""The normalised temperature-scaled cross-entropy, NT-Xent."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor, nn

from sslcore.contrastive import contrast_views
from sslcore.functional import unit_rows


def nt_xent(
    projections: Tensor,
    temperature: float,
    *,
    rows: slice | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Return the NT-Xent loss of pairs of projections (SimCLR, Chen et al. 2020, equation (1)).

    With the 2N projections z scaled to unit length, s(i, k) = ⟨z_i, z_k⟩ and p(i) the other view
    of the image that i is a view of,

        L = mean over i of -log( exp(s(i, p(i)) / τ) / Σ_{k ≠ i} exp(s(i, k) / τ) ).

    It is computed in float32, or in float64 for float64. A row of zeros has similarity 0 to all
    others. Of the (2N)² similarities only a few rows are held at a time where N is large.

    Args:
        projections: float (2, N, D): two views of N ≥ 2 images. They need not be normalised.
        temperature: τ > 0.
        rows: the images over whose views i the mean goes, as positions in N, where several
            processes share a batch; k goes over all views. None: all images.
        chunk_size: rows of similarities that are held at a time; None: as many as are fastest.

    Returns:
        A scalar of the type of the projections.

    Raises:
        ValueError: another shape or type, a temperature that is not positive, or `rows` that are
            no positions in N.
    """
    _check(projections, temperature)
    unit = unit_rows(projections)
    loss = contrast_views(unit, temperature, rows=rows, chunk_size=chunk_size)
    return loss.to(projections.dtype)


class NTXent(nn.Module):
    """NT-Xent: tell the other view of an image from all views of all other images.

    SimCLR (Chen et al. 2020), equation (1); see `nt_xent`.

    Args:
        temperature: τ, the divisor of cosine similarities, > 0. Lower values weigh the most
            similar other images more.
        chunk_size: rows of similarities that are held in memory at a time; none means as many as
            are fastest. The loss is the same.

    Raises:
        ValueError: the temperature is not positive, or (when called) the projections are not of
            shape (2, N, D) with N ≥ 2.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, Gt(0)] = 0.5,
        chunk_size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature: expected a number > 0, got {temperature}")
        self.temperature, self.chunk_size = temperature, chunk_size

    def forward(self, projections: Tensor, rows: slice | None = None) -> Tensor:
        """Return the loss of `projections` (2, N, D), a scalar.

        Given `rows`, it is the mean over the views of these images only, each compared with all.
        """
        return nt_xent(projections, self.temperature, rows=rows, chunk_size=self.chunk_size)


def _check(projections: Tensor, temperature: float) -> None:
    shape = tuple(projections.shape)
    if projections.dim() != 3 or shape[0] != 2 or not projections.is_floating_point():
        raise ValueError(
            "NT-Xent takes float projections of shape (2, N, D), two views of N images, "
            f"got {projections.dtype} of shape {shape}"
        )
    if shape[1] < 2:
        raise ValueError(
            "NT-Xent needs at least 2 images, so that there are others to tell one from, "
            f"got {shape[1]}"
        )
    if shape[2] < 1:
        raise ValueError(f"NT-Xent needs projections of length 1 or more, got shape {shape}")
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number > 0, got {temperature}")
