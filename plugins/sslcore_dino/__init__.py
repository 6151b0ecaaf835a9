"""DINO: self-distillation over crops of two sizes, without labels (Caron et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore
from sslcore_dino.presets import PRESETS

_PAPER = "Caron et al. 2021, Emerging properties in self-supervised vision transformers"


@sslcore.hookimpl
def sslcore_augmentations() -> Iterator[sslcore.Augmentation]:
    yield sslcore.Augmentation(
        name="multi-crop",
        summary="Two global crops of each image, and several local crops of small regions",
        reference=f"{_PAPER}, section 3.1; Caron et al. 2020 (SwAV), section 3.2",
        build="sslcore_dino.crops:MultiCrop",
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="prototypes",
        summary="A multilayer perceptron, then cosine similarities to learned prototypes",
        reference=f"{_PAPER}, section 3.1 and appendix C",
        build="sslcore_dino.head:Prototypes",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="dino",
        summary="Cross-entropy to a teacher's centred and sharpened distributions of other views",
        reference=f"{_PAPER}, equations (1) to (4)",
        build="sslcore_dino.loss:DINO",
        family="dino",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="dino",
        summary="Assign each crop to the prototypes that a teacher assigns to the global crops",
        reference=f"{_PAPER}, algorithm 1",
        augmentation="multi-crop",
        encoder="small-cnn",
        head="prototypes",
        loss="dino",
        teacher=sslcore.Teacher(momentum=0.996, final_momentum=1.0),
        presets=PRESETS,
    )
