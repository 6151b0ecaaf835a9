"""The families of contrastive predictive coding (van den Oord et al. 2018, equation 4).

The score is the dot product of prediction and features, or their cosine; the negatives are the
other images at the predicted view, or all views of all images (Han et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.testing.losses.cpc_mutants import cpc_mutants
from sslcore.testing.losses.cpc_properties import CPC as PROPERTIES
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper, HyperRange, Reference, register_family
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

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Values drawn for τ: the paper's 1 first, then values in use with cosines.
TEMPERATURE = HyperRange(1.0, (1.0, 0.5, 0.1, 2.0, 0.07, 10.0), 0.05, 5.0)


def _unit(rows: Tensor) -> Tensor:
    result: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-300)
    return result


def _found(predictions: Tensor, candidates: Tensor, right: int, temperature: float) -> Tensor:
    """Return the mean over b of log Σ_j exp((x̂_b·c_j − x̂_b·c_(right + b))/τ).

    Written as a loop, so that it shares no indexing with the losses it is compared with.
    """
    if len(candidates) > 20:
        scores = predictions @ candidates.T / temperature
        own = scores[:, right : right + len(predictions)].diagonal()
        return (scores.logsumexp(1) - own).mean()
    losses = []
    for index, prediction in enumerate(predictions):
        scores = candidates @ prediction
        losses.append(torch.logsumexp((scores - scores[right + index]) / temperature, 0))
    return torch.stack(losses).mean()


def _by_pair(
    inputs: Inputs, hyper: Hyper, cosine: bool, everywhere: bool
) -> dict[int, list[Tensor]]:
    """Return the loss of every counted (k, t), by k."""
    predictions, features = (_unit(inputs[name]) if cosine else inputs[name] for name in SIGNALS)
    found: dict[int, list[Tensor]] = {}
    for step, view in counted_pairs(inputs):
        target = view + step
        among = features.flatten(0, 1) if everywhere else features[target]
        right = target * features.shape[1] if everywhere else 0
        loss = _found(predictions[step - 1, view], among, right, hyper["temperature"])
        found.setdefault(step, []).append(loss)
    return found


def _references(cosine: bool, everywhere: bool) -> tuple[Reference, Reference]:
    """Return the mean over pairs (k, t), and the mean over steps k of the mean over views t."""

    def over_pairs(inputs: Inputs, hyper: Hyper) -> Tensor:
        by_step = _by_pair(inputs, hyper, cosine, everywhere)
        return torch.stack([loss for losses in by_step.values() for loss in losses]).mean()

    def over_steps(inputs: Inputs, hyper: Hyper) -> Tensor:
        by_step = _by_pair(inputs, hyper, cosine, everywhere)
        return torch.stack([torch.stack(losses).mean() for losses in by_step.values()]).mean()

    return over_pairs, over_steps


def _scale(cosine: bool, everywhere: bool) -> Callable[[Inputs, Hyper], float]:
    """Return the largest score with absolute values for its terms, divided by τ."""

    def scale(inputs: Inputs, hyper: Hyper) -> float:
        if cosine:
            return 2 / hyper["temperature"]
        predictions, features = (inputs[name].abs() for name in SIGNALS)
        largest = 0.0
        for step, view in counted_pairs(inputs):
            among = features.flatten(0, 1) if everywhere else features[view + step]
            largest = max(largest, float((predictions[step - 1, view] @ among.T).max()))
        return largest / hyper["temperature"]

    return scale


def _gradient_scale(cosine: bool, everywhere: bool) -> Callable[[Inputs, Hyper], dict[str, Tensor]]:
    """Return, for each entry of the gradient, the sum of its terms' absolute values."""

    def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
        rows = [_unit(inputs[name]) if cosine else inputs[name] for name in SIGNALS]
        # The entries of unit rows are at most 1, also after a rotation.
        sizes = [torch.ones_like(item) if cosine else item.abs() for item in rows]
        found = [torch.zeros_like(item) for item in rows]
        steps, views, count, _ = rows[0].shape
        total = sum(1 for _ in counted_pairs(inputs))
        for step, view in counted_pairs(inputs):
            at = slice(0, views) if everywhere else slice(view + step, view + step + 1)
            among = rows[1][at].flatten(0, 1)
            weights = (rows[0][step - 1, view] @ among.T / hyper["temperature"]).softmax(1)
            right = (view + step) * count if everywhere else 0
            weights[torch.arange(count), right + torch.arange(count)] += 1
            # Of the two conventions, the one in which this pair weighs more.
            share = max(1 / total, 1 / (steps * (views - step)))
            weights = weights * share / (count * hyper["temperature"])
            found[0][step - 1, view] += weights @ sizes[1][at].flatten(0, 1)
            found[1][at] += (weights.T @ sizes[0][step - 1, view]).view_as(found[1][at])
        if cosine:
            found = [
                item / inputs[name].norm(dim=-1, keepdim=True).clamp_min(1e-300)
                for name, item in zip(SIGNALS, found, strict=True)
            ]
        return dict(zip(SIGNALS, found, strict=True))

    return gradient_scale


#: For each type, scores at which a plain exponential overflows, and tiny numbers.
_LONG = {"float64": 1500.0, "float32": 200.0, "bfloat16": 200.0, "float16": 200.0}
_TINY = {"float64": 1e-160, "float32": 1e-20, "bfloat16": 1e-20, "float16": 1e-4}


def _degenerate(dtype: str) -> Mapping[str, Example]:
    """Return predictions and features that are zero, alike, tiny or long."""
    found = of_short_predictions(
        {
            "zero predictions": lambda p, x: (torch.zeros_like(p), x),
            "zero features": lambda p, x: (p, torch.zeros_like(x)),
            "all zero": lambda p, x: (torch.zeros_like(p), torch.zeros_like(x)),
            "all images alike": lambda p, x: (p, x[:, :1].expand_as(x).clone()),
            "tiny rows": lambda p, x: (p * _TINY[dtype], x * _TINY[dtype]),
            "long predictions": lambda p, x: (p * _LONG[dtype], x),
        },
        1.0,
    )
    low = of_short_predictions({"a low temperature": lambda p, x: (p, x)}, 0.001)
    return {**found, **low}


#: Degenerate examples with a finite gradient; the gradient of a cosine grows as 1/‖x‖.
_MODERATE = (
    "zero predictions",
    "zero features",
    "all zero",
    "all images alike",
    "long predictions",
    "a low temperature",
)


def _no_zero_rows(ranges: Mapping[str, HyperRange]) -> SearchStrategy[Example]:
    # The gradient of a cosine at a zero row is a convention.
    return sequences(ranges, zero_rows=False)


def _family(name: str, summary: str, *, cosine: bool, everywhere: bool) -> Family:
    over_pairs, over_steps = _references(cosine, everywhere)
    return register_family(
        Family(
            name=name,
            summary=summary,
            signals=SIGNALS,
            batch_of=lambda inputs: inputs["features"].shape[1],
            reference=over_pairs,
            conventions={"steps-equally": over_steps},
            hyper={"temperature": TEMPERATURE},
            examples=_no_zero_rows if cosine else sequences,
            anchors=sequence_anchors,
            degenerate=_degenerate,
            degenerate_gradient=_MODERATE,
            single=sequence_single,
            malformed=sequence_malformed,
            trainable=SIGNALS,
            # If all views are candidates, a pair (k, t) is not a call of its own.
            plain=None if everywhere else sequence_plain,
            plain_names=() if everywhere else ("predictions", "targets"),
            plain_malformed=sequence_plain_malformed,
            scale=_scale(cosine, everywhere),
            gradient_scale=_gradient_scale(cosine, everywhere),
            properties=PROPERTIES,
            mutants=cpc_mutants(cosine=cosine, everywhere=everywhere),
            facts={"cosine": cosine, "negatives": "positions" if everywhere else "images"},
        )
    )


CPC = _family(
    "cpc",
    "Find the features of a later view among those of all images, by dot product",
    cosine=False,
    everywhere=False,
)
CPC_COSINE = _family(
    "cpc-cosine",
    "Find the features of a later view among those of all images, by cosine",
    cosine=True,
    everywhere=False,
)
CPC_POSITIONS = _family(
    "cpc-positions",
    "Find the features of a later view among all views of all images, by dot product",
    cosine=False,
    everywhere=True,
)
CPC_POSITIONS_COSINE = _family(
    "cpc-positions-cosine",
    "Find the features of a later view among all views of all images, by cosine",
    cosine=True,
    everywhere=True,
)
