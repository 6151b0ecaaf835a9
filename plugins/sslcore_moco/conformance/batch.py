"""The family of losses that contrast predictions with a teacher's keys of the batch (MoCo v3).

Chen, Xie & He 2021, equation 1 and algorithm 1: in both directions, and multiplied by 2τ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example, Inputs
from sslcore.testing.losses.family import Family, Hyper
from sslcore_moco.conformance.batch_mutants import CONTROL, MUTANTS
from sslcore_moco.conformance.batch_properties import batch_properties
from sslcore_moco.conformance.examples import KEYS, MODERATE, TEMPERATURE, Signals, lengths, unit

QUERIES = "predictions"
_SIGNALS = Signals(QUERIES)


def mean_of_directions(inputs: Inputs, hyper: Hyper) -> Tensor:
    """Return the mean over queries of both views of log Σₖ e^((q·k − q·k₊)/τ), query by query."""
    losses = []
    for view in (0, 1):
        queries, keys = unit(inputs[QUERIES][view]), unit(inputs[KEYS][1 - view])
        for position, query in enumerate(queries):
            # A loop over images, with one product for each, so that it shares no indexing with the
            # losses.
            gaps = keys @ query - keys[position] @ query
            losses.append(torch.logsumexp(gaps / hyper["temperature"], 0))
    return torch.stack(losses).mean()


def _times(factor: Callable[[float], float]) -> Callable[[Inputs, Hyper], Tensor]:
    def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
        return factor(hyper["temperature"]) * mean_of_directions(inputs, hyper)

    return reference


#: Conventions: the sum of both directions, each times 2τ, as in algorithm 1, and variants of it.
CONVENTIONS = {
    "sum of directions, times 2τ": _times(lambda temperature: 4 * temperature),
    "mean of directions, times 2τ": _times(lambda temperature: 2 * temperature),
    "sum of directions": _times(lambda temperature: 2.0),
    "mean of directions": mean_of_directions,
}


def _gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
    """Return a bound on each row's gradient, in the convention where the bound is largest."""
    queries = inputs[QUERIES]
    most = 4 * max(1.0, 1 / hyper["temperature"])
    return {QUERIES: most / (queries.shape[1] * lengths(queries))}


def _single() -> Example:
    queries, keys = fixed("moco", 2, 2, 1, 3)
    return _SIGNALS.example(queries, keys, 0.5)


BATCH = Family(
    name="moco-batch",
    summary="Find the teacher's key of the other view among the keys of the batch, by cosine",
    signals=_SIGNALS.names,
    reference=CONVENTIONS["sum of directions, times 2τ"],
    conventions=CONVENTIONS,
    hyper={"temperature": TEMPERATURE},
    examples=_SIGNALS.drawn,
    anchors=_SIGNALS.anchors,
    degenerate=_SIGNALS.degenerate,
    degenerate_gradient=MODERATE,
    single=_single,
    malformed=_SIGNALS.malformed,
    trainable=(QUERIES,),
    stop_gradient=(KEYS,),
    scale=lambda inputs, hyper: 4 * max(2.0, 1 / hyper["temperature"]),
    gradient_scale=_gradient_scale,
    properties=batch_properties(_SIGNALS),
    mutants=MUTANTS,
    control=CONTROL,
)
