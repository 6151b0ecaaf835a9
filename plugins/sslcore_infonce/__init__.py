"""InfoNCE over two views of an image, the other images of the batch being the negatives."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_PAPER = "van den Oord, Li & Vinyals 2018, Representation learning with CPC"


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="infonce",
        summary="Cross-entropy of identifying an image's second view among those of the batch",
        reference=f"{_PAPER}, eq. 4",
        build="sslcore_infonce.loss:InfoNCE",
        family="infonce",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="infonce",
        summary="Identify an image's second view among those of the other images",
        reference=_PAPER,
        augmentation="two-views",
        encoder="resnet18",
        head="projection",
        loss="infonce",
        settings={
            "augmentation": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
            "head": {"hidden": (256,), "dim": 128, "normalize": True},
            "loss": {"temperature": 0.5},
            "optimizer": {"name": "Adam", "lr": 3e-4},
        },
    )
