"""Joint-embedding predictive architectures: LeJEPA (Balestriero & LeCun 2025)."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_LEJEPA = "Balestriero & LeCun, LeJEPA, 2025, arXiv:2511.08544"


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
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
