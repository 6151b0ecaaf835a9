"""InfoNCE (van den Oord et al. 2018, eq. 4) with the other keys of the batch as negatives."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from sslcore.contrastive import contrast, contrast_both_ways, positions
from sslcore.functional import unit_rows


def infonce(
    queries: Tensor,
    keys: Tensor,
    temperature: float,
    *,
    normalize: bool = True,
    symmetric: bool = False,
    rows: slice | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Return the mean over queries i of −log(exp(sᵢᵢ/τ) / Σₖ exp(sᵢₖ/τ)), a scalar (eq. 4).

    s is the cosine similarity, or the dot product where `normalize` is off. All is computed in
    float32 or wider, also under autocast, and returned in the type of the inputs. Of the B²
    similarities only a few rows are held at a time where B is large.

    Args:
        queries: (B, D), B ≥ 2.
        keys: (B, D); key i belongs to query i, the others are its negatives.
        temperature: τ > 0.
        normalize: whether the rows are scaled to unit length; a zero row stays zero.
        symmetric: whether the keys also query the queries, and the two losses are averaged.
        rows: the positions in B whose queries count, where several processes share a batch; each
            is compared with all keys. None: all.
        chunk_size: rows of similarities that are held at a time; None: as many as are fastest.

    Raises:
        ValueError: the shapes differ or are not (B, D), B < 2, the temperature is not positive, or
            `rows` are no positions in B.
    """
    if queries.dim() != 2 or queries.shape != keys.shape or queries.shape[1] < 1:
        raise ValueError(
            "queries and keys must have one shape (B, D), got "
            f"{tuple(queries.shape)} and {tuple(keys.shape)}"
        )
    if len(queries) < 2:
        raise ValueError(
            "InfoNCE takes its negatives from the other images of the batch, which has "
            f"{len(queries)}; give at least 2"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    kept = torch.promote_types(queries.dtype, keys.dtype)
    exact = torch.promote_types(kept, torch.float32)
    queries, keys = queries.to(exact), keys.to(exact)
    if normalize:
        queries, keys = unit_rows(queries), unit_rows(keys)
    if symmetric and normalize:
        loss = contrast_both_ways(queries, keys, temperature, rows=rows, chunk_size=chunk_size)
        return loss.to(kept)
    here = positions(rows, len(queries))
    own = torch.arange(here.start, here.stop, device=queries.device)
    directions = ((queries, keys), (keys, queries)) if symmetric else ((queries, keys),)
    losses = [
        contrast(asking[here], asked, own, temperature, chunk_size=chunk_size)
        for asking, asked in directions
    ]
    return torch.stack(losses).mean().to(kept)


class InfoNCE(nn.Module):
    """Cross-entropy of finding an image's second view among those of the batch.

    Van den Oord, Li & Vinyals 2018, eq. 4: the first view is the query, the second views of all
    images are the keys.

    Args:
        num_views: views per image; this loss compares 2.
        temperature: τ, by which similarities are divided, > 0; lower weighs near negatives more.
        symmetric: whether the second view also queries the first, and the two are averaged.
        normalize: whether the similarity is the cosine; if not, the dot product.
        chunk_size: rows of similarities that are held in memory at a time; none means as many as
            are fastest. The loss is the same.

    Raises:
        ValueError: there are not two views.
    """

    def __init__(
        self,
        *,
        num_views: int = 2,
        temperature: Annotated[float, Gt(0)] = 0.5,
        symmetric: bool = False,
        normalize: bool = True,
        chunk_size: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__()
        if num_views != 2:
            raise ValueError(f"InfoNCE compares 2 views, and the augmentation makes {num_views}")
        self.temperature = temperature
        self.symmetric = symmetric
        self.normalize, self.chunk_size = normalize, chunk_size

    def forward(self, projections: Tensor, rows: slice | None = None) -> Tensor:
        """Score projections (2, B, D), B ≥ 2, as a scalar.

        Given `rows`, only the views of these images are queries, of all keys.

        Raises:
            ValueError: the projections have another shape.
        """
        if projections.dim() != 3 or len(projections) != 2:
            raise ValueError(
                f"projections must be of shape (2, B, D), got {tuple(projections.shape)}"
            )
        return infonce(
            projections[0],
            projections[1],
            self.temperature,
            normalize=self.normalize,
            symmetric=self.symmetric,
            rows=rows,
            chunk_size=self.chunk_size,
        )
