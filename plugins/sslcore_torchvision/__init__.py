"""Encoders and data sets: torchvision's, scikit-learn's digits, and folders of images."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore

_DIGITS = {"mean": (0.305,), "std": (0.353,), "flip": 0.0, "grayscale": 0.0}


@sslcore.hookimpl
def sslcore_encoders() -> Iterator[sslcore.Encoder]:
    yield sslcore.Encoder(name="small-cnn", summary="x", build="sslcore_torchvision.cnn:SmallCNN")
