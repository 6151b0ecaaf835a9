"""Every backbone of timm (PyTorch Image Models) as an encoder; timm itself is an extra."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore


@sslcore.hookimpl
def sslcore_encoders() -> Iterator[sslcore.Encoder]:
    yield sslcore.Encoder(
        name="timm",
        summary="Any backbone of timm by its name, pretrained if asked; needs sslcore[timm]",
        reference="Wightman 2019, PyTorch Image Models, doi:10.5281/zenodo.4414861",
        build="sslcore_timm.encoder:Timm",
        variant="model",
    )
