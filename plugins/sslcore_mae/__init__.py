"""MAE: hide most patches of an image, and fill them in from the others (He et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

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
            # Small enough for a CPU; for more images, a wider and deeper encoder and decoder.
            "encoder": {"width": 128, "depth": 2, "heads": 4, "pooling": "mean"},
            # Section 4.1, "Reconstruction target": normalised pixels give better features.
            "loss": {"normalize_targets": True},
            # Appendix A.1, table 8, but for the rate, which is for larger networks and batches.
            "optimizer": {
                "name": "AdamW",
                "lr": 2e-3,
                "betas": (0.9, 0.95),
                "weight_decay": 0.05,
            },
            # What is slow is to find out which patches tell of which, and that takes steps: small
            # batches. The paper's are of 4096 images, for 800 epochs of a million.
            "training": {"batch_size": 32, "schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
