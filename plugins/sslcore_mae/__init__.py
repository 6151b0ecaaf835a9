"""MAE: hide most patches of an image, and fill them in from the others (He et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore
from sslcore_mae.presets import PRESETS

_PAPER = "He et al. 2022, Masked autoencoders are scalable vision learners, arXiv:2111.06377"


@sslcore.hookimpl
def sslcore_augmentations() -> Iterator[sslcore.Augmentation]:
    yield sslcore.Augmentation(
        name="patch-mask",
        summary="A random crop of the image with most of its patches hidden",
        reference=f"{_PAPER}, section 3",
        build="sslcore_mae.masking:PatchMask",
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="patch-decoder",
        summary="A small transformer that reconstructs the hidden patches",
        reference=f"{_PAPER}, section 3 and appendix A.1",
        build="sslcore_mae.decoder:PatchDecoder",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="masked-mse",
        summary="Mean squared error over the pixels of hidden patches",
        reference=f"{_PAPER}, section 3",
        build="sslcore_mae.loss:MaskedMSE",
        family="masked-reconstruction",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="mae",
        summary="Reconstruct the hidden patches of an image from the visible ones",
        reference=_PAPER,
        augmentation="patch-mask",
        encoder="vit",
        head="patch-decoder",
        loss="masked-mse",
        settings={
            "encoder": {"pooling": "mean"},
            # Section 4.1, "Reconstruction target": normalised pixels give better features.
            "loss": {"normalize_targets": True},
        },
        presets=PRESETS,
    )
