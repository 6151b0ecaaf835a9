"""The families of losses against a queue of earlier keys (He et al. 2020, equation 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st
from torch import Tensor

from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Family, Hyper, HyperRange
from sslcore_moco.conformance.examples import KEYS, MODERATE, TEMPERATURE, Signals, lengths, unit
from sslcore_moco.conformance.queue_mutants import queue_control, queue_mutants
from sslcore_moco.conformance.queue_properties import queue_properties
from sslcore_moco.queue import first_queue

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

QUERIES = "projections"


@dataclass(frozen=True)
class WholeRange(HyperRange):
    """A hyperparameter of whole numbers."""

    def strategy(self) -> SearchStrategy[float]:
        """Return a strategy over the values and the range."""
        drawn = st.integers(int(self.low), int(self.high))
        return st.one_of(st.sampled_from(self.values), drawn)


def against_queue(
    inputs: Inputs, temperature: float, queue: Sequence[Tensor], *, symmetric: bool
) -> Tensor:
    """Return the mean over queries of log(1 + Σⱼ e^((q·kⱼ − q·k₊)/τ)), query by query.

    A loop over images, with one product for each, so that it shares no indexing with the losses.

    Args:
        inputs: projections and the teacher's, (2, B, D) each.
        temperature: τ.
        queue: rows of unit length.
        symmetric: whether the second view also queries the first.
    """
    losses, rows = [], torch.stack(list(queue))
    for own, other in ((0, 1), (1, 0)) if symmetric else ((0, 1),):
        pairs = zip(unit(inputs[QUERIES][own]), unit(inputs[KEYS][other]), strict=True)
        for query, key in pairs:
            gaps = (rows @ query - key @ query) / temperature
            losses.append(torch.cat([gaps.new_zeros(1), gaps]).logsumexp(0))
    return torch.stack(losses).mean()


def _family(name: str, summary: str, *, symmetric: bool) -> Family:
    def reference(inputs: Inputs, hyper: Hyper) -> Tensor:
        queue = first_queue(int(hyper["queue_size"]), inputs[KEYS].shape[-1])
        return against_queue(inputs, hyper["temperature"], [*queue.double()], symmetric=symmetric)

    def gradient_scale(inputs: Inputs, hyper: Hyper) -> dict[str, Tensor]:
        """Return 2/(τB‖q‖) for each row, a bound on its gradient."""
        queries = inputs[QUERIES]
        size = 2 / (hyper["temperature"] * queries.shape[1] * lengths(queries))
        return {QUERIES: size}

    signals = Signals(QUERIES, {"queue_size": 8})
    return Family(
        name=name,
        summary=summary,
        signals=signals.names,
        reference=reference,
        hyper={
            "temperature": TEMPERATURE,
            "queue_size": WholeRange(8, (8, 1, 3, 12), 1, 9, required=True),
        },
        examples=signals.drawn,
        anchors=signals.anchors,
        degenerate=signals.degenerate,
        degenerate_gradient=MODERATE,
        malformed=lambda inputs: {
            **signals.malformed(inputs),
            "another dimension than the queue": {
                name: item[..., :-1] for name, item in inputs.items()
            },
        },
        trainable=(QUERIES,),
        stop_gradient=(KEYS,),
        scale=lambda inputs, hyper: 2 / hyper["temperature"],
        gradient_scale=gradient_scale,
        properties=queue_properties(signals, against_queue, symmetric=symmetric),
        mutants=queue_mutants(symmetric=symmetric),
        control=queue_control(symmetric=symmetric),
        stateful=True,
        facts={"symmetric": symmetric},
    )


QUEUE = _family(
    "moco-queue",
    "Distinguish the key of an image's second view from a queue of earlier keys, by cosine",
    symmetric=False,
)
QUEUE_SYMMETRIC = _family(
    "moco-queue-symmetric",
    "Distinguish the key of each view of an image from a queue of earlier keys, by cosine",
    symmetric=True,
)
