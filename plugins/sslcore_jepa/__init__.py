"""Joint-embedding predictive architectures: I-JEPA and LeJEPA.

I-JEPA (Assran et al. 2023) predicts a teacher's tokens of hidden blocks. LeJEPA (Balestriero &
LeCun 2025) attracts views, and needs no teacher.
"""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_IJEPA = "Assran et al., Self-supervised learning from images with a JEPA, 2023, arXiv:2301.08243"
_LEJEPA = "Balestriero & LeCun, LeJEPA, 2025, arXiv:2511.08544"


@sslcore.hookimpl
def sslcore_augmentations() -> Iterator[sslcore.Augmentation]:
    yield sslcore.Augmentation(
        name="block-mask",
        summary="A random crop of the image, blocks of it to predict, and a context without them",
        reference=f"{_IJEPA}, section 3",
        build="sslcore_jepa.blocks:BlockMask",
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="block-predictor",
        summary="A narrow transformer that predicts the tokens of hidden blocks",
        reference=f"{_IJEPA}, section 3 and appendix A.1",
        build="sslcore_jepa.predictor:BlockPredictor",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="latent-prediction",
        summary="Smooth L1 distance of predicted tokens from a teacher's normalised tokens",
        reference=f"{_IJEPA}, equation (1)",
        build="sslcore_jepa.latent:LatentPrediction",
        family="sslcore_jepa.conformance:LATENT",
    )
    yield sslcore.Loss(
        name="lejepa",
        summary="Attract views to their mean, and make projections normally distributed",
        reference=f"{_LEJEPA}, sections 4 and 5",
        build="sslcore_jepa.regularizer:LeJEPA",
        family="sslcore_jepa.conformance:LEJEPA",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="lejepa",
        summary="Attract views to their mean, while projections follow a normal distribution",
        reference=_LEJEPA,
        augmentation="multi-crop",
        encoder="small-cnn",
        head="projection",
        loss="lejepa",
        defaults={
            "augmentation": {
                "crop_scale": (0.3, 1.0),
                "local_scale": (0.05, 0.3),
                "local_views": 6,
                "solarize": 0.2,
            },
            "head": {"hidden": (2048, 2048)},
        },
        settings={
            # Few dimensions, as in the authors' example: of a small batch, no statistic tells
            # whether many of them are independent.
            "head": {"batch_norm": True, "dim": 16},
            "loss": {"global_views": 2},
            "optimizer": {"name": "AdamW", "lr": 2e-3, "weight_decay": 5e-4},
            "training": {"schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
    yield sslcore.Method(
        name="i-jepa",
        summary="Predict a teacher's tokens of hidden blocks from the visible patches",
        reference=_IJEPA,
        augmentation="block-mask",
        encoder="vit",
        head="block-predictor",
        loss="latent-prediction",
        # The teacher sees the whole view, and has no predictor.
        teacher=sslcore.Teacher(
            momentum=0.996, final_momentum=1.0, head=False, without=("mask", "visible")
        ),
        defaults={"head": {"width": 64, "depth": 2, "heads": 4}},
        settings={
            # Small enough for a CPU; for more images, a wider and deeper encoder and predictor.
            "encoder": {"width": 128, "depth": 2, "heads": 4, "pooling": "mean"},
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 0.05},
            "training": {"batch_size": 32, "schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
