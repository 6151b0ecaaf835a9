"""The head of DeepCluster-v2: k-means before each epoch, and cosines with its centroids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypedDict

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore import BatchRandom
from sslcore.functional import unit_rows
from sslcore.layers import perceptron

#: Cosines with centroids that are held in memory at a time.
_HELD = 2**24
#: Clusters of the paper, and the least images that a cluster has on average by default.
_CLUSTERS, _LEAST = 3000, 15


class Clustered(TypedDict):
    """`cosines`: (V, B, R, K), with the centroids; `clusters`: (1, B, R), int64, of the images."""

    cosines: Tensor
    clusters: Tensor


def spherical_k_means(rows: Tensor, centroids: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Return centroids of unit length (K, D), and the cluster of each row, (N,) int64.

    Each iteration puts a row into the cluster of the largest cosine, and moves a centroid to the
    direction of the mean of its rows. A cluster without rows stays where it is.

    Args:
        rows: (N, D), of unit length.
        centroids: the first ones, (K, D), of unit length.
        iterations: at least 0.
    """
    for _ in range(iterations):
        sums, counts = torch.zeros_like(centroids), rows.new_zeros(len(centroids))
        for chunk in _chunks(rows, centroids):
            # A product in place of index_add, whose sums differ from run to run on some devices.
            member = F.one_hot(_nearest(chunk, centroids), len(centroids)).to(rows.dtype)
            sums += member.T @ chunk
            counts += member.sum(0)
        centroids = unit_rows(sums).where(counts[:, None] > 0, centroids)
    return centroids, torch.cat([_nearest(chunk, centroids) for chunk in _chunks(rows, centroids)])


def _chunks(rows: Tensor, centroids: Tensor) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = rows.split(max(1, _HELD // len(centroids)))
    return found


def _nearest(rows: Tensor, centroids: Tensor) -> Tensor:
    return (rows @ centroids.T).argmax(1)


class ClusterCentroids(nn.Module):
    """A multilayer perceptron, and cosines with the centroids of k-means.

    DeepCluster-v2 (Caron et al. 2020, appendix D). Before each epoch, k-means runs on the
    projections of all training images as evaluators see them; its centroids take the place of
    learned prototypes, and its clusters are what the epoch predicts.

    Args:
        feature_dim: length of a feature vector.
        num_images: training images.
        hidden: widths of the hidden layers, each followed by a ReLU.
        dim: length of the vector that is compared with the centroids.
        batch_norm: whether to normalise over the batch after each hidden layer.
        clusters: clusters of each run of k-means, at most as many as there are images; none means
            3,000 as in the paper, or one for 15 images where that is less.
        runs: runs of k-means, each from other images.
        iterations: iterations of k-means.

    Raises:
        ValueError: there are fewer images than clusters.
    """

    centroids: Tensor
    clusters: Tensor

    def __init__(
        self,
        feature_dim: int,
        num_images: int,
        *,
        hidden: tuple[Annotated[int, Ge(1)], ...] = (2048,),
        dim: Annotated[int, Ge(1)] = 128,
        batch_norm: bool = True,
        clusters: Annotated[int, Ge(2)] | None = None,
        runs: Annotated[int, Ge(1)] = 3,
        iterations: Annotated[int, Ge(1)] = 10,
    ) -> None:
        super().__init__()
        count = max(2, min(_CLUSTERS, num_images // _LEAST)) if clusters is None else clusters
        if num_images < count:
            raise ValueError(
                f"{count:,} clusters need as many training images, and there are {num_images:,}; "
                "set head.clusters"
            )
        self.layers = perceptron(
            (feature_dim, *hidden, dim), batch_norm=batch_norm, activation=nn.ReLU
        )
        self.iterations = iterations
        # Until the first epoch, for which k-means finds others.
        self.register_buffer("centroids", unit_rows(torch.randn(runs, count, dim)))
        self.register_buffer("clusters", torch.zeros(runs, num_images, dtype=torch.int64))

    def forward(self, features: Tensor, indices: Tensor) -> Clustered:
        """Return the cosines of `features` (V, B, F), and the clusters of images `indices` (B,)."""
        made = self._projected(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        centroids = self.centroids.to(made.dtype)
        return {
            "cosines": torch.einsum("vbd,rkd->vbrk", made, centroids),
            "clusters": self.clusters[:, indices].T[None],
        }

    def epoch_started(self, features: Callable[[], Tensor], random: BatchRandom) -> None:
        """Run k-means on the projections of all training images."""
        training = self.training
        self.eval()
        rows = self._projected(features().to(self.centroids.dtype))
        self.train(training)
        runs, count = self.centroids.shape[:2]
        for run in range(runs):
            first = rows[random.uniform().argsort()[:count]]
            centroids, clusters = spherical_k_means(rows, first, self.iterations)
            self.centroids[run].copy_(centroids)
            self.clusters[run].copy_(clusters)

    def _projected(self, features: Tensor) -> Tensor:
        return F.normalize(self.layers(features), dim=-1)
