"""DeepCluster-v2 (Caron et al. 2020, appendix) in one file: predict clusters of the last epoch."""

from collections.abc import Callable
from typing import Annotated, TypedDict

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

import sslcore


@sslcore.hookimpl
def sslcore_heads():
    yield sslcore.Head(
        name="recent-deepcluster",
        summary="Cosines with the centroids of k-means, and the cluster of each image",
        build="deepcluster:Clusters",
    )


@sslcore.hookimpl
def sslcore_losses():
    yield sslcore.Loss(
        name="recent-deepcluster",
        summary="Cross-entropy to the cluster of an image",
        reference="Caron et al. 2020, arXiv:2006.09882, appendix D",
        build="deepcluster:ClusterEntropy",
    )


@sslcore.hookimpl
def sslcore_methods():
    yield sslcore.Method(
        name="recent-deepcluster",
        summary="Predict the cluster that k-means put an image in before the epoch",
        augmentation="two-views",
        encoder="small-cnn",
        head="recent-deepcluster",
        loss="recent-deepcluster",
    )


class Assigned(TypedDict):
    """`cosines`: (V, B, K); `clusters`: (V, B), int64."""

    cosines: Tensor
    clusters: Tensor


class Clusters(nn.Module):
    def __init__(
        self,
        feature_dim: int,
        num_images: int,
        *,
        hidden: Annotated[int, Ge(1)] = 256,
        dim: Annotated[int, Ge(1)] = 64,
        clusters: Annotated[int, Ge(2)] = 30,
        iterations: Annotated[int, Ge(1)] = 10,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(feature_dim, hidden), nn.ReLU(), nn.Linear(hidden, dim)
        )
        self.iterations = iterations
        self.register_buffer("centroids", torch.zeros(clusters, dim))
        self.register_buffer("assigned", torch.zeros(num_images, dtype=torch.int64))

    def forward(self, features: Tensor, indices: Tensor) -> Assigned:
        made = F.normalize(self.layers(features), dim=-1)
        clusters = self.assigned[indices].expand(len(features), -1)
        return {"cosines": made @ self.centroids.T, "clusters": clusters}

    @torch.no_grad()
    def epoch_started(self, epoch: int, features: Callable[[], Tensor]) -> None:
        rows = F.normalize(self.layers(features()), dim=-1)
        count = len(self.centroids)
        centroids = rows[torch.arange(count, device=rows.device) * len(rows) // count]
        for _ in range(self.iterations):
            assigned = (rows @ centroids.T).argmax(1)
            sums = torch.zeros_like(centroids).index_add_(0, assigned, rows)
            # A cluster without an image stays where it is.
            centroids = F.normalize(sums.where(sums.any(1, keepdim=True), centroids), dim=-1)
        self.centroids.copy_(centroids)
        self.assigned.copy_((rows @ centroids.T).argmax(1))


class ClusterEntropy(nn.Module):
    def __init__(self, *, temperature: Annotated[float, Gt(0)] = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, cosines: Tensor, clusters: Tensor) -> Tensor:
        return F.cross_entropy(cosines.flatten(0, 1) / self.temperature, clusters.flatten())
