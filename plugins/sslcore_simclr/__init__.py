"""SimCLR: two views of each image, a projection head, and the NT-Xent loss (Chen et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterable

import sslcore
from sslcore_simclr.presets import PRESETS

_PAPER = "Chen et al., A Simple Framework for Contrastive Learning, 2020, arXiv:2002.05709"


@sslcore.hookimpl
def sslcore_augmentations() -> Iterable[sslcore.Augmentation]:
    yield sslcore.Augmentation(
        name="two-views",
        summary="Random crops of each image, mirrored, recoloured and blurred at random",
        reference=f"{_PAPER}, appendix A",
        build="sslcore_simclr.views:TwoViews",
    )


@sslcore.hookimpl
def sslcore_heads() -> Iterable[sslcore.Head]:
    yield sslcore.Head(
        name="projection",
        summary="A multilayer perceptron of any widths",
        reference=f"{_PAPER}, section 4.2",
        build="sslcore_simclr.heads:Projection",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterable[sslcore.Loss]:
    yield sslcore.Loss(
        name="nt-xent",
        summary="Identify the other view of an image among all views of all other images",
        reference=f"{_PAPER}, equation (1)",
        build="sslcore_simclr.losses:NTXent",
        family="nt-xent",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterable[sslcore.Method]:
    yield sslcore.Method(
        name="simclr",
        summary="Attract two views of an image, and repel all other images",
        reference=_PAPER,
        augmentation="two-views",
        encoder="small-cnn",
        head="projection",
        loss="nt-xent",
        settings={"head": {"batch_norm": True}},
        presets=PRESETS,
    )
