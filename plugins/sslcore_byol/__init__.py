"""BYOL (Grill et al. 2020) and SimSiam (Chen & He 2021): predict a projection of another view.

BYOL takes the projection from a teacher, an average of the student; SimSiam from the student
itself, without gradient.
"""

from __future__ import annotations

from collections.abc import Iterator

import sslcore
from sslcore_byol.presets import BYOL, SIMSIAM

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
        teacher=sslcore.Teacher(momentum=0.99, final_momentum=1.0),
        settings={"augmentation": {"asymmetric": True}},
        presets=BYOL,
    )
    yield sslcore.Method(
        name="simsiam",
        summary="Predict the projection of the other view, which gets no gradient; no teacher",
        reference=_SIMSIAM,
        augmentation="two-views",
        encoder="small-cnn",
        head="prediction",
        loss="negative-cosine",
        settings={"head": {"norm_output": True}},
        presets=SIMSIAM,
    )
