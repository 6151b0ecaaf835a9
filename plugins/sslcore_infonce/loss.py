"""InfoNCE (van den Oord et al. 2018, eq. 4) with the other keys of the batch as negatives."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.functional import unit_rows, without_autocast


def infonce(queries: Tensor, keys: Tensor, temperature: float, *, normalize: bool = True) -> Tensor:
    """Return InfoNCE from queries to keys: the mean of `infonce_per_query`, a scalar.

    It is of the type of the inputs. The arguments and errors are those of `infonce_per_query`.
    """
    losses = infonce_per_query(queries, keys, temperature, normalize=normalize)
    return losses.mean().to(torch.promote_types(queries.dtype, keys.dtype))


def infonce_per_query(
    queries: Tensor, keys: Tensor, temperature: float, *, normalize: bool = True
) -> Tensor:
    """Return −log(exp(sᵢᵢ/τ) / Σₖ exp(sᵢₖ/τ)) for every query i, (B,) (eq. 4).

    s is the cosine similarity, or the dot product where `normalize` is off. All is computed in
    float32 or wider, also under autocast, and returned so.

    Args:
        queries: (B, D), B ≥ 2.
        keys: (B, D); key i belongs to query i, the others are its negatives.
        temperature: τ > 0.
        normalize: whether the rows are scaled to unit length; a zero row stays zero.

    Raises:
        ValueError: the shapes differ or are not (B, D), B < 2, or the temperature is not positive.
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
    exact = torch.promote_types(torch.promote_types(queries.dtype, keys.dtype), torch.float32)
    # Autocast would take the product in low precision, whose error 1/τ multiplies.
    with without_autocast(queries.device):
        queries, keys = queries.to(exact), keys.to(exact)
        if normalize:
            queries, keys = unit_rows(queries), unit_rows(keys)
        scores = queries @ keys.T / temperature
    own = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores, own, reduction="none")


class InfoNCE(nn.Module):
    """Cross-entropy of finding an image's second view among those of the batch.

    Van den Oord, Li & Vinyals 2018, eq. 4: the first view is the query, the second views of all
    images are the keys.

    Args:
        num_views: views per image; this loss compares 2.
        temperature: τ, by which similarities are divided, > 0; lower weighs near negatives more.
        symmetric: whether the second view also queries the first, and the two are averaged.
        normalize: whether the similarity is the cosine; if not, the dot product.

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
    ) -> None:
        super().__init__()
        if num_views != 2:
            raise ValueError(f"InfoNCE compares 2 views, and the augmentation makes {num_views}")
        self.temperature = temperature
        self.symmetric = symmetric
        self.normalize = normalize

    def forward(self, projections: Tensor) -> Tensor:
        """Score projections (2, B, D), B ≥ 2, as a scalar.

        Raises:
            ValueError: the projections have another shape.
        """
        if projections.dim() != 3 or len(projections) != 2:
            raise ValueError(
                f"projections must be of shape (2, B, D), got {tuple(projections.shape)}"
            )
        first, second = projections
        loss = infonce(first, second, self.temperature, normalize=self.normalize)
        if not self.symmetric:
            return loss
        return (loss + infonce(second, first, self.temperature, normalize=self.normalize)) / 2
