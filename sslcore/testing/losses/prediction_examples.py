"""Valid and malformed examples for families of losses over predictions of later features.

`step_predictions` (K, V, B, F) and `features` (V, B, F): entry [k − 1, t] predicts the features of
view t + k, and is ignored if there is no such view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.draws import fixed, hypers, irregular, tensors, without_zero_rows
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import HyperRange

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SIGNALS = ("step_predictions", "features")

#: (K, V, B, F, temperature): small ones first, then sizes at which chunks and strides go wrong.
_SIZES = (
    (1, 2, 2, 2, 1.0),
    (1, 2, 3, 2, 0.5),
    (2, 3, 2, 3, 1.0),
    (2, 4, 3, 2, 2.0),
    (1, 3, 2, 1, 0.5),
    (3, 4, 4, 3, 0.1),
    (2, 3, 5, 4, 0.07),
    (4, 5, 3, 2, 10.0),
    (1, 6, 2, 3, 1.0),
    (1, 2, 4, 100, 1.0),
    (1, 2, 33, 4, 1.0),
    (2, 3, 130, 2, 0.5),
    (2, 5, 4, 3, 1.0),
    (1, 20, 3, 2, 1.0),
    (1, 2, 300, 2, 0.5),
    (1, 2, 3, 600, 1.0),
)

#: What is special about drawn sequences; plain ones first, since examples shrink to them.
GEOMETRIES = (
    "plain",
    "plain",
    "plain",
    "two images alike",
    "exact predictions",
    "opposite predictions",
    "all views alike",
    "all images alike",
)


def counted_pairs(inputs: Inputs) -> Iterator[tuple[int, int]]:
    """Yield every step k and view t for which view t + k exists."""
    views = len(inputs["features"])
    for step in range(1, len(inputs["step_predictions"]) + 1):
        for view in range(views - step):
            yield step, view


def sequence(predictions: Tensor, features: Tensor) -> Inputs:
    """Return the two signals."""
    return {"step_predictions": predictions, "features": features}


def exact_predictions(features: Tensor, steps: int, offset: int = 0) -> Tensor:
    """Return predictions (K, V, B, F) equal to the features `offset` views after the right ones.

    Views are counted around the end, so that an entry without a view is not zero.
    """
    return torch.stack([features.roll(-(step + offset), 0) for step in range(1, steps + 1)])


def sequences(
    ranges: Mapping[str, HyperRange], *, zero_rows: bool = True
) -> SearchStrategy[Example]:
    """Return a strategy of step predictions and features, with hyperparameters."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Example:
        views = draw(st.integers(2, 4))
        steps = draw(st.integers(1, min(2, views - 1)))
        size, width = draw(st.integers(2, 4)), draw(st.integers(1, 3))
        geometry = draw(st.sampled_from(GEOMETRIES))
        both = draw(tensors(steps + 1, views, size, width))
        if draw(st.booleans()):
            both = both + irregular(*both.shape)
        if not zero_rows:
            both = without_zero_rows(both)
        predictions, features = _shaped(both[:-1], both[-1], geometry)
        return Example(sequence(predictions, features), draw(hypers(ranges)), geometry)

    return drawn()


def _shaped(predictions: Tensor, features: Tensor, geometry: str) -> tuple[Tensor, Tensor]:
    if geometry == "two images alike":
        predictions = torch.cat(
            [predictions[:, :, :1], predictions[:, :, :1], predictions[:, :, 2:]], 2
        )
        features = torch.cat([features[:, :1], features[:, :1], features[:, 2:]], 1)
    elif geometry == "exact predictions":
        predictions = exact_predictions(features, len(predictions))
    elif geometry == "opposite predictions":
        predictions = -exact_predictions(features, len(predictions))
    elif geometry == "all views alike":
        features = features[:1].expand_as(features).clone()
    elif geometry == "all images alike":
        predictions = predictions[:, :, :1].expand_as(predictions).clone()
        features = features[:, :1].expand_as(features).clone()
    return predictions, features


def sequence_anchors() -> Sequence[Example]:
    """Return fixed sequences; in some, the predictions are near the features."""
    found: list[Example] = []
    for position, (steps, views, size, width, temperature) in enumerate(_SIZES):
        both = fixed("sequence", steps + 1, views, size, width)
        predictions, features = both[:-1], both[-1]
        if position % 3 == 1:
            predictions = exact_predictions(features, steps) + 0.3 * predictions
        found.append(Example(sequence(predictions, features), {"temperature": temperature}))
    features = fixed("sequence", 3, 3, 2)
    known = sequence(exact_predictions(features, 2), features)
    found.insert(4, Example(known, {"temperature": 0.5}, "exact predictions"))
    return found


def short(*shape: int) -> Tensor:
    """Return fixed numbers with few digits and without zero rows."""
    return without_zero_rows((fixed("sequence", *shape) * 4).round() / 4)


def sequence_single() -> Example:
    """Return a sequence of one image, with one pair of a step and a view."""
    inputs = sequence(fixed("sequence", 1, 2, 1, 3), fixed("sequence", 2, 1, 3))
    return Example(inputs, {"temperature": 1.0})


def sequence_malformed(inputs: Inputs) -> Mapping[str, Inputs]:
    """Return predictions and features whose shapes don't match."""
    predictions, features = inputs["step_predictions"], inputs["features"]
    return {
        "another number of images": sequence(predictions, features[:, :-1]),
        "one image against several": sequence(predictions, features[:, :1]),
        "several images against one": sequence(predictions[:, :, :1], features),
        "another dimension": sequence(predictions, features[..., :-1]),
        "one dimension against several": sequence(predictions, features[..., :1]),
        "another number of views": sequence(predictions, features[:-1]),
        "predictions of zero steps": sequence(predictions[:0], features),
        "an empty batch": sequence(predictions[:, :, :0], features[:, :0]),
        "predictions without steps": sequence(predictions[0], features),
        "rows that are not vectors": sequence(predictions[..., 0], features[..., 0]),
    }


def sequence_plain(inputs: Inputs) -> Sequence[tuple[Tensor, ...]]:
    """Return predictions (B, F) and the features that they predict, for every k and t."""
    predictions, features = inputs["step_predictions"], inputs["features"]
    return [(predictions[k - 1, t], features[t + k]) for k, t in counted_pairs(inputs)]


def sequence_plain_malformed(inputs: Inputs) -> Mapping[str, tuple[Tensor, ...]]:
    """Return predictions and targets whose shapes don't match."""
    predictions, targets = sequence_plain(inputs)[0]
    return {
        "another number of images": (predictions, targets[:-1]),
        "one image against several": (predictions, targets[:1]),
        "several images against one": (predictions[:1], targets),
        "another dimension": (predictions, targets[:, :-1]),
        "one dimension against several": (predictions, targets[:, :1]),
        "a vector instead of a batch": (predictions, targets[0]),
        "vectors of one dimension": (predictions[:, 0], targets[:, 0]),
        "an empty batch": (predictions[:0], targets[:0]),
    }


def of_short_predictions(
    degenerate: Mapping[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]],
    temperature: float,
) -> dict[str, Example]:
    """Return degenerate examples, each made of the same predictions and features."""
    predictions, features = short(2, 3, 4, 2), short(3, 4, 2)
    return {
        name: Example(sequence(*change(predictions, features)), {"temperature": temperature})
        for name, change in degenerate.items()
    }
