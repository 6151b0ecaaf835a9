"""BYOL (Grill et al. 2020) and SimSiam (Chen & He 2021): predict a projection of another view.

BYOL takes the projection from a teacher, an average of the student; SimSiam from the student
itself, without gradient.
"""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_BYOL = "Grill et al., Bootstrap Your Own Latent, 2020, arXiv:2006.07733"
_SIMSIAM = "Chen & He, Exploring Simple Siamese Representation Learning, 2021, arXiv:2011.10566"


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="prediction",
        summary="A projector followed by a predictor",
        reference=f"{_BYOL}, section 3.3",
        build="sslcore_byol.heads:Prediction",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="byol",
        summary="Squared distance of predictions from a teacher's projections of other views",
        reference=f"{_BYOL}, equation (2)",
        build="sslcore_byol.losses:BYOL",
        family="byol",
    )
    yield sslcore.Loss(
        name="negative-cosine",
        summary="Negative cosine similarity of predictions and projections of the other views",
        reference=f"{_SIMSIAM}, equations (1) to (4)",
        build="sslcore_byol.losses:NegativeCosine",
        family="sslcore_byol.conformance:NEGATIVE_COSINE",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="byol",
        summary="Predict the projection of the other view by a momentum teacher",
        reference=_BYOL,
        augmentation="two-views",
        encoder="small-cnn",
        head="prediction",
        loss="byol",
        teacher=sslcore.Teacher(momentum=0.996, final_momentum=1.0),
        settings={
            "augmentation": {"asymmetric": True},
            # Not so in the paper. In a run of a few hundred steps, projections that are not
            # normalised keep a direction in common, and the features lose more than they learn.
            "head": {"norm_output": True},
            # For the paper's LARS, which torch.optim has not.
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
            "training": {"schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
    yield sslcore.Method(
        name="simsiam",
        summary="Predict the projection of the other view, which gets no gradient; no teacher",
        reference=_SIMSIAM,
        augmentation="two-views",
        encoder="small-cnn",
        head="prediction",
        loss="negative-cosine",
        defaults={"head": {"hidden": (2048, 2048), "dim": 2048, "predictor_hidden": (512,)}},
        settings={
            "head": {"norm_output": True},
            # For the paper's SGD, which learns less in as few steps.
            "optimizer": {"name": "AdamW", "lr": 1e-3, "weight_decay": 1e-4},
            "training": {"schedule": "cosine", "warmup_epochs": 1.0},
        },
    )
