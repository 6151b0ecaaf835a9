"""The loss of DeepCluster-v2: cross-entropy to the clusters of an image (Caron et al. 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.contrastive import positions
from sslcore.functional import without_autocast


class ClusterEntropy(nn.Module):
    """Cross-entropy of each view to the clusters of its image (Caron et al. 2020, appendix D).

    With cosines s of a view with the K centroids of a run of k-means, and the cluster k that this
    run put the image into,

        L = mean over views, images and runs of −log softmax_k(s / τ).

    Args:
        temperature: τ, the divisor of the cosines, > 0.

    Raises:
        ValueError: (when called) cosines are not float (V, B, R, K), or clusters not int64
            (1, B, R).
    """

    def __init__(self, *, temperature: Annotated[float, Gt(0)] = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, cosines: Tensor, clusters: Tensor, rows: slice | None = None) -> Tensor:
        """Score `cosines` (V, B, R, K) by `clusters` (1, B, R), each in [0, K), as a scalar.

        Given `rows`, positions in B, only these images are scored.
        """
        _check(cosines, clusters)
        here = positions(rows, cosines.shape[1])
        exact = torch.promote_types(cosines.dtype, torch.float32)
        with without_autocast(cosines.device):
            logits = (cosines[:, here].to(exact) / self.temperature).flatten(0, 2)
            wanted = clusters[:, here].expand(len(cosines), -1, -1).flatten()
            return F.cross_entropy(logits, wanted).to(cosines.dtype)


def _check(cosines: Tensor, clusters: Tensor) -> None:
    shape, other = tuple(cosines.shape), tuple(clusters.shape)
    if len(shape) != 4 or other != (1, *shape[1:3]) or not cosines.numel():
        raise ValueError(
            f"cosines must be (V, B, R, K) and clusters (1, B, R), and not empty, got {shape} and "
            f"{other}"
        )
    if not cosines.is_floating_point() or clusters.dtype != torch.int64:
        raise ValueError(
            f"cosines must be float and clusters int64, got {cosines.dtype} and {clusters.dtype}"
        )
