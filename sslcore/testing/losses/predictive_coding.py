"""The family `predictive-coding`: squared error of predicted against actual later features.

After Rao & Ballard 1999, with targets that are not trained. Collapsed features are a global
minimum; this is a fact about the loss, not a failure.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper, register_family
from sslcore.testing.losses.prediction_examples import (
    SIGNALS,
    counted_pairs,
    of_short_predictions,
    sequence_anchors,
    sequence_malformed,
    sequence_plain,
    sequence_plain_malformed,
    sequence_single,
    sequences,
)
from sslcore.testing.losses.predictive_coding_mutants import predictive_coding_mutants
from sslcore.testing.losses.predictive_coding_properties import PREDICTIVE_CODING as PROPERTIES


def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean of (x̂ − x)² over all images and dimensions of every counted (k, t)."""
    predictions, features = inputs["step_predictions"], inputs["features"].detach()
    count, width = features.shape[1:]
    total, entries = torch.zeros((), dtype=predictions.dtype), 0
    for step, view in counted_pairs(inputs):
        for image in range(count):
            gap = predictions[step - 1, view, image] - features[view + step, image]
            total, entries = total + gap @ gap, entries + width
    return total / entries


#: For each type, a number whose square it can hold, and one whose square vanishes.
_LONG = {"float64": 1e150, "float32": 1e18, "bfloat16": 1e18, "float16": 60.0}
_TINY = {"float64": 1e-200, "float32": 1e-30, "bfloat16": 1e-30, "float16": 1e-4}
#: A single difference whose square may overflow in a type, although the mean does not.
_GAP = {"float64": 1e150, "float32": 1e18, "bfloat16": 1e18, "float16": 400.0}


def _moved(predictions: Tensor, gap: float) -> Tensor:
    """Return predictions with one entry moved."""
    moved = predictions.clone()
    moved.view(-1)[0] += gap
    return moved


def _degenerate(dtype: str) -> Mapping[str, Example]:
    """Return predictions and features that are zero, exact, tiny or long."""
    return of_short_predictions(
        {
            "zero predictions": lambda p, x: (torch.zeros_like(p), x),
            "all zero": lambda p, x: (torch.zeros_like(p), torch.zeros_like(x)),
            "all entries alike": lambda p, x: (torch.ones_like(p), torch.ones_like(x)),
            "a large difference": lambda p, x: (_moved(p, _GAP[dtype]), x),
            "tiny rows": lambda p, x: (p * _TINY[dtype], x * _TINY[dtype]),
            "long predictions": lambda p, x: (p * _LONG[dtype], x),
            "long features": lambda p, x: (p, x * _LONG[dtype]),
        },
        1.0,
    )


PREDICTIVE_CODING = register_family(
    Family(
        name="predictive-coding",
        summary="Squared error of predictions of later features, whose gradient is stopped",
        signals=SIGNALS,
        batch_of=lambda inputs: inputs["features"].shape[1],
        reference=reference,
        examples=sequences,
        anchors=sequence_anchors,
        degenerate=_degenerate,
        degenerate_gradient=tuple(_degenerate("float64")),
        single=sequence_single,
        malformed=sequence_malformed,
        trainable=("step_predictions",),
        stop_gradient=("features",),
        plain=sequence_plain,
        plain_names=("predictions", "targets"),
        plain_malformed=sequence_plain_malformed,
        properties=PROPERTIES,
        mutants=predictive_coding_mutants(),
    )
)
