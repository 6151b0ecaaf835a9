"""VICReg (Bardes et al. 2022) and Barlow Twins (Zbontar et al. 2021): no dimension in vain."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore
from sslcore_vicreg.presets import BARLOW_TWINS, VICREG

_VICREG = "Bardes, Ponce & LeCun, VICReg, 2022, arXiv:2105.04906"
_BARLOW = "Zbontar et al., Barlow Twins, 2021, arXiv:2103.03230"


@sslcore.hookimpl
def sslcore_heads() -> Iterator[sslcore.Head]:
    yield sslcore.Head(
        name="expander",
        summary="A multilayer perceptron whose output is longer than the features",
        reference=f"{_VICREG}, section 4.2",
        build="sslcore_vicreg.heads:Expander",
    )


@sslcore.hookimpl
def sslcore_losses() -> Iterator[sslcore.Loss]:
    yield sslcore.Loss(
        name="vicreg",
        summary="Distance between views, plus penalties on low variance and on covariance",
        reference=f"{_VICREG}, equations (1) to (6)",
        build="sslcore_vicreg.losses:VICReg",
        family="vicreg",
    )
    yield sslcore.Loss(
        name="barlow-twins",
        summary="Cross-correlation of two views, compared with the identity matrix",
        reference=f"{_BARLOW}, equations (1) and (2)",
        build="sslcore_vicreg.losses:BarlowTwins",
        family="barlow-twins",
    )


@sslcore.hookimpl
def sslcore_methods() -> Iterator[sslcore.Method]:
    yield sslcore.Method(
        name="vicreg",
        summary="Attract views, keep the variance of each dimension, and decorrelate dimensions",
        reference=_VICREG,
        augmentation="two-views",
        encoder="small-cnn",
        head="expander",
        loss="vicreg",
        presets=VICREG,
    )
    yield sslcore.Method(
        name="barlow-twins",
        summary="Correlate each dimension across views, and decorrelate different dimensions",
        reference=_BARLOW,
        augmentation="two-views",
        encoder="small-cnn",
        head="expander",
        loss="barlow-twins",
        settings={"augmentation": {"asymmetric": True}},
        presets=BARLOW_TWINS,
    )
