"""Online and offline clustering: SwAV and DeepCluster-v2 (Caron et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_PAPER = "Caron et al., Unsupervised learning of visual features by contrasting cluster assignments"

#: Crops and colours of the paper (section 4.1 and appendix A.2).
_CROPS: dict[str, object] = {
    "crop_scale": (0.14, 1.0),
    "local_scale": (0.05, 0.14),
    "local_views": 6,
    "brightness": 0.8,
    "contrast": 0.8,
    "saturation": 0.8,
    "hue": 0.2,
    "solarize": 0.0,
}


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="cluster-centroids",
        summary="A multilayer perceptron, then cosines with the centroids of k-means",
        reference=f"{_PAPER}, 2020, arXiv:2006.09882, appendix D",
        build="sslcore_swav.clusters:ClusterCentroids",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="swav",
        summary="Predict the balanced cluster of a global view from each other view",
        reference=f"{_PAPER}, 2020, arXiv:2006.09882, equations (1) to (5)",
        build="sslcore_swav.swapped:SwappedPrediction",
        family="sslcore_swav.conformance:SWAV",
    )
    yield sslcore.Loss(
        name="cluster-entropy",
        summary="Cross-entropy of each view to the clusters of its image",
        reference=f"{_PAPER}, 2020, arXiv:2006.09882, appendix D",
        build="sslcore_swav.entropy:ClusterEntropy",
        family="sslcore_swav.conformance:CLUSTER_ENTROPY",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="swav",
        summary="Predict the cluster of one view from another view; clusters share out each batch",
        reference=f"{_PAPER}, 2020, arXiv:2006.09882",
        augmentation="multi-crop",
        encoder="small-cnn",
        head="projection",
        loss="swav",
        defaults={"augmentation": _CROPS, "head": {"hidden": (2048,), "dim": 128}},
        settings={
            "head": {"batch_norm": True},
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
            "training": {"schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
    yield sslcore.Method(
        name="deepcluster-v2",
        summary="Predict the cluster that k-means put an image into before the epoch",
        reference=f"{_PAPER}, 2020, arXiv:2006.09882, appendix D",
        augmentation="multi-crop",
        encoder="small-cnn",
        head="cluster-centroids",
        loss="cluster-entropy",
        defaults={"augmentation": _CROPS},
        settings={
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
            "training": {"schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
