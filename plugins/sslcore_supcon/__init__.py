"""Supervised contrastive learning: all images of a class attract each other (Khosla et al. 2020).

The semi-supervised form trains on images without a label, too: each is a class of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sslcore

_PAPER = "Khosla et al., Supervised contrastive learning, 2020, arXiv:2004.11362"


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="supervised-contrast",
        summary="Identify all views of all images of a class among the views of the batch",
        reference=f"{_PAPER}, equation (2)",
        build="sslcore_supcon.loss:SupervisedContrast",
        supervised=True,
        family="sslcore_supcon.conformance:SUPCON",
    )
    yield sslcore.Loss(
        name="semi-supervised-contrast",
        summary="The same, where each image without a label is a class of its own",
        reference=f"{_PAPER}, equations (1) and (2)",
        build="sslcore_supcon.loss:SemiSupervisedContrast",
        supervised=True,
        family="sslcore_supcon.conformance:SUPCON",
    )


# The authors' code for CIFAR, section 4.2 and appendix; their AutoAugment for ImageNet is not here.
_SETTINGS = {
    "optimizer": {"name": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
    "training": {"schedule": "cosine", "warmup_epochs": 1.0},
}
_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "augmentation": {"crop_scale": (0.2, 1.0)},
    "head": {"hidden": (2048,), "dim": 128},
}


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="supcon",
        summary="Attract all images of a class, and repel those of other classes",
        reference=_PAPER,
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="supervised-contrast",
        defaults=_DEFAULTS,
        settings=_SETTINGS,
    )
    yield sslcore.Method(
        name="semi-supcon",
        summary="Attract images of a class, and views of an image where the class is not known",
        reference=_PAPER,
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="semi-supervised-contrast",
        defaults=_DEFAULTS,
        settings=_SETTINGS,
    )
