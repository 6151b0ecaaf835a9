"""Contrastive predictive coding: predict later patches or frames from earlier ones."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_PAPER = "van den Oord, Li & Vinyals 2018, Representation learning with CPC"
_RAO_BALLARD = "Rao & Ballard 1999, Predictive coding in the visual cortex"


@sslcore.hookimpl
def sslcore_augmentations() -> Iterator[sslcore.Augmentation]:
    yield sslcore.Augmentation(
        name="patches",
        summary="Overlapping patches of an image as views, row by row",
        reference=f"{_PAPER}, section 3.2",
        build="sslcore_cpc.patches:Patches",
    )
    yield sslcore.Augmentation(
        name="frames",
        summary="Consecutive frames of a clip as views",
        build="sslcore_cpc.frames:Frames",
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="autoregressive",
        summary="A GRU over the views and a linear prediction for each step ahead",
        reference=f"{_PAPER}, section 2.2 and eq. 3",
        build="sslcore_cpc.head:Autoregressive",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="cpc",
        summary="Cross-entropy of identifying the features k steps later among negatives",
        reference=f"{_PAPER}, eq. 4",
        build="sslcore_cpc.losses:CPC",
        family="cpc",
    )
    yield sslcore.Loss(
        name="predictive-coding",
        summary="Mean squared error between predicted and actual later features",
        reference=_RAO_BALLARD,
        build="sslcore_cpc.losses:PredictiveCoding",
        family="predictive-coding",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="cpc",
        summary="Identify the next patch or frame among those of other images",
        reference=_PAPER,
        augmentation=("patches", "frames"),
        encoder="small-cnn",
        head="autoregressive",
        loss="cpc",
        settings={"optimizer": {"name": "Adam", "lr": 1e-3}},
    )
    yield sslcore.Method(
        name="predictive-coding",
        summary="Predict the features of the next patch or frame",
        reference=_RAO_BALLARD,
        augmentation=("patches", "frames"),
        encoder="small-cnn",
        head="autoregressive",
        loss="predictive-coding",
        # An adaptive rate drives the features towards a constant, which is easy to predict.
        settings={"optimizer": {"name": "SGD", "lr": 0.1}},
    )
