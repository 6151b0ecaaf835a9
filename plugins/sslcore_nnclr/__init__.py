"""NNCLR: contrast with the nearest neighbour of an image among earlier ones (Dwibedi et al. 2021).

The neighbour of one view takes the place of that view, so that positives differ by more than an
augmentation.
"""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_PAPER = "Dwibedi et al., With a little help from my friends, 2021, arXiv:2104.14548"


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="neighbour-contrast",
        summary="Identify an image's prediction by the nearest neighbour of its other view",
        reference=f"{_PAPER}, equations (2) to (4)",
        build="sslcore_nnclr.loss:NeighbourContrast",
        family="sslcore_nnclr.conformance:NNCLR",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="nnclr",
        summary="Predict an image from the nearest neighbour of its other view in a queue",
        reference=_PAPER,
        augmentation="two-views",
        encoder="small-cnn",
        head="prediction",
        loss="neighbour-contrast",
        # Section 4.1, "Architecture"; the widths yield to those that small images suggest.
        defaults={"head": {"hidden": (2048, 2048), "dim": 256, "predictor_hidden": (4096,)}},
        settings={
            "head": {"norm_output": True},
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
            "training": {"schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
